// The field reference of docs/spec.md as Markdown tables, one per definition of the schema.

/** @typedef {Record<string, any>} Json */

/** Sections in reading order; a definition that is missing here is an error, so that no field goes undocumented. */
const SECTIONS = [
  "embedding",
  "positions",
  "head",
  "norm",
  "init",
  "layers",
  "layer_item",
  "block",
  "adapter",
  "residual",
  "branch",
  "override",
  "mixer",
  "mamba",
  "mamba2",
  "in_proj_scale",
  "gated_delta",
  "linear_attention",
  "attention",
  "latent_attention",
  "short_conv",
  "rg_lru",
  "wkv",
  "s4d",
  "rnn",
  "ffn",
  "mlp",
  "linear",
  "moe",
  "router",
  "shared_expert",
  "rope",
  "rope_scaling",
  "rope_linear",
  "rope_ntk",
  "rope_dynamic",
  "rope_yarn",
  "rope_llama3",
  "rope_longrope",
  "rope_proportional",
  "inner_norm",
  "head_norm",
  "gated_norm",
];

/**
 * @param {Json} schema
 * @returns {string}
 */
export function fieldReference(schema) {
  const definitions = schema.definitions;
  const missing = Object.keys(definitions).filter((name) => !SECTIONS.includes(name));
  if (missing.length > 0) throw new Error(`scripts/spec-reference.mjs has no section for ${missing.join(", ")}`);
  const parts = [section("An architecture", schema)];
  for (const name of SECTIONS) parts.push(section(`\`${name}\``, definitions[name]));
  return parts.join("\n");
}

/**
 * @param {string} heading
 * @param {Json} definition
 */
export function section(heading, definition) {
  const lines = [`### ${heading}`, ""];
  if (definition.description) lines.push(definition.description, "");
  if (definition.oneOf) {
    const types = definition.oneOf.map((/** @type {Json} */ option) => `[\`${target(option)}\`](#${target(option)})`);
    lines.push(`One of ${types.join(", ")}.`, "");
  }
  if (definition.properties) {
    lines.push("| field | value | default | meaning |", "|---|---|---|---|");
    for (const [name, field] of Object.entries(definition.properties)) {
      const required = definition.required?.includes(name) ? "required" : defaultOf(field);
      lines.push(
        `| \`${name}\` | ${cell(valueText(field))} | ${cell(required)} | ${cell(field.description ?? meaningOf(field))} |`,
      );
    }
    lines.push("");
  }
  return lines.join("\n");
}

/** @param {Json} field */
const target = (field) => String(field.$ref).replace("#/definitions/", "");

/** @param {Json} field */
const meaningOf = (field) => (field.$ref ? `See [\`${target(field)}\`](#${target(field)}).` : "");

/** @param {Json} field */
function defaultOf(field) {
  if (!("default" in field)) return "";
  const { default: value } = field;
  if (Array.isArray(value)) return `\`[${value.join(", ")}]\``;
  return `\`${typeof value === "number" ? plainNumber(value) : value}\``;
}

/** @param {number} value */
const plainNumber = (value) => (value !== 0 && Math.abs(value) < 1e-3 ? value.toExponential() : String(value));

const TYPE_WORDS = /** @type {Record<string, string>} */ ({
  integer: "whole number",
  number: "number",
  string: "text",
  boolean: "true, false",
  object: "mapping",
  array: "list",
});

/**
 * @param {Json} field
 * @returns {string}
 */
function valueText(field) {
  if (field.$ref) return `[\`${target(field)}\`](#${target(field)})`;
  if (field.const) return `\`${field.const}\``;
  if (field.enum) return field.enum.map((/** @type {string} */ word) => `\`${word}\``).join(", ");
  const choices = choicesOf(field.pattern);
  const types = [field.type].flat().map((/** @type {string} */ type) => {
    if (type === "string" && choices) return choices.map((word) => `\`${word}\``).join(", ");
    if (type === "array" && field.items && !field.items.$ref) return `list of ${valueText(field.items)}`;
    if (type === "integer" || type === "number") return `${TYPE_WORDS[type]}${rangeOf(field)}`;
    return TYPE_WORDS[type];
  });
  return types.join(", or ");
}

/** @param {Json} field */
function rangeOf(field) {
  if (field.exclusiveMinimum !== undefined) {
    return field.maximum <= 64 ? ` in (${field.exclusiveMinimum}, ${field.maximum}]` : ` > ${field.exclusiveMinimum}`;
  }
  return field.minimum === undefined ? "" : ` ≥ ${field.minimum}`;
}

/**
 * The words of a pattern of the form ^(a|b|c)$.
 * @param {string | undefined} pattern
 */
const choicesOf = (pattern) => pattern?.match(/^\^\(([\w|]+)\)\$$/)?.[1]?.split("|");

/** @param {string} text */
const cell = (text) => text.replaceAll("|", "\\|");
