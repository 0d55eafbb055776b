// From a kernel's text and its bindings to a complete shader: constants, uniforms, storage variables and the accessors
// through which kernels reach memory. For a binding `x` a kernel may call
//   x_load(i), x_store(i, value)        element i
//   x_load4(i), x_store4(i, value)      elements 4i … 4i + 3 as a vec4 (binding width 4)
//   x_word(i), x_scale(i)               of int8 and int4: the word with elements 4i (8i) … as they are, the scale of block i
// whatever the storage type (f16 is converted, int8 and int4 are dequantised), whether or not the variable is shared with
// other bindings (WebGPU allows few bindings and no aliasing), and HAS_X says whether x is there at all.
import type { FloatValue, Storage } from "./lowering.ts";
import { QUANTISED_BLOCK } from "./lowering.ts";
import { entryPoint, mergedMember } from "./merged-shader.ts";
import { type Include, preprocess, type SourceLine } from "./preprocess.ts";

/** A binding of a kernel, and the storage variable that holds it. */
export interface ShaderBinding {
  readonly name: string;
  readonly storage: Storage;
  readonly access: "read" | "write" | "update";
  readonly width: 1 | 4;
  readonly variable: number;
  /** Its elements start behind `uniforms.<name>_base` elements of the variable. */
  readonly based: boolean;
  /** int8, int4: the variable that holds the scales. */
  readonly scales?: number;
}

export interface ShaderVariable {
  readonly storage: Storage;
  readonly writable: boolean;
  readonly width: 1 | 4;
}

/** One kernel of a shader: alone, or one of several that share a dispatch (merge.ts). */
export interface ShaderMember {
  readonly file: string;
  readonly source: string;
  readonly constants: Readonly<Record<string, number | boolean | FloatValue>>;
  /** Names of bindings that are there, as the kernel calls them, and of those that are not. */
  readonly present: readonly string[];
  readonly absent: readonly string[];
  /** What its names start with in the shader; empty for a kernel alone. */
  readonly prefix: string;
}

export interface ShaderParts {
  readonly members: readonly ShaderMember[];
  /** Names (prefix included) and types of uniforms in the order of memory. */
  readonly uniforms: readonly { readonly name: string; readonly type: "u32" | "f32" }[];
  readonly variables: readonly ShaderVariable[];
  /** With prefixes in their names. */
  readonly bindings: readonly ShaderBinding[];
  readonly features: { readonly f16: boolean; readonly subgroups: boolean };
}

export interface Shader {
  readonly code: string;
  readonly lines: readonly SourceLine[];
}

const scalarOf: { readonly [S in Storage]: string } = { f32: "f32", i32: "i32", f16: "f16", int8: "u32", int4: "u32" };

function elementType({ storage, width }: ShaderVariable): string {
  const scalar = scalarOf[storage];
  return width === 4 && storage !== "int8" && storage !== "int4" ? `vec4<${scalar}>` : scalar;
}

export function assembleShader(parts: ShaderParts, include: Include): Shader {
  const { members, features, bindings } = parts;
  const enables = [
    ...(features.f16 ? ["enable f16;"] : []),
    ...(features.subgroups ? ["enable subgroups;", "diagnostic(off, subgroup_uniformity);"] : []),
  ];
  const generated = (texts: readonly string[]): SourceLine[] =>
    texts.map((text) => ({ text, file: "generated", line: 0 }));
  const [only] = members;
  const bodies =
    members.length === 1 && only !== undefined
      ? memberLines(only, include).lines
      : [...members.flatMap((member) => mergedMember(member, include)), ...generated(entryPoint(members, include))];
  const lines = [
    ...generated([...enables, ...variablesOf(parts), ...bindings.flatMap((b) => accessors(b, parts))]),
    ...bodies,
  ];
  return { code: lines.map(({ text }) => text).join("\n"), lines };
}

/** Constants and text of a kernel, and the values that directives may ask for. */
export function memberLines({ file, source, constants, present, absent }: ShaderMember, include: Include) {
  const known = new Map<string, number | boolean>();
  const declarations: SourceLine[] = [];
  const declare = (name: string, value: number | boolean | FloatValue): void => {
    const [type, text] =
      typeof value === "boolean"
        ? ["bool", String(value)]
        : typeof value === "number"
          ? ["u32", `${value}u`]
          : ["f32", floatLiteral(value.value)];
    declarations.push({ text: `const ${name}: ${type} = ${text};`, file: "generated", line: 0 });
    known.set(name, typeof value === "object" ? value.value : value);
  };
  for (const [name, value] of Object.entries(constants)) declare(name, value);
  for (const name of present) declare(`HAS_${name.toUpperCase()}`, true);
  for (const name of absent) declare(`HAS_${name.toUpperCase()}`, false);
  return { lines: [...declarations, ...preprocess(file, source, known, include)], known };
}

function floatLiteral(value: number): string {
  const single = Math.fround(value);
  if (!Number.isFinite(single)) throw new RangeError(`${value} can't be written in WGSL`);
  const text = String(single);
  return `${/[.e]/.test(text) ? text : `${text}.0`}f`;
}

function variablesOf({ variables, uniforms }: ShaderParts): string[] {
  const text = variables.map((variable, i) => {
    const mode = variable.writable ? "read_write" : "read";
    return `@group(0) @binding(${i}) var<storage, ${mode}> memory_${i}: array<${elementType(variable)}>;`;
  });
  if (uniforms.length === 0) return text;
  const fields = uniforms.map(({ name, type }) => `${name}: ${type}`).join(", ");
  return [
    ...text,
    `struct Uniforms { ${fields} }`,
    `@group(0) @binding(${variables.length}) var<uniform> uniforms: Uniforms;`,
  ];
}

/** The functions through which a kernel reads and writes one binding. */
function accessors(binding: ShaderBinding, { variables }: ShaderParts): string[] {
  const { name, access, width, storage } = binding;
  const variable = variables[binding.variable];
  if (variable === undefined) throw new Error(`no variable for ${name}`);
  const functions: string[] = [];
  if (access !== "write") functions.push(...loads(binding, variable));
  if (access !== "read") {
    const memory = `memory_${binding.variable}`;
    const cast = (value: string): string => (storage === "f16" ? `f16(${value})` : value);
    const at = index(binding, variable, width);
    const scalar = storage === "i32" ? "i32" : "f32";
    if (variable.width === 4) {
      const vector = storage === "f16" ? "vec4<f16>(value)" : "value";
      functions.push(`fn ${name}_store4(i: u32, value: vec4<${scalar}>) { ${memory}[${at}] = ${vector}; }`);
    } else {
      functions.push(`fn ${name}_store(i: u32, value: ${scalar}) { ${memory}[${at}] = ${cast("value")}; }`);
      if (width === 4) {
        const stores = ["x", "y", "z", "w"].map((c, k) => `${name}_store(4u * i + ${k}u, value.${c});`);
        functions[functions.length - 1] =
          `fn ${name}_store(i: u32, value: ${scalar}) { ${memory}[${index(binding, variable, 1)}] = ${cast("value")}; }`;
        functions.push(`fn ${name}_store4(i: u32, value: vec4<${scalar}>) { ${stores.join(" ")} }`);
      }
    }
  }
  return functions;
}

/** The place of element (or vector) `i` in the binding's variable. */
function index({ name, based }: ShaderBinding, variable: ShaderVariable, width: 1 | 4): string {
  if (!based) return "i";
  return variable.width === 4 && width === 4 ? `(uniforms.${name}_base >> 2u) + i` : `uniforms.${name}_base + i`;
}

function loads(binding: ShaderBinding, variable: ShaderVariable): string[] {
  const { name, storage, width } = binding;
  const memory = `memory_${binding.variable}`;
  if (storage === "int8" || storage === "int4") {
    const scale = (element: string): string => `memory_${binding.scales}[(${element}) / ${QUANTISED_BLOCK}u]`;
    const [perWord, shift] = storage === "int8" ? [4, 24] : [8, 28];
    const bits = 32 / perWord;
    // The bits of element i are shifted to the top, then back down with their sign.
    const signed = (word: string, position: string): string =>
      `f32(bitcast<i32>(${word} << (${shift}u - ${bits}u * (${position}))) >> ${shift}u)`;
    const lane = (k: number): string => signed("word", storage === "int8" ? `${k}u` : `4u * (i & 1u) + ${k}u`);
    const word4 = storage === "int8" ? `${memory}[i]` : `${memory}[i >> 1u]`;
    return [
      `fn ${name}_load(i: u32) -> f32 { return ${signed(`${memory}[i / ${perWord}u]`, `i % ${perWord}u`)} * ${scale("i")}; }`,
      `fn ${name}_load4(i: u32) -> vec4<f32> { let word = ${word4}; ` +
        `return vec4<f32>(${[0, 1, 2, 3].map(lane).join(", ")}) * ${scale("4u * i")}; }`,
      `fn ${name}_word(i: u32) -> u32 { return ${memory}[i]; }`,
      `fn ${name}_scale(i: u32) -> f32 { return memory_${binding.scales}[i]; }`,
    ];
  }
  const scalar = storage === "i32" ? "i32" : "f32";
  const convert = (value: string, type: string): string => (storage === "f16" ? `${type}(${value})` : value);
  if (variable.width === 4) {
    const element = binding.based ? `(uniforms.${name}_base + i)` : "i";
    return [
      `fn ${name}_load4(i: u32) -> vec4<${scalar}> { return ${convert(`${memory}[${index(binding, variable, 4)}]`, `vec4<${scalar}>`)}; }`,
      `fn ${name}_load(i: u32) -> ${scalar} { return ${convert(`${memory}[${element} >> 2u][${element} & 3u]`, scalar)}; }`,
    ];
  }
  const load = `fn ${name}_load(i: u32) -> ${scalar} { return ${convert(`${memory}[${index(binding, variable, 1)}]`, scalar)}; }`;
  if (width === 1) return [load];
  const elements = [0, 1, 2, 3].map((k) => `${name}_load(4u * i + ${k}u)`).join(", ");
  return [load, `fn ${name}_load4(i: u32) -> vec4<${scalar}> { return vec4<${scalar}>(${elements}); }`];
}
