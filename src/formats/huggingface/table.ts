// The language of weight tables: one rule says how one tensor of a checkpoint is made of parameters of a model. Rules are
// data that is read in both directions, so importing and exporting can't disagree.
//
// A rule's parameters are matrices (vectors have one column; of tensors with more axes, all but the last count as rows).
// The stored tensor is their rows, stacked. With `groups: n` the stacking happens n times over: group g holds the g-th n-th
// of every parameter's rows, one parameter after the other. So per-head packing ([q|k|v] of head 0, [q|k|v] of head 1 …) and
// interleaved halves (n = all rows) are the same thing.

/**
 * How one stored tensor is made of parameters. With `{expert}` in its name there is one for each index of the parameters'
 * first axis; `{use}` stands for the ordinal of the layer among the uses of a shared block.
 */
export interface Rule {
  /** Name in the checkpoint; others that mean the same follow. Relative to the layer where the rule is a layer's. */
  readonly stored: readonly string[];
  /** Parameters whose rows are stacked, relative to the layer. A rule none of whose parameters the model has is skipped. */
  readonly parameters: readonly string[];
  /** How often the stacking is repeated; default once. */
  readonly groups?: number;
  /** As `groups`, once for each index of the parameters' first axis, which is then the stored tensor's first axis. */
  readonly perExpert?: boolean;
  /** whole: stored as [columns, rows] (GPT-2's linear layers). each: every parameter is stored transposed, then stacked. */
  readonly transposed?: "whole" | "each" | undefined;
  /** `stored` names the equal parts that the stacked rows are cut into, instead of one tensor with several names. */
  readonly cut?: boolean;
  /** The stored shape, where it is neither the only parameter's nor [rows, columns]. */
  readonly shape?: (rows: number, columns: number) => readonly number[];
}

/** Sets of rules of which a checkpoint follows one; the first is what is written. */
export interface Alternatives {
  readonly either: readonly (readonly Rule[])[];
}

/** A tensor that a checkpoint may hold and that is not read. `{layer}` stands for a number, `*` for anything. */
export interface IgnoredTensor {
  readonly stored: string;
  /** Why nothing is lost. */
  readonly reason: string;
}

type RuleOptions = Omit<Rule, "stored" | "parameters">;

/** A tensor that is one parameter or the rows of several, stacked. */
export function rule(
  stored: string | readonly string[],
  parameters: string | readonly string[],
  options: RuleOptions = {},
): Rule {
  return {
    stored: typeof stored === "string" ? [stored] : stored,
    parameters: typeof parameters === "string" ? [parameters] : parameters,
    ...options,
  };
}

/** `<stored>.weight` and, where the model has it, `<stored>.bias`. */
export function linear(
  stored: string | readonly string[],
  parameters: string | readonly string[],
  options: RuleOptions = {},
): Rule[] {
  const names = typeof stored === "string" ? [stored] : stored;
  const parts = typeof parameters === "string" ? [parameters] : parameters;
  return ["weight", "bias"].map((kind) =>
    rule(
      names.map((name) => `${name}.${kind}`),
      parts.map((part) => `${part}.${kind}`),
      // A bias is a vector: there is nothing to transpose.
      kind === "bias" ? { ...options, transposed: undefined } : options,
    ),
  );
}

/** A depthwise convolution, stored as [channels, 1, kernel]; several are stacked along the channels. */
export function convolution(stored: string, parameters: string | readonly string[]): Rule[] {
  return linear(stored, parameters).map((one, i) => (i === 0 ? { ...one, shape: convolutionShape } : one));
}

/** The shape of a depthwise convolution's weight, [channels, 1, kernel]. */
export const convolutionShape = (rows: number, columns: number): readonly number[] => [rows, 1, columns];

/** The expression that a name with `{layer}` and `*` in it matches. */
export function namePattern(template: string): RegExp {
  const escaped = template.replace(/[.+?^$()|[\]\\]/g, "\\$&");
  return new RegExp(`^${escaped.replaceAll("{layer}", "\\d+").replaceAll("{expert}", "\\d+").replaceAll("*", ".*")}$`);
}
