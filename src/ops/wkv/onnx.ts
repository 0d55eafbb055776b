// wkv in ONNX from primitives: a scan of logarithmic depth over (numerator, denominator, exponent), each sum relative to the
// largest exponent in it, so that none overflows.
import { arithmetic, END, NEVER } from "../../formats/onnx/forms/arithmetic.ts";
import { TIME } from "../../formats/onnx/forms/decaying.ts";
import { levelsFor, prefixStates, type Values } from "../../formats/onnx/forms/prefix.ts";
import {
  type OnnxEmitter,
  type OnnxForms,
  type OnnxLowering,
  present,
  type Value,
} from "../../formats/onnx/lowering.ts";
import { toScan } from "./onnx-scan.ts";
import type { WkvAttributes } from "./op.ts";

interface Sums {
  readonly num: Value;
  readonly den: Value;
  /** The exponent that both are relative to. */
  readonly most: Value;
}

const sums = ([num, den, most]: Values): Sums => ({
  num: present(num, "num"),
  den: present(den, "den"),
  most: present(most, "most"),
});

/** Both together; the earlier has faded by `decay`. */
function together(earlier: Sums, later: Sums, decay: Value | undefined, emit: OnnxEmitter): Sums {
  const { add, sub, mul, exp, max } = arithmetic(emit);
  const old = decay === undefined ? earlier.most : add(earlier.most, decay);
  const most = max(old, later.most);
  const [kept, fresh] = [exp(sub(old, most)), exp(sub(later.most, most))];
  const sum = (a: Value, b: Value): Value => add(mul(a, kept), mul(b, fresh));
  return { num: sum(earlier.num, later.num), den: sum(earlier.den, later.den), most };
}

/** What a token adds; padding weighs nothing. */
function ofTokens(k: Value, v: Value, emit: OnnxEmitter): Sums {
  const { add, mul, sub, unsqueeze } = arithmetic(emit);
  if (emit.sequence === undefined) {
    return { num: v, den: emit.node("Expand", [emit.floats([1]), emit.node("Shape", [k])]), most: k };
  }
  const mask = unsqueeze(emit.sequence.tokenMask, 2);
  const den = emit.node("Expand", [mask, emit.node("Shape", [k])]);
  const closed = mul(sub(emit.floats([1]), mask), emit.floats([NEVER]));
  return { num: mul(v, mask), den, most: add(mul(k, mask), closed) };
}

/** A state [B, 3, D] as sums [B, 1, D]; one that has seen nothing weighs nothing, whatever its exponent. */
function ofState(state: Value, emit: OnnxEmitter): Sums {
  const { where, slice } = arithmetic(emit);
  const { num, den, most } = sums([0, 1, 2].map((i) => slice(state, TIME, i, i + 1)));
  return { num, den, most: where(emit.node("Equal", [den, emit.floats([0])]), emit.floats([NEVER]), most) };
}

const toPortableOnnx: OnnxLowering<WkvAttributes> = ({ tensors, inputs }, emit) => {
  const { add, mul, div, slice, concat } = arithmetic(emit);
  const [keys, values, decay, bonus, state] = inputs;
  const { shape } = present(tensors[0], "k");
  const [batch = 1, time = 1, channels = 1] = shape;
  const [k, w] = [present(keys, "k"), present(decay, "w")];
  const tokens = ofTokens(k, present(values, "v"), emit);
  const nothing = (): Value => {
    const fill = (value: number): Value =>
      emit.node("Expand", [emit.floats([value]), emit.sizes([batch, 1, channels])]);
    return concat([fill(0), fill(0), fill(NEVER)], TIME);
  };
  const before = ofState(state ?? nothing(), emit);
  const after = sums(
    prefixStates(
      {
        decayShape: [],
        inputShape: shape,
        axis: TIME,
        length: emit.sizes([time]),
        levels: levelsFor(emit.longest),
        decays: [],
        inputs: [tokens.num, tokens.den, tokens.most],
        initial: [before.num, before.den, before.most],
        compose: () => [],
        advance: (earlier, _, later, level) => {
          const faded = level === 0 ? w : mul(w, emit.floats([2 ** level]));
          const { num, den, most } = together(sums(earlier), sums(later), faded, emit);
          return [num, den, most];
        },
      },
      emit,
    ),
  );
  const seen = (x: Value, first: Value): Value => concat([first, slice(x, TIME, 0, -1)], TIME);
  const old = {
    num: seen(after.num, before.num),
    den: seen(after.den, before.den),
    most: seen(after.most, before.most),
  };
  const newest = { ...tokens, most: add(tokens.most, present(bonus, "u")) };
  const mean = together(old, newest, undefined, emit);
  // A row of padding has seen nothing yet: 0 / 0 would spoil what follows.
  const safe = emit.sequence === undefined ? mean.den : arithmetic(emit).max(mean.den, emit.floats([1e-30]));
  const final = concat(
    [after.num, after.den, after.most].map((x) => slice(x, TIME, -1, END)),
    TIME,
  );
  return [div(mean.num, safe), final];
};

export const toOnnx: OnnxForms<WkvAttributes> = { portable: toPortableOnnx, scan: toScan };
