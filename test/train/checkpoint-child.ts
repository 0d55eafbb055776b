// Run as a child process by checkpoint.test.ts: writes checkpoints until it is killed.
import { writeSafetensorsFile } from "../../src/formats/safetensors/node/file.ts";
import { encodeCheckpoint } from "../../src/train/checkpoint.ts";
import { saveCheckpoint } from "../../src/train/node/checkpoints.ts";
import { exampleCheckpoint } from "./example-checkpoint.ts";

const [directory = "", mode = ""] = process.argv.slice(2);

if (mode === "stall") {
  // Write half of step 2 and wait to be killed in the middle of it.
  const { tensors, metadata } = encodeCheckpoint(exampleCheckpoint(2));
  const stalling = tensors.map((tensor) => ({
    ...tensor,
    data: async function* () {
      if (tensor.name === "weights.b") {
        process.stdout.write("half\n");
        await new Promise((resolve) => setTimeout(resolve, 60_000));
      }
      yield tensor.data as ArrayBufferView;
    },
  }));
  await writeSafetensorsFile(`${directory}/step-00000002.safetensors`, stalling, metadata);
} else {
  for (let step = 1; ; step++) {
    await saveCheckpoint(directory, exampleCheckpoint(step, 200_000));
    process.stdout.write(`${step}\n`);
  }
}
