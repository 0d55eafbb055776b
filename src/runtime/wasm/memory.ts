// The WebAssembly memory as a heap: first fit over a list of free blocks, 64-byte aligned, growing on demand.
import { RuntimeError } from "../types.ts";

const ALIGNMENT = 64;
const PAGE = 65536;
const MAXIMUM_PAGES = 65536;
/** Below this lie the kernels' own tables. */
const BASE = 1 << 20;

interface Block {
  address: number;
  bytes: number;
}

export interface Heap {
  readonly memory: WebAssembly.Memory;
  /** Address of `bytes` uninitialised bytes. Throws RuntimeError beyond 4 GiB. */
  allocate(bytes: number): number;
  free(address: number): void;
  readonly usedBytes: number;
  floats(address: number, length: number): Float32Array;
  integers(address: number, length: number): Int32Array;
}

/** Whether memory can be shared with worker threads here. */
export function canShareMemory(): boolean {
  return typeof SharedArrayBuffer === "function";
}

export function createHeap(shared: boolean): Heap {
  const memory = new WebAssembly.Memory({ initial: BASE / PAGE, maximum: MAXIMUM_PAGES, shared });
  const free: Block[] = [];
  const sizes = new Map<number, number>();
  let end = BASE;
  let usedBytes = 0;

  const grow = (bytes: number): void => {
    const last = free.at(-1);
    const tail = last !== undefined && last.address + last.bytes === end ? last.bytes : 0;
    const pages = Math.ceil((bytes - tail) / PAGE);
    try {
      memory.grow(pages);
    } catch {
      throw new RuntimeError(
        `out of WebAssembly memory: ${format(bytes)} more wanted with ${format(usedBytes)} in use (the limit is 4 GiB)`,
      );
    }
    if (last !== undefined && tail > 0) last.bytes += pages * PAGE;
    else free.push({ address: end, bytes: pages * PAGE });
    end += pages * PAGE;
  };

  return {
    memory,
    allocate(wanted) {
      const bytes = Math.max(ALIGNMENT, Math.ceil(wanted / ALIGNMENT) * ALIGNMENT);
      let index = free.findIndex((block) => block.bytes >= bytes);
      if (index < 0) {
        grow(bytes);
        index = free.findIndex((block) => block.bytes >= bytes);
      }
      const block = free[index];
      if (block === undefined) throw new RuntimeError(`out of WebAssembly memory: ${format(bytes)} wanted`);
      const { address } = block;
      block.address += bytes;
      block.bytes -= bytes;
      if (block.bytes === 0) free.splice(index, 1);
      sizes.set(address, bytes);
      usedBytes += bytes;
      return address;
    },
    free(address) {
      const bytes = sizes.get(address);
      if (bytes === undefined) throw new RuntimeError(`address ${address} is not allocated`);
      sizes.delete(address);
      usedBytes -= bytes;
      let index = free.findIndex((block) => block.address > address);
      if (index < 0) index = free.length;
      free.splice(index, 0, { address, bytes });
      merge(free, index);
      merge(free, index - 1);
    },
    get usedBytes() {
      return usedBytes;
    },
    floats: (address, length) => new Float32Array(memory.buffer, address, length),
    integers: (address, length) => new Int32Array(memory.buffer, address, length),
  };
}

/** Joins block `index` with the next one where they touch. */
function merge(blocks: Block[], index: number): void {
  const [block, next] = [blocks[index], blocks[index + 1]];
  if (block === undefined || next === undefined || block.address + block.bytes !== next.address) return;
  block.bytes += next.bytes;
  blocks.splice(index + 1, 1);
}

function format(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}
