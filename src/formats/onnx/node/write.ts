// Writes an exported model to disk: the graph, and beside it its weights in files that stay below what runtimes can address.
// Weights are asked for one at a time, so that memory holds no more than the largest of them on top of the model.
import { basename, dirname, join } from "node:path";
import { writeFileAtomic } from "../../node/atomic-file.ts";
import type { ExternalPlace, StoredTensor } from "../builder.ts";
import { OnnxError } from "../error.ts";
import type { OnnxModel } from "../model.ts";

/** Smaller tensors stay in the graph's own file. */
const LEAST = 1024;
/** Where a tensor may begin, so that its numbers are aligned when the file is mapped into memory. */
const ALIGNMENT = 64;
/** Browsers and protocol buffers end at 2 GiB. */
const SHARD_BYTES = 2 ** 31 - 2 ** 20;

interface Placed extends StoredTensor {
  readonly place: ExternalPlace;
}

/** Shares tensors out over files, in order; a file is full when the next tensor would exceed `limit`. */
function share(tensors: readonly StoredTensor[], path: string, limit: number): Placed[][] {
  const shards: Placed[][] = [];
  let end = 0;
  for (const tensor of tensors) {
    if (tensor.size > limit)
      throw new OnnxError(`${tensor.name} has ${tensor.size} bytes, more than the ${limit} that a file may have`);
    let offset = Math.ceil(end / ALIGNMENT) * ALIGNMENT;
    if (shards.length === 0 || offset + tensor.size > limit) {
      shards.push([]);
      offset = 0;
    }
    // Named as transformers.js looks for them: model.onnx_data, model.onnx_data_1, …
    const number = shards.length - 1;
    const location = `${basename(path)}_data${number === 0 ? "" : `_${number}`}`;
    shards.at(-1)?.push({ ...tensor, place: { location, offset, length: tensor.size } });
    end = offset + tensor.size;
  }
  return shards;
}

/**
 * Writes `path` and, for weights of 1 KiB or more, `path`_data, `path`_data_1 … of at most `shardBytes` each. The graph is
 * written last: where it is, its weights are. Returns the names of the files of weights.
 * @throws OnnxError for a tensor larger than a file may be; FileWriteError for what the system refuses.
 */
export async function writeOnnxModel(
  model: Pick<OnnxModel, "builder" | "encode">,
  path: string,
  {
    shardBytes = SHARD_BYTES,
    signal,
  }: { readonly shardBytes?: number; readonly signal?: AbortSignal | undefined } = {},
): Promise<string[]> {
  const places = new Map<string, ExternalPlace>();
  const names: string[] = [];
  for (const shard of share(model.builder.contents(LEAST), path, shardBytes)) {
    const name = shard[0]?.place.location;
    if (name === undefined) continue;
    names.push(name);
    await writeFileAtomic(join(dirname(path), name), async (sink) => {
      let end = 0;
      for (const { name: tensor, place, bytes } of shard) {
        signal?.throwIfAborted();
        if (place.offset > end) await sink.write(new Uint8Array(place.offset - end));
        await sink.write(await bytes());
        end = place.offset + place.length;
        places.set(tensor, place);
      }
    });
  }
  await model.builder.load(places);
  await writeFileAtomic(path, (sink) => sink.write(model.encode(places)));
  return names;
}
