// Options of all commands that compute with a model: on what, and how its weights are kept.
import { type Command, Option } from "commander";
import { type Device, devices } from "../runtime/index.ts";
import { type WeightStorage, weightStorages } from "../runtime/types.ts";
import { wholeNumber } from "./numbers.ts";

export interface DeviceOptions {
  readonly device: Device;
  readonly weights?: WeightStorage;
  readonly threads?: number;
}

/** Adds --device, --weights and --threads. */
export function addDeviceOptions(command: Command): Command {
  return command
    .addOption(new Option("--device <name>", "what runs the model").choices([...devices]).default("auto"))
    .addOption(
      new Option(
        "--dtype, --weights <type>",
        "how matrices are kept in memory; narrower than f32 on webgpu only",
      ).choices([...weightStorages]),
    )
    .addOption(new Option("--threads <n>", "threads of the CPU; default: all cores").argParser(wholeNumber(1)));
}
