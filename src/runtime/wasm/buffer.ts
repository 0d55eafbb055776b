// Parameters and states in WebAssembly memory, row-major or packed for the GEMM.
import { type BoundType, type DType, sizeOf } from "../../graph/shape.ts";
import { type Buffer, checkArray, type HostArray } from "../types.ts";
import type { Engine } from "./engine.ts";
import type { Layout } from "./lowering.ts";

/** Features in a panel of packed weights (kernels/common/panels.as.ts). */
const PANEL = 16;

/** A matrix, or matrices that fill whole panels: then their features may be counted through. */
function fitsPanels(shape: readonly number[]): boolean {
  return shape.length === 2 || (shape.length === 3 && (shape[1] ?? 0) % PANEL === 0);
}

export class WasmBuffer implements Buffer {
  readonly shape: readonly number[];
  readonly dtype: DType;
  readonly layout: Layout;
  readonly address: number;
  readonly #engine: Engine;

  constructor(engine: Engine, type: BoundType, packed: boolean) {
    this.shape = type.shape;
    this.dtype = type.dtype;
    this.layout = packed && fitsPanels(type.shape) ? "panels" : "plain";
    this.#engine = engine;
    const [features, depth] = this.#matrix();
    const elements = this.layout === "panels" ? Math.ceil(features / PANEL) * PANEL * depth : sizeOf(type.shape);
    this.address = engine.heap.allocate(4 * elements);
    if (this.layout === "plain") this.#view().fill(0);
  }

  #matrix(): [features: number, depth: number] {
    return [sizeOf(this.shape.slice(0, -1)), this.shape.at(-1) ?? 1];
  }

  #view(address = this.address): HostArray {
    const size = sizeOf(this.shape);
    return this.dtype === "i32" ? this.#engine.heap.integers(address, size) : this.#engine.heap.floats(address, size);
  }

  write(data: HostArray): void {
    checkArray("buffer contents", this, data);
    if (this.layout === "plain") this.#view().set(data);
    else
      this.#withPlain((plain) => {
        this.#view(plain).set(data);
        this.#convert("pack_panels", plain, this.address);
      });
  }

  async read(): Promise<HostArray> {
    const copy = this.dtype === "i32" ? new Int32Array(sizeOf(this.shape)) : new Float32Array(sizeOf(this.shape));
    if (this.layout === "plain") copy.set(this.#view());
    else
      this.#withPlain((plain) => {
        this.#convert("unpack_panels", this.address, plain);
        copy.set(this.#view(plain));
      });
    return copy;
  }

  free(): void {
    this.#engine.heap.free(this.address);
  }

  /** Room for the plain form, for as long as `body` runs. */
  #withPlain(body: (address: number) => void): void {
    const plain = this.#engine.heap.allocate(4 * sizeOf(this.shape));
    try {
      body(plain);
    } finally {
      this.#engine.heap.free(plain);
    }
  }

  #convert(kernel: string, from: number, to: number): void {
    const { heap, kernelIndex, run } = this.#engine;
    const words = [1, kernelIndex(kernel), 0, 5, from, to, ...this.#matrix(), 1];
    const program = heap.allocate(4 * words.length);
    heap.integers(program, words.length).set(words.map((word) => word | 0));
    run(program);
    heap.free(program);
  }
}
