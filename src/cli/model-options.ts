// Options of all commands that compute with a model: on what, and how its weights and values in flight are kept.
import { type Command, Option } from "commander";
import { type Device, devices } from "../runtime/index.ts";
import { type WeightStorage, weightStorages } from "../runtime/types.ts";
import { wholeNumber } from "./numbers.ts";

export interface DeviceOptions {
  readonly device: Device;
  readonly weights?: WeightStorage;
  readonly threads?: number;
}

export interface ActivationsOptions {
  readonly activations?: "f32" | "f16";
}

/** --device. */
export const deviceOption = (text = "what runs the model"): Option =>
  new Option("--device <name>", text).choices([...devices]).default("auto");

/** --weights, also called --dtype. */
export const weightsOption = (text = "how matrices are kept in memory"): Option =>
  new Option("--dtype, --weights <type>", `${text}; narrower than f32 on webgpu only`).choices([...weightStorages]);

/** --activations: how the GPU keeps what layers hand to each other. */
export const activationsOption = (text = "how values in flight are kept"): Option =>
  new Option("--activations <type>", `${text}; f16 on webgpu only`).choices(["f32", "f16"]);

/** --threads. */
export const threadsOption = (): Option =>
  new Option("--threads <n>", "threads of the CPU; default: all cores").argParser(wholeNumber(1));

/** Adds --device, --weights and --threads. */
export function addDeviceOptions(command: Command): Command {
  return command.addOption(deviceOption()).addOption(weightsOption()).addOption(threadsOption());
}
