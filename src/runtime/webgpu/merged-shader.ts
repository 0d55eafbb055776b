// Several kernels in one shader: every name that a kernel declares gets its prefix, its entry point becomes a function, and
// a new entry point hands each workgroup to the kernel whose it is.
import type { Constants, Include, SourceLine } from "./preprocess.ts";
import { declaredIn, evaluate, renamed } from "./preprocess.ts";
import { memberLines, type ShaderMember } from "./shader.ts";

const ENTRY = /@compute\s+@workgroup_size\(([^)]*)\)\s*fn\s+main\s*\(([\s\S]*?)\)\s*\{/;
const ACCESSORS = ["load", "load4", "store", "store4", "word", "scale"];

/** What has to fit together before kernels are merged. */
export interface KernelShape {
  readonly workgroup: readonly [x: number, y: number, z: number];
  /** Bytes of workgroup memory. */
  readonly memory: number;
}

interface Parameter {
  readonly name: string;
  readonly builtin: string;
  readonly type: string;
}

/** Threads and workgroup memory of a kernel; undefined where its text does not tell in a way that can be read here. */
export function kernelShape(member: ShaderMember, include: Include): KernelShape | undefined {
  const { lines, known } = memberLines(member, include);
  const constants = new Map<string, number | boolean>(known);
  let memory = 0;
  for (const line of lines) {
    const constant = /^\s*const\s+(\w+)\s*:\s*u32\s*=\s*(.+);/.exec(line.text);
    if (constant !== null) {
      const value = tryEvaluate(constant[2] ?? "", constants, line);
      if (value !== undefined) constants.set(constant[1] ?? "", value);
    }
    const shared = /^\s*var<workgroup>\s+\w+\s*:\s*(.+);/.exec(line.text);
    if (shared !== null) {
      const bytes = typeBytes(shared[1] ?? "", constants, line);
      if (bytes === undefined) return undefined;
      memory += bytes;
    }
  }
  const entry = ENTRY.exec(lines.map(({ text }) => text).join("\n"));
  const [at] = lines;
  if (entry === null || at === undefined) return undefined;
  const sizes = (entry[1] ?? "").split(",").map((size) => tryEvaluate(size, constants, at));
  if (sizes.some((size) => size === undefined)) return undefined;
  const [x = 1, y = 1, z = 1] = sizes;
  return { workgroup: [x, y, z], memory };
}

function tryEvaluate(expression: string, constants: Constants, line: SourceLine): number | undefined {
  const plain = expression.replace(/(\d)u\b/g, "$1");
  if (plain.includes(".")) return undefined;
  try {
    return evaluate(plain, constants, line);
  } catch {
    return undefined;
  }
}

function typeBytes(type: string, constants: Constants, line: SourceLine): number | undefined {
  const array = /^array<((?:array<.+>|vec\d<\w+>|\w+)),\s*(.+)>$/.exec(type.trim());
  if (array !== null) {
    const element = typeBytes(array[1] ?? "", constants, line);
    const count = tryEvaluate(array[2] ?? "", constants, line);
    return element === undefined || count === undefined ? undefined : element * count;
  }
  const sizes: Readonly<Record<string, number>> = { f32: 4, u32: 4, i32: 4, vec2: 8, vec3: 16, vec4: 16, f16: 2 };
  return sizes[/^(f32|u32|i32|f16|vec[234])/.exec(type.trim())?.[1] ?? ""];
}

/** The kernel's lines with prefixed names; its entry point is `<prefix>main`. */
export function mergedMember(member: ShaderMember, include: Include): SourceLine[] {
  const { prefix, present } = member;
  const { lines } = memberLines(member, include);
  const text = lines.map((line) => line.text).join("\n");
  const accessors = present.flatMap((name) => ACCESSORS.map((accessor) => `${name}_${accessor}`));
  const plain = text.replace(ENTRY, (found, _size, parameters: string) => {
    const list = parametersOf(parameters).map(({ name, type }) => `${name}: ${type}`);
    // As many lines as before: complaints name the right ones.
    return `fn main(${list.join(", ")}) {${"\n".repeat(found.split("\n").length - 1)}`;
  });
  const members = plain.replace(/\buniforms\.(\w+)/g, `uniforms.${prefix}$1`).split("\n");
  const texts = members.map((own, i) => ({ ...(lines[i] as SourceLine), text: own }));
  return renamed(texts, new Set([...accessors, ...declaredIn(lines)]), prefix);
}

function parametersOf(text: string): Parameter[] {
  const found = [...text.matchAll(/@builtin\((\w+)\)\s*(\w+)\s*:\s*([\w<>]+)/g)];
  return found.map(([, builtin = "", name = "", type = ""]) => ({ builtin, name, type }));
}

/** Uniforms that the entry point reads for each member: workgroups along x, y, z. */
export const gridUniforms = ["grid_x", "grid_y", "grid_z"] as const;

/** The entry point of merged kernels. Members follow each other in the numbering of workgroups. */
export function entryPoint(members: readonly ShaderMember[], include: Include): string[] {
  const [first] = members;
  const shape = first && kernelShape(first, include);
  if (shape === undefined) throw new Error("only kernels of known shape are merged");
  const subgroupBuiltins = new Map<string, string>();
  const branches = members.map((member, i) => {
    const { prefix } = member;
    const text = memberLines(member, include)
      .lines.map((line) => line.text)
      .join("\n");
    const values: Readonly<Record<string, string>> = {
      workgroup_id: "group",
      num_workgroups: "grid",
      local_invocation_index: "thread",
      local_invocation_id: "local",
      global_invocation_id: `group * vec3<u32>(${shape.workgroup.map((size) => `${size}u`).join(", ")}) + local`,
    };
    const call = parametersOf(ENTRY.exec(text)?.[2] ?? "").map(({ builtin, type }) => {
      const value = values[builtin];
      if (value !== undefined) return value;
      subgroupBuiltins.set(builtin, type);
      return builtin;
    });
    const [x, y, z] = gridUniforms.map((name) => `uniforms.${prefix}${name}`);
    const body = [
      `let grid = vec3<u32>(${x}, ${y}, ${z});`,
      "let group = vec3<u32>(number % grid.x, number / grid.x % grid.y, number / (grid.x * grid.y));",
      `${prefix}main(${call.join(", ")});`,
    ].join(" ");
    if (i === members.length - 1) return `  { ${body} }`;
    return `  if (number < ${x} * ${y} * ${z}) { ${body} return; }\n  number -= ${x} * ${y} * ${z};`;
  });
  const extra = [...subgroupBuiltins].map(([builtin, type]) => `, @builtin(${builtin}) ${builtin}: ${type}`);
  const [x, y, z] = shape.workgroup;
  return [
    `@compute @workgroup_size(${x}, ${y}, ${z})`,
    "fn main(@builtin(workgroup_id) at: vec3<u32>, @builtin(local_invocation_index) thread: u32, " +
      `@builtin(local_invocation_id) local: vec3<u32>${extra.join("")}) {`,
    "  var number = at.x;",
    ...branches.flatMap((branch) => branch.split("\n")),
    "}",
  ];
}
