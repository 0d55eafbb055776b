// Gates of the norms, one row at a time: each activation has a loop of its own, without branches inside.
import { loadLanes, storeLanes } from "./lanes.as";
import { sigmoid, sigmoidGradient, silu, siluGradient } from "./math.as";

/** Activations, as numbered by src/ops/rms-norm/wasm.ts; anything else is the identity. */
const SILU: i32 = 1;
const SIGMOID: i32 = 2;

// @ts-ignore: decorator
@inline
function multiply(activation: i32, x: usize, gate: usize, y: usize, lanes: i32): void {
  const g = loadLanes(gate, lanes);
  const a = activation == SILU ? silu(g) : activation == SIGMOID ? sigmoid(g) : g;
  storeLanes(y, f32x4.mul(loadLanes(x, lanes), a), lanes);
}

// @ts-ignore: decorator
@inline
function multiplyRow(activation: i32, x: usize, gate: usize, y: usize, count: i32): void {
  const full = <usize>(count & ~3) << 2;
  for (let at: usize = 0; at < full; at += 16) multiply(activation, x + at, gate + at, y + at, 4);
  if (count & 3) multiply(activation, x + full, gate + full, y + full, count & 3);
}

/** y[i] = x[i] act(gate[i]); y may be x. */
export function gateRow(activation: i32, x: usize, gate: usize, y: usize, count: i32): void {
  if (activation == SILU) multiplyRow(SILU, x, gate, y, count);
  else if (activation == SIGMOID) multiplyRow(SIGMOID, x, gate, y, count);
  else multiplyRow(0, x, gate, y, count);
}

// @ts-ignore: decorator
@inline
function evaluate(activation: i32, gate: usize, value: usize, slope: usize, lanes: i32): void {
  const g = loadLanes(gate, lanes);
  if (activation == SILU) {
    const s = sigmoid(g);
    v128.store(value, f32x4.mul(g, s));
    v128.store(slope, siluGradient(g, s));
  } else if (activation == SIGMOID) {
    const s = sigmoid(g);
    v128.store(value, s);
    v128.store(slope, sigmoidGradient(s));
  } else {
    v128.store(value, g);
    v128.store(slope, f32x4.splat(1));
  }
}

// @ts-ignore: decorator
@inline
function evaluateRow(activation: i32, gate: usize, value: usize, slope: usize, count: i32): void {
  const full = <usize>(count & ~3) << 2;
  for (let at: usize = 0; at < full; at += 16) evaluate(activation, gate + at, value + at, slope + at, 4);
  if (count & 3) evaluate(activation, gate + full, value + full, slope + full, count & 3);
}

/** value[i] = act(gate[i]), slope[i] = act'(gate[i]); both have room for a multiple of four floats. */
export function gateValues(activation: i32, gate: usize, value: usize, slope: usize, count: i32): void {
  if (activation == SILU) evaluateRow(SILU, gate, value, slope, count);
  else if (activation == SIGMOID) evaluateRow(SIGMOID, gate, value, slope, count);
  else evaluateRow(0, gate, value, slope, count);
}
