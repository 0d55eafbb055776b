// Checks located data against the JSON Schema and says what ajv found in the words of the language, at the place where
// it was written.
import { Ajv, type ErrorObject, type ValidateFunction } from "ajv";
import { type Diagnostic, diagnosticAt } from "./diagnostic.ts";
import { entryOf, formatPath, type LocatedNode, nodeAt, spanAt, toData } from "./located.ts";
import { schema } from "./schema.generated.ts";
import type { Span } from "./source.ts";
import { nearest, suggestion } from "./suggest.ts";

export type DefinitionName = keyof (typeof schema)["definitions"];

/** What is wrong, and under which path from the root of what was checked. */
export interface Violation {
  readonly path: readonly string[];
  readonly diagnostic: Diagnostic;
  /** Which keyword of JSON Schema was not obeyed. */
  readonly keyword: string;
}

/** A schema with definitions, as far as it is read here. */
interface Schema<Name extends string> {
  readonly definitions: Readonly<Record<Name, unknown>>;
}

/**
 * Checks `node` against the whole schema, or one of its definitions. `prefix` is where `node` is in the file, for the
 * paths in messages.
 */
type Validator<Name extends string> = (node: LocatedNode, definition?: Name, prefix?: readonly string[]) => Violation[];

/** A validator of a schema, for any language that is written in YAML and wants errors like these. */
export function makeValidator<Name extends string>(language: Schema<Name>): Validator<Name> {
  let compiled: Ajv | undefined;
  // Compiling takes some 50 ms, so it waits until a file is checked.
  const validator = (definition: Name | undefined): ValidateFunction => {
    if (compiled === undefined) {
      compiled = new Ajv({ allErrors: true, verbose: true, discriminator: true, allowUnionTypes: true });
      compiled.addSchema(language, "language");
    }
    const key = definition === undefined ? "language" : `language#/definitions/${definition}`;
    const validate = compiled.getSchema(key);
    if (validate === undefined) throw new Error(`the schema has no definition ${key}`);
    return validate;
  };
  return (node, definition, prefix = []) => {
    const check = validator(definition);
    if (check(toData(node))) return [];
    return (check.errors ?? []).flatMap((error) => {
      const words = inWords(error, node, language.definitions);
      if (words === undefined) return [];
      const { span, path, message, hint } = words;
      const diagnostic = diagnosticAt(span, { path: formatPath([...prefix, ...path]), message, hint });
      return [{ path, diagnostic, keyword: error.keyword }];
    });
  };
}

/** Checks against the schema of architecture files. */
export const validate: Validator<DefinitionName> = makeValidator(schema);

interface Words {
  readonly path: readonly string[];
  readonly span: Span;
  readonly message: string;
  readonly hint?: string | undefined;
}

/** What the parts of ajv's errors that we read look like. */
interface Rule {
  readonly type?: string | readonly string[];
  readonly title?: string;
  readonly pattern?: string;
  readonly properties?: Readonly<Record<string, Rule>>;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly oneOf?: readonly { readonly $ref: string }[];
}

type Definitions = Readonly<Record<string, unknown>>;

function inWords(error: ErrorObject, root: LocatedNode, definitions: Definitions): Words | undefined {
  const path = error.instancePath
    .split("/")
    .slice(1)
    .map((step) => step.replaceAll("~1", "/").replaceAll("~0", "~"));
  const rule = (error.parentSchema ?? {}) as Rule;
  const node = nodeAt(root, path);
  const params = error.params as Record<string, unknown>;
  const field = [...path].reverse().find((step) => !/^\d+$/.test(step)) ?? "the file";
  const at = { path, span: spanAt(root, path) };
  switch (error.keyword) {
    case "additionalProperties": {
      const name = String(params.additionalProperty);
      const span = entryOf(node, name)?.key ?? at.span;
      const allowed = Object.keys(rule.properties ?? {});
      if (name === "<<") {
        const hint = "merge keys are not part of YAML 1.2: use an alias for the whole value, or `extends`";
        return { path: [...path, name], span, message: '"<<" is not a field', hint };
      }
      const message = `${quote(name)} is not a field of ${nounOf(rule)}`;
      return { path: [...path, name], span, message, hint: misplaced(name, rule) ?? suggestion(name, allowed) };
    }
    case "required": {
      const name = String(params.missingProperty);
      // A missing `type` is said by `discriminator`, with the types there are.
      if (rule.oneOf !== undefined || isMisspelt(name, node, Object.keys(rule.properties ?? {}))) return undefined;
      return { ...at, message: `${name} is missing` };
    }
    case "discriminator":
      return chosenType(at, path, rule, root, definitions);
    case "type":
      return { ...at, ...wrongType(node, rule, field, definitions) };
    case "enum": {
      const allowed = (params.allowedValues as unknown[]).map(String);
      return notAllowed(at, node, field, allowed);
    }
    case "pattern":
      return notAllowed(at, node, field, choicesOf(rule) ?? [], otherTypes(rule));
    case "minimum":
      return {
        ...at,
        message: `${found(node)} is too small; ${field} is at least ${params.limit}`,
        hint: HINTS.get(field),
      };
    case "maximum":
      return { ...at, message: `${found(node)} is too large; ${field} is at most ${params.limit}` };
    case "exclusiveMinimum":
      return {
        ...at,
        message: `${found(node)} is too small; ${field} is more than ${params.limit}`,
        hint: HINTS.get(field),
      };
    case "minLength":
    case "minProperties":
      return { ...at, message: "is empty" };
    case "minItems":
    case "maxItems": {
      const limit = `${error.keyword === "minItems" ? "at least" : "at most"} ${params.limit}`;
      const count = node.kind === "list" ? node.items.length : 0;
      return {
        ...at,
        message: count === 0 ? "is an empty list" : `${field} holds ${count}; it takes ${limit}`,
      };
    }
    default:
      return { ...at, message: error.message ?? "is not valid" };
  }
}

/** Whether `node` lacks `field` only because it is there under a wrong name, which is an error of its own. */
export function isMisspelt(field: string, node: LocatedNode, allowed: readonly string[]): boolean {
  if (node.kind !== "map") return false;
  return [...node.entries.keys()].some((key) => !allowed.includes(key) && nearest(key, allowed) === field);
}

/** What to do where a number at its limit has an obvious alternative. */
const HINTS: ReadonlyMap<string, string> = new Map([
  ["window", "leave window out for full attention"],
  ["softcap", "leave softcap out for none"],
  ["d_conv", "with 1 the convolution sees the current token only"],
  ["repeat", "leave the entry out, or repeat it at least once"],
]);

/** A union chosen by `type`: the type is missing, not a name, or unknown. */
function chosenType(
  at: Pick<Words, "path" | "span">,
  path: readonly string[],
  rule: Rule,
  root: LocatedNode,
  definitions: Definitions,
): Words {
  const allowed = typesOf(rule.oneOf ?? [], definitions);
  const entry = entryOf(nodeAt(root, path), "type");
  const noun = nounOf(rule);
  if (entry === undefined) return { ...at, message: "type is missing", hint: `allowed: ${allowed.join(", ")}` };
  const place = { path: [...path, "type"], span: entry.node.span };
  if (entry.node.kind === "scalar" && typeof entry.node.value === "string") {
    const value = entry.node.value;
    return { ...place, message: `${quote(value)} is not ${noun}`, hint: suggestion(value, allowed) };
  }
  return {
    ...place,
    message: `expected the name of ${noun}, found ${found(entry.node)}`,
    hint: `allowed: ${allowed.join(", ")}`,
  };
}

function typesOf(options: readonly { readonly $ref: string }[], definitions: Definitions): string[] {
  return options.map(({ $ref }) => String(definitionOf($ref, definitions)?.properties?.type?.const));
}

function definitionOf(reference: string, definitions: Definitions): Rule | undefined {
  return definitions[reference.replace("#/definitions/", "")] as Rule | undefined;
}

function notAllowed(
  at: Pick<Words, "path" | "span">,
  node: LocatedNode,
  field: string,
  allowed: readonly string[],
  other = "",
): Words {
  const given = node.kind === "scalar" && typeof node.value === "string" ? node.value : undefined;
  const kind = field === "type" ? `type of ${at.path.at(-2) ?? "it"}` : `value of ${field}`;
  const message = `${found(node)} is not a ${kind}`;
  const near = given === undefined ? undefined : nearest(given, allowed);
  const others = other === "" ? "" : `, or ${other}`;
  const hint = near === undefined ? `allowed: ${allowed.join(", ")}${others}` : `did you mean "${near}"?`;
  return { ...at, message, hint };
}

const TYPE_WORDS: ReadonlyMap<string, string> = new Map([
  ["integer", "a whole number"],
  ["number", "a number"],
  ["string", "text"],
  ["boolean", "true or false"],
  ["object", "a mapping"],
  ["array", "a list"],
]);

function wrongType(
  node: LocatedNode,
  rule: Rule,
  field: string,
  definitions: Definitions,
): { message: string; hint?: string | undefined } {
  const types = [rule.type ?? []].flat();
  const choices = choicesOf(rule);
  const words = types.map((type) =>
    type === "string" && choices !== undefined ? choices.map(quote).join(" or ") : (TYPE_WORDS.get(type) ?? type),
  );
  const expected = `expected ${listed(words)}`;
  if (node.kind === "scalar" && node.value === null) {
    if (node.written === "") return { message: `${field} has no value; ${expected}` };
    return {
      message: `${expected}, found null`,
      hint: "null removes what `extends` inherits; there is nothing to remove",
    };
  }
  return { message: `${expected}, found ${found(node)}`, hint: typeHint(node, types, rule, definitions) };
}

function typeHint(
  node: LocatedNode,
  types: readonly string[],
  rule: Rule,
  definitions: Definitions,
): string | undefined {
  if (node.kind !== "scalar" || typeof node.value !== "string") return undefined;
  const value = node.value;
  if (types.includes("number") || types.includes("integer")) {
    if (value.trim() !== "" && Number.isFinite(Number(value))) return "take the quotes off";
    if (/^[+-]?[\d.]+e\+?\d+$/i.test(value)) return "it is too large for a number";
    if (/^[\d_,']+$/.test(value)) return "write digits only";
    if (/^\d+(\.\d+)?[kKmMgG]$/.test(value)) return "write the number out";
  }
  if (types.includes("boolean")) {
    if (/^(yes|on|y|true)$/i.test(value)) return "write true";
    if (/^(no|off|n|none|false)$/i.test(value)) return "write false";
  }
  return types.includes("object") ? longForm(value, rule, definitions) : undefined;
}

/** Where one word stands for a mapping: the mapping that was probably meant. */
function longForm(value: string, rule: Rule, definitions: Definitions): string | undefined {
  if (rule.title === "BlockFields") {
    const kind = (["mixer", "ffn"] as const).find((name) =>
      typesOf(schema.definitions[name].oneOf, schema.definitions).includes(value),
    );
    return kind === undefined ? undefined : `write {${kind}: {type: ${value}}}`;
  }
  if (rule.oneOf !== undefined) {
    const type = nearest(value, typesOf(rule.oneOf, definitions));
    return type === undefined ? undefined : `write {type: ${type}}`;
  }
  const field = Object.entries(rule.properties ?? {}).find(([, inner]) => inner.enum?.includes(value));
  return field === undefined ? undefined : `write {${field[0]}: ${value}}`;
}

/** Fields of a mixer or ffn that were written on the block itself. */
function misplaced(name: string, rule: Rule): string | undefined {
  if (rule.title !== "BlockFields" && rule.title !== "BranchFields" && rule.title !== "OverrideFields")
    return undefined;
  const allowed = Object.keys(rule.properties ?? {});
  if (nearest(name, allowed) !== undefined) return undefined;
  for (const kind of ["mixer", "ffn"] as const) {
    for (const { $ref } of schema.definitions[kind].oneOf) {
      if (Object.keys(definitionOf($ref, schema.definitions)?.properties ?? {}).includes(name)) {
        return `it belongs inside ${name === "type" ? "mixer: { } or ffn" : kind}: { }`;
      }
    }
  }
  return undefined;
}

/** What a value may be besides the words of its pattern. */
function otherTypes(rule: Rule): string {
  const types = [rule.type ?? []].flat().filter((type) => type !== "string");
  return types.map((type) => TYPE_WORDS.get(type) ?? type).join(", ");
}

/** `a`, `a or b`, `a, b or c`. */
function listed(words: readonly string[]): string {
  const all = words.flatMap((word) => (word === "true or false" && words.length > 1 ? ["true", "false"] : [word]));
  return all.length < 2 ? (all[0] ?? "") : `${all.slice(0, -1).join(", ")} or ${all.at(-1)}`;
}

/** The words of a pattern of the form ^(a|b|c)$. */
function choicesOf(rule: Rule): string[] | undefined {
  return rule.pattern?.match(/^\^\(([\w|]+)\)\$$/)?.[1]?.split("|");
}

/** What a definition is called in a sentence: `mamba`, `a norm`, `an architecture`. */
function nounOf(rule: Rule): string {
  const type = rule.properties?.type?.const;
  if (typeof type === "string") return type;
  const words = (rule.title ?? "this mapping")
    .replace(/(Fields|Field|File)$/, "")
    .replaceAll(/(?<=[a-z])(?=[A-Z])/g, " ")
    .toLowerCase();
  if (words === "this mapping") return words;
  return `${/^[aeio]|^ffn/.test(words) ? "an" : "a"} ${words}`;
}

/** A value as it can be shown in a sentence. */
export function found(node: LocatedNode): string {
  if (node.kind === "list") return "a list";
  if (node.kind === "map") return "a mapping";
  if (/^[+-]?\.(inf|nan)$/i.test(node.written)) return node.written;
  return typeof node.value === "string" ? quote(node.value) : String(node.value);
}

/** Text in quotes, cut where it is long. */
export function quote(text: string): string {
  return `"${text.length > 60 ? `${text.slice(0, 59)}…` : text}"`;
}
