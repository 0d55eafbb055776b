// Dispatch of few rows times a weight [N, K], as in decoding: bound by reading the weight, which a tile of many rows would wait for.
import {
  type Emitter,
  type GpuTensor,
  part,
  QUANTISED_BLOCK,
  read,
  rowRuns,
  spread,
  write,
} from "../../runtime/webgpu/lowering.ts";

/** Most rows: beyond, x is read from cache more often than a tile in workgroup memory would be. */
export const FEW_ROWS = 8;

export interface FewRows {
  readonly x: GpuTensor;
  readonly weight: GpuTensor;
  readonly bias: GpuTensor | undefined;
  readonly out: GpuTensor;
  readonly rows: number;
  readonly n: number;
  readonly k: number;
}

const OUTPUTS = 4;

/** Sums of up to 4 rows are added up by 128 threads; longer ones, and more rows, by fewer threads that each do more. */
const workgroupFor = (k: number, rows: number): number => (k >= 2048 && rows <= 4 ? 128 : 64);

/** out [rows, n] = x · weightᵀ (+ bias), rows of the weight cut where no binding holds them all. */
export function emitFewRows({ x, weight, bias, out, rows, n, k }: FewRows, emit: Emitter): void {
  const { subgroups, subgroupMinSize } = emit.device;
  const WORKGROUP = workgroupFor(k, rows);
  const blocks = k % QUANTISED_BLOCK === 0;
  const BITS = blocks && weight.storage === "int8" ? 8 : blocks && weight.storage === "int4" ? 4 : 0;
  const VECTOR = k % 4 === 0;
  for (const { first, rows: columns } of rowRuns(n, k, weight.storage, emit.device)) {
    emit.dispatch({
      kernel: "matmul/few_rows",
      constants: {
        ROWS: rows,
        OUTPUTS,
        WORKGROUP,
        BITS,
        VECTOR,
        SUBGROUPS: subgroups,
        ...(subgroups ? { SUBGROUP_MIN: subgroupMinSize } : {}),
        VECTOR_OUT: false,
        ACCUMULATE: false,
      },
      uniforms: { n: columns, k, out_first: first, out_stride: n, bias_first: first },
      bindings: {
        a: read(x, VECTOR ? 4 : 1),
        b: read(columns === n ? weight : part(weight, first * k, columns * k), VECTOR ? 4 : 1),
        out: write(out),
        bias: read(bias),
      },
      workgroups: spread(Math.ceil(columns / OUTPUTS)),
      reason: `${rows} rows, ${OUTPUTS} columns a workgroup${subgroups ? ", by subgroups" : ""}`,
    });
  }
}
