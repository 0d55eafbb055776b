// What resolving a part of a file needs to know: the data, where it is, the model around it, and how to complain.
import { type Diagnostic, diagnosticAt } from "./diagnostic.ts";
import { formatPath, type LocatedNode, nodeAt, spanAt } from "./located.ts";
import { schema } from "./schema.generated.ts";
import type { NormSpec } from "./types.ts";
import type { DefinitionName } from "./validate.ts";

export interface Context {
  readonly node: LocatedNode;
  /** Where `node` is, for messages. */
  readonly path: readonly string[];
  /** 0 where the file gives none that can be used: checks against it would only confuse. */
  readonly d_model: number;
  /** The model's norm. */
  readonly norm: NormSpec | null;
  /** Among the layers with a mixer: which one this is, from 0, and how many there are. */
  readonly depth: { readonly index: number; readonly count: number };
  readonly report: (diagnostic: Diagnostic) => void;
}

/** The context of a part. A part that was left out is reported at what holds it. */
export function within(context: Context, ...steps: readonly string[]): Context {
  return { ...context, node: nodeAt(context.node, steps), path: [...context.path, ...steps] };
}

/** Reports an error about a field of `context.node`, or about the node itself where `field` is "". */
export function complain(context: Context, field: string, message: string, hint?: string): void {
  const steps = field === "" ? [] : [field];
  context.report(
    diagnosticAt(spanAt(context.node, steps), { path: formatPath([...context.path, ...steps]), message, hint }),
  );
}

type Properties<D extends DefinitionName> = (typeof schema)["definitions"][D] extends { readonly properties: infer P }
  ? P
  : never;
type Defaulted<P> = { [F in keyof P]: P[F] extends { readonly default: unknown } ? F : never }[keyof P];
type WithDefaults<T, K> = Omit<T, K & keyof T> & Required<Pick<T, K & keyof T>>;

/** The fields with the schema's defaults in place of those left out. */
export function withDefaults<D extends DefinitionName, T extends object>(
  definition: D,
  fields: T,
): WithDefaults<T, Defaulted<Properties<D>>> {
  const { properties } = schema.definitions[definition] as {
    readonly properties: Readonly<Record<string, { readonly default?: unknown }>>;
  };
  const defaults = Object.entries(properties)
    .filter(([, rule]) => rule.default !== undefined)
    .map(([name, rule]) => [name, rule.default]);
  return { ...Object.fromEntries(defaults), ...fields } as WithDefaults<T, Defaulted<Properties<D>>>;
}

/** `a` divides `b`, or a complaint about `field` that says so. */
export function checkDivides(context: Context, field: string, a: number, what: string, b: number): boolean {
  if (b % a === 0) return true;
  complain(context, field, `${field} ${a} does not divide ${what} ${b}`, divisorHint(a, b));
  return false;
}

/** The nearest divisors of `n` below and above `wanted`. */
export function divisorHint(wanted: number, n: number): string | undefined {
  if (!Number.isSafeInteger(n) || n < 1 || n > 1e9) return undefined;
  let below = 1;
  let above = n;
  for (let d = 1; d * d <= n; d++) {
    if (n % d !== 0) continue;
    for (const divisor of [d, n / d]) {
      if (divisor <= wanted && divisor > below) below = divisor;
      if (divisor >= wanted && divisor < above) above = divisor;
    }
  }
  return below === above ? undefined : `the nearest that do: ${below} and ${above}`;
}

/** Two ordered numbers, or a complaint. */
export function checkOrder(context: Context, low: string, a: number, high: string, b: number): void {
  if (a > b) complain(context, low, `${low} ${a} is more than ${high} ${b}`);
}

/** A range [low, high] in order, or a complaint about `field`. */
export function checkRange(context: Context, field: string, range: readonly [number, number]): void {
  if (range[0] > range[1]) complain(context, field, `the range [${range.join(", ")}] ends before it begins`);
}

/** A pair from a list of two numbers, "inf" among them. */
export function pairOf(values: readonly (number | string)[]): readonly [number, number] {
  const [low, high] = values.map((value) => (value === "inf" ? Number.POSITIVE_INFINITY : Number(value)));
  return [low ?? 0, high ?? Number.POSITIVE_INFINITY];
}
