// The instructions of the map interpreter: each runs over `bytes` (a multiple of 16) of its operands. An operand is a
// place and a mask for the offset in it: -1 for a stream or a register, 0 for one vector of equal lanes.
import { erf, exp, log, log1p, cos, sigmoid, silu, siluGradient, sin, softplus, tanh } from "./math.as";
import { fma, fnma } from "./simd.as";

// Opcodes, in the order of `opcodes` in src/ops/map/bytecode.ts.
const MOVE: i32 = 0;
const ADD: i32 = 1;
const SUB: i32 = 2;
const MUL: i32 = 3;
const DIV: i32 = 4;
const NEG: i32 = 5;
const MAX: i32 = 6;
const MIN: i32 = 7;
const GREATER: i32 = 8;
const WHERE: i32 = 9;
const ABS: i32 = 10;
const SQRT: i32 = 11;
const EXP: i32 = 12;
const LOG: i32 = 13;
const LOG1P: i32 = 14;
const TANH: i32 = 15;
const SIGMOID: i32 = 16;
const SOFTPLUS: i32 = 17;
const ERF: i32 = 18;
const SIN: i32 = 19;
const COS: i32 = 20;
/** a * sigmoid(a) */
const SILU: i32 = 21;
/** a * sigmoid(a) * b */
const SILU_MUL: i32 = 22;
/** a * b + c */
const MUL_ADD: i32 = 23;
/** c - a * b */
const MUL_SUB_FROM: i32 = 24;
/** d(a * sigmoid(a)) / da */
const SILU_GRADIENT: i32 = 25;
/** a * b * c */
const MUL_MUL: i32 = 26;

// @ts-ignore: decorator
@inline
function apply1(op: i32, a: v128): v128 {
  if (op == NEG) return f32x4.neg(a);
  if (op == ABS) return f32x4.abs(a);
  if (op == SQRT) return f32x4.sqrt(a);
  if (op == EXP) return exp(a);
  if (op == LOG) return log(a);
  if (op == LOG1P) return log1p(a);
  if (op == TANH) return tanh(a);
  if (op == SIGMOID) return sigmoid(a);
  if (op == SOFTPLUS) return softplus(a);
  if (op == ERF) return erf(a);
  if (op == SIN) return sin(a);
  if (op == COS) return cos(a);
  if (op == SILU) return silu(a);
  if (op == SILU_GRADIENT) return siluGradient(a, sigmoid(a));
  return a;
}

// @ts-ignore: decorator
@inline
function apply2(op: i32, a: v128, b: v128): v128 {
  if (op == ADD) return f32x4.add(a, b);
  if (op == SUB) return f32x4.sub(a, b);
  if (op == MUL) return f32x4.mul(a, b);
  if (op == DIV) return f32x4.div(a, b);
  if (op == MAX) return f32x4.max(a, b);
  if (op == MIN) return f32x4.min(a, b);
  if (op == GREATER) return v128.and(f32x4.gt(a, b), f32x4.splat(1));
  return f32x4.mul(silu(a), b);
}

// @ts-ignore: decorator
@inline
function apply3(op: i32, a: v128, b: v128, c: v128): v128 {
  if (op == MUL_ADD) return fma(a, b, c);
  if (op == MUL_SUB_FROM) return fnma(a, b, c);
  if (op == MUL_MUL) return f32x4.mul(f32x4.mul(a, b), c);
  return v128.bitselect(b, c, f32x4.ne(a, f32x4.splat(0)));
}

// @ts-ignore: decorator
@inline
function unary(op: i32, target: usize, a: usize, mask: usize, bytes: usize): void {
  for (let i: usize = 0; i < bytes; i += 16) v128.store(target + i, apply1(op, v128.load(a + (i & mask))));
}

// @ts-ignore: decorator
@inline
function binary(op: i32, target: usize, a: usize, maskA: usize, b: usize, maskB: usize, bytes: usize): void {
  let i: usize = 0;
  if (maskA & maskB) {
    for (const unrolled = bytes & ~63; i < unrolled; i += 64) {
      const x0 = apply2(op, v128.load(a + i), v128.load(b + i));
      const x1 = apply2(op, v128.load(a + i, 16), v128.load(b + i, 16));
      const x2 = apply2(op, v128.load(a + i, 32), v128.load(b + i, 32));
      const x3 = apply2(op, v128.load(a + i, 48), v128.load(b + i, 48));
      v128.store(target + i, x0);
      v128.store(target + i, x1, 16);
      v128.store(target + i, x2, 32);
      v128.store(target + i, x3, 48);
    }
  } else if (maskA) {
    const y = v128.load(b);
    for (const unrolled = bytes & ~63; i < unrolled; i += 64) {
      v128.store(target + i, apply2(op, v128.load(a + i), y));
      v128.store(target + i, apply2(op, v128.load(a + i, 16), y), 16);
      v128.store(target + i, apply2(op, v128.load(a + i, 32), y), 32);
      v128.store(target + i, apply2(op, v128.load(a + i, 48), y), 48);
    }
  } else if (maskB) {
    const x = v128.load(a);
    for (const unrolled = bytes & ~63; i < unrolled; i += 64) {
      v128.store(target + i, apply2(op, x, v128.load(b + i)));
      v128.store(target + i, apply2(op, x, v128.load(b + i, 16)), 16);
      v128.store(target + i, apply2(op, x, v128.load(b + i, 32)), 32);
      v128.store(target + i, apply2(op, x, v128.load(b + i, 48)), 48);
    }
  }
  for (; i < bytes; i += 16) v128.store(target + i, apply2(op, v128.load(a + (i & maskA)), v128.load(b + (i & maskB))));
}

/** For instructions so dear that unrolling buys nothing. */
// @ts-ignore: decorator
@inline
function binaryDear(op: i32, target: usize, a: usize, maskA: usize, b: usize, maskB: usize, bytes: usize): void {
  for (let i: usize = 0; i < bytes; i += 16) {
    v128.store(target + i, apply2(op, v128.load(a + (i & maskA)), v128.load(b + (i & maskB))));
  }
}

// @ts-ignore: decorator
@inline
function ternary(
  op: i32, target: usize, a: usize, maskA: usize, b: usize, maskB: usize, c: usize, maskC: usize, bytes: usize,
): void {
  for (let i: usize = 0; i < bytes; i += 16) {
    const x = apply3(op, v128.load(a + (i & maskA)), v128.load(b + (i & maskB)), v128.load(c + (i & maskC)));
    v128.store(target + i, x);
  }
}

/** Runs `count` instructions of five words at `program` over `bytes` of the operands that `table` points to. */
export function execute(program: usize, count: i32, table: usize, bytes: usize): void {
  for (const end = program + <usize>count * 20; program < end; program += 20) {
    const target = <usize>load<u32>(table + load<u32>(program, 4));
    const entryA = table + load<u32>(program, 8);
    const entryB = table + load<u32>(program, 12);
    const a = <usize>load<u32>(entryA);
    const maskA = <usize>load<u32>(entryA, 4);
    const b = <usize>load<u32>(entryB);
    const maskB = <usize>load<u32>(entryB, 4);
    switch (load<i32>(program)) {
      case ADD: binary(ADD, target, a, maskA, b, maskB, bytes); break;
      case SUB: binary(SUB, target, a, maskA, b, maskB, bytes); break;
      case MUL: binary(MUL, target, a, maskA, b, maskB, bytes); break;
      case DIV: binaryDear(DIV, target, a, maskA, b, maskB, bytes); break;
      case NEG: unary(NEG, target, a, maskA, bytes); break;
      case MAX: binary(MAX, target, a, maskA, b, maskB, bytes); break;
      case MIN: binary(MIN, target, a, maskA, b, maskB, bytes); break;
      case GREATER: binary(GREATER, target, a, maskA, b, maskB, bytes); break;
      case ABS: unary(ABS, target, a, maskA, bytes); break;
      case SQRT: unary(SQRT, target, a, maskA, bytes); break;
      case EXP: unary(EXP, target, a, maskA, bytes); break;
      case LOG: unary(LOG, target, a, maskA, bytes); break;
      case LOG1P: unary(LOG1P, target, a, maskA, bytes); break;
      case TANH: unary(TANH, target, a, maskA, bytes); break;
      case SIGMOID: unary(SIGMOID, target, a, maskA, bytes); break;
      case SOFTPLUS: unary(SOFTPLUS, target, a, maskA, bytes); break;
      case ERF: unary(ERF, target, a, maskA, bytes); break;
      case SIN: unary(SIN, target, a, maskA, bytes); break;
      case COS: unary(COS, target, a, maskA, bytes); break;
      case SILU_GRADIENT: unary(SILU_GRADIENT, target, a, maskA, bytes); break;
      case SILU: unary(SILU, target, a, maskA, bytes); break;
      case SILU_MUL: binaryDear(SILU_MUL, target, a, maskA, b, maskB, bytes); break;
      case WHERE:
      case MUL_ADD:
      case MUL_MUL:
      case MUL_SUB_FROM: {
        const entryC = table + load<u32>(program, 16);
        const c = <usize>load<u32>(entryC);
        const maskC = <usize>load<u32>(entryC, 4);
        const op = load<i32>(program);
        if (op == MUL_ADD) ternary(MUL_ADD, target, a, maskA, b, maskB, c, maskC, bytes);
        else if (op == MUL_SUB_FROM) ternary(MUL_SUB_FROM, target, a, maskA, b, maskB, c, maskC, bytes);
        else if (op == MUL_MUL) ternary(MUL_MUL, target, a, maskA, b, maskB, c, maskC, bytes);
        else ternary(WHERE, target, a, maskA, b, maskB, c, maskC, bytes);
        break;
      }
      default: unary(MOVE, target, a, maskA, bytes);
    }
  }
}
