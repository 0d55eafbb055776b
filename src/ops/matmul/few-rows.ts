// Dispatch of few rows times a weight [N, K], as in decoding, or times the weights that rows choose: bound by reading the weight, which
// a tile of many rows would wait for.
import {
  type DeviceFacts,
  type Emitter,
  type GpuTensor,
  part,
  QUANTISED_BLOCK,
  read,
  rowRuns,
  spread,
  update,
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

/** Constants of kernels/matmul/few_rows.wgsl for rows of K = k. */
function kernelConstants(rows: number, k: number, { storage }: GpuTensor, { subgroups, subgroupMinSize }: DeviceFacts) {
  const blocks = k % QUANTISED_BLOCK === 0;
  return {
    ROWS: rows,
    OUTPUTS,
    WORKGROUP: workgroupFor(k, rows),
    BITS: blocks && storage === "int8" ? 8 : blocks && storage === "int4" ? 4 : 0,
    VECTOR: k % 4 === 0,
    SUBGROUPS: subgroups,
    ...(subgroups ? { SUBGROUP_MIN: subgroupMinSize } : {}),
    VECTOR_OUT: false,
    ACCUMULATE: false,
  };
}

/** out [rows, n] = x · weightᵀ (+ bias), rows of the weight cut where no binding holds them all. */
export function emitFewRows({ x, weight, bias, out, rows, n, k }: FewRows, emit: Emitter): void {
  const constants = kernelConstants(rows, k, weight, emit.device);
  const width = constants.VECTOR ? 4 : 1;
  for (const { first, rows: columns } of rowRuns(n, k, weight.storage, emit.device)) {
    emit.dispatch({
      kernel: "matmul/few_rows",
      constants,
      uniforms: { n: columns, k, out_first: first, out_stride: n, bias_first: first },
      bindings: {
        a: read(x, width),
        b: read(columns === n ? weight : part(weight, first * k, columns * k), width),
        out: write(out),
        bias: read(bias),
        indices: undefined,
      },
      workgroups: spread(Math.ceil(columns / OUTPUTS)),
      reason: `${rows} rows, ${OUTPUTS} columns a workgroup${constants.SUBGROUPS ? ", by subgroups" : ""}`,
    });
  }
}

export interface FewExpertRows {
  readonly x: GpuTensor;
  /** [experts, n, k] */
  readonly weight: GpuTensor;
  readonly indices: GpuTensor;
  readonly out: GpuTensor;
  readonly rows: number;
  /** Rows of out that read one row of x. */
  readonly per: number;
}

/** out[r] = weight[indices[r]] · x[r / per]: of the weight only what is chosen is read. */
export function emitFewExpertRows({ x, weight, indices, out, rows, per }: FewExpertRows, emit: Emitter): void {
  const [experts = 1, n = 1, k = 1] = weight.shape;
  const constants = kernelConstants(1, k, weight, emit.device);
  const width = constants.VECTOR ? 4 : 1;
  const runs = rowRuns(experts * n, k, weight.storage, emit.device);
  for (const { first, rows: present } of runs) {
    emit.dispatch({
      kernel: "matmul/few_rows",
      constants,
      uniforms: { n, k, experts, rows, per, b_first: first, b_rows: present },
      bindings: {
        a: read(x, width),
        b: read(runs.length === 1 ? weight : part(weight, first * k, present * k), width),
        // Each of several parts writes the columns that it has.
        out: runs.length === 1 ? write(out) : update(out),
        bias: undefined,
        indices: read(indices),
      },
      workgroups: spread(rows * Math.ceil(n / OUTPUTS)),
      reason: `a row at a time, ${OUTPUTS} columns a workgroup${constants.SUBGROUPS ? ", by subgroups" : ""}`,
    });
  }
}
