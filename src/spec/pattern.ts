// The layer pattern: one character per block, ( ) groups, {n} repeats, [A&B] parallel blocks, @name for longer names.
// White space means nothing (but ends an @name) and | is skipped, so that Megatron's published strings paste unchanged.
import { suggestion } from "./suggest.ts";

/** Most layers a model may have. */
export const MAX_LAYERS = 10_000;
/** Deepest nesting of groups. */
const MAX_NESTING = 64;

export type PatternNode =
  | { readonly kind: "block"; readonly name: string; readonly start: number; readonly end: number }
  | { readonly kind: "parallel"; readonly names: readonly string[]; readonly start: number; readonly end: number }
  | { readonly kind: "group"; readonly items: readonly PatternNode[]; readonly start: number; readonly end: number }
  | {
      readonly kind: "repeat";
      readonly item: PatternNode;
      readonly count: number;
      readonly start: number;
      readonly end: number;
    };

/** What is wrong between two offsets of the pattern's text. */
export interface PatternProblem {
  readonly start: number;
  readonly end: number;
  readonly message: string;
  readonly hint?: string | undefined;
}

/** One layer: the block it uses, or the blocks that run in parallel in it, and where the pattern says so. */
export interface LayerUse {
  readonly names: readonly string[];
  readonly start: number;
  readonly end: number;
}

export interface ParsedPattern {
  readonly items: readonly PatternNode[];
  readonly problems: readonly PatternProblem[];
}

const NAME_START = /^[A-Za-z_]$/;
const NAME_PART = /^[A-Za-z0-9_]$/;
/** Characters with a meaning of their own, which no block can have as its name. */
const RESERVED = new Set("()[]{}@&|/0123456789");

/** Why `name` cannot be the name of a block; undefined where it can. */
export function blockNameProblem(name: string): string | undefined {
  if (name === "") return "is empty";
  if (/\p{Z}|\p{C}/u.test(name)) return "has white space or control characters in it";
  if ([...name].length === 1) {
    if (/^\d$/.test(name)) return "is a digit, which patterns need for repeats";
    return RESERVED.has(name) ? "has a meaning of its own in patterns" : undefined;
  }
  return /^[A-Za-z_][A-Za-z0-9_]*$/.test(name)
    ? undefined
    : "is neither one character nor a word of letters, digits and _";
}

/** Reads a pattern. Never throws; after a problem it goes on, so that all problems come at once. */
export function parsePattern(text: string): ParsedPattern {
  return new PatternParser(text).parse();
}

class PatternParser {
  readonly #text: string;
  readonly #problems: PatternProblem[] = [];
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  parse(): ParsedPattern {
    const items: PatternNode[] = [];
    while (this.#at < this.#text.length) {
      items.push(...this.#sequence(0));
      const stray = this.#peek();
      if (stray === undefined) break;
      const opener = stray === ")" ? "(" : stray === "]" ? "[" : undefined;
      if (opener !== undefined)
        this.#complain(this.#at, this.#at + 1, `"${stray}" closes nothing; there is no "${opener}" before it`);
      this.#at += stray.length;
      if (stray === "/") this.#at = this.#text.length;
    }
    return { items, problems: this.#problems };
  }

  #complain(start: number, end: number, message: string, hint?: string): void {
    this.#problems.push({ start, end, message, hint });
  }

  /** The next character that means something, or undefined at the end. */
  #peek(): string | undefined {
    while (this.#at < this.#text.length && /[\s|]/.test(this.#text.charAt(this.#at))) this.#at++;
    const code = this.#text.codePointAt(this.#at);
    return code === undefined ? undefined : String.fromCodePoint(code);
  }

  /** Elements up to the end or to a character that cannot start one. */
  #sequence(depth: number): PatternNode[] {
    const items: PatternNode[] = [];
    for (;;) {
      const item = this.#element(depth);
      if (item === "end") return items;
      if (item !== undefined) items.push(item);
    }
  }

  #element(depth: number): PatternNode | "end" | undefined {
    const character = this.#peek();
    if (character === undefined || character === ")" || character === "]") return "end";
    if (character === "/") {
      this.#complain(
        this.#at,
        this.#at + 1,
        '"/" starts the multi-token-prediction layers of a Megatron pattern, which are not supported',
        'leave out "/" and what follows it',
      );
      return "end";
    }
    if (character === "{") {
      this.#complain(this.#at, this.#at + 1, 'there is nothing before "{" to repeat');
      this.#count();
      return undefined;
    }
    if (character === "}") {
      this.#complain(this.#at, this.#at + 1, '"}" closes nothing; there is no "{" before it');
      this.#at++;
      return undefined;
    }
    if (character === "&") {
      this.#complain(this.#at, this.#at + 1, '"&" joins blocks that run in parallel and belongs between [ and ]');
      this.#at++;
      return undefined;
    }
    let item = character === "(" ? this.#group(depth) : character === "[" ? this.#parallel() : this.#block();
    while (this.#peek() === "{") {
      const begin = item?.start ?? this.#at;
      const count = this.#count();
      if (item !== undefined && count !== undefined)
        item = { kind: "repeat", item, count, start: begin, end: this.#at };
    }
    return item;
  }

  #group(depth: number): PatternNode | undefined {
    const start = this.#at;
    this.#at++;
    if (depth >= MAX_NESTING) {
      this.#complain(start, start + 1, `groups are nested more than ${MAX_NESTING} deep`);
      this.#at = this.#text.length;
      return undefined;
    }
    const items = this.#sequence(depth + 1);
    const closer = this.#peek();
    if (closer === ")") {
      this.#at++;
      if (items.length === 0) this.#complain(start, this.#at, "this group is empty");
    } else if (closer === "]") {
      this.#complain(this.#at, this.#at + 1, '"]" does not match the "(" before it', 'close the group with ")"');
      this.#at++;
    } else if (closer === undefined) {
      this.#complain(start, start + 1, 'this "(" is never closed with ")"');
    }
    return { kind: "group", items, start, end: this.#at };
  }

  #parallel(): PatternNode | undefined {
    const start = this.#at;
    this.#at++;
    const names: string[] = [];
    let joined = true;
    for (;;) {
      const character = this.#peek();
      if (character === "]") break;
      if (character === undefined) {
        this.#complain(start, start + 1, 'this "[" is never closed with "]"');
        return undefined;
      }
      if (character === "&") {
        if (joined) this.#complain(this.#at, this.#at + 1, 'there is no block before this "&"');
        joined = true;
        this.#at++;
      } else if ("()[{}/".includes(character)) {
        this.#complain(
          this.#at,
          this.#at + 1,
          `"${character}" cannot stand between [ and ]; only blocks joined by & can`,
        );
        this.#skipPast("]");
        return undefined;
      } else {
        const block = this.#block();
        if (!joined && block !== undefined) {
          this.#complain(block.start, block.end, "blocks that run in parallel are joined by &", "write [A&B]");
        }
        if (block?.kind === "block") names.push(block.name);
        joined = false;
      }
    }
    this.#at++;
    if (joined && names.length > 0) this.#complain(this.#at - 1, this.#at, 'there is no block after the last "&"');
    else if (names.length < 2)
      this.#complain(start, this.#at, "a parallel group needs at least two blocks, as in [A&B]");
    return { kind: "parallel", names, start, end: this.#at };
  }

  #skipPast(closer: string): void {
    const end = this.#text.indexOf(closer, this.#at);
    this.#at = end < 0 ? this.#text.length : end + 1;
  }

  /** One character, or @ and a word. */
  #block(): PatternNode | undefined {
    const character = this.#peek() ?? "";
    const begin = this.#at;
    if (character !== "@") {
      this.#at += character.length;
      return { kind: "block", name: character, start: begin, end: this.#at };
    }
    this.#at++;
    if (!NAME_START.test(this.#text.charAt(this.#at))) {
      this.#complain(begin, begin + 1, '"@" must be followed by the name of a block');
      return undefined;
    }
    while (NAME_PART.test(this.#text.charAt(this.#at))) this.#at++;
    return { kind: "block", name: this.#text.slice(begin + 1, this.#at), start: begin, end: this.#at };
  }

  /** {n} */
  #count(): number | undefined {
    const start = this.#at;
    const match = /^\{\s*([^{}()[\]]*?)\s*(\}|$)/.exec(this.#text.slice(start));
    if (match === null || match[2] === "") {
      this.#complain(start, start + 1, 'this "{" is never closed with "}"');
      this.#at = match === null ? start + 1 : this.#text.length;
      return undefined;
    }
    this.#at = start + match[0].length;
    const written = match[1] ?? "";
    if (!/^\d+$/.test(written)) {
      const found = written === "" ? "nothing" : `"${written}"`;
      this.#complain(start, this.#at, `a repeat is {n} with a whole number n, found ${found}`);
      return undefined;
    }
    const count = Number(written);
    if (count === 0) {
      this.#complain(
        start,
        this.#at,
        "a repeat of 0 leaves nothing",
        "leave the block out, or repeat it at least once",
      );
      return undefined;
    }
    if (count > MAX_LAYERS) {
      this.#complain(start, this.#at, `a repeat of ${written} is more than the ${MAX_LAYERS} layers a model may have`);
      return undefined;
    }
    return count;
  }
}

/** How many layers a pattern stands for, without making them. */
export function countLayers(items: readonly PatternNode[]): number {
  let total = 0;
  for (const item of items) {
    if (item.kind === "group") total += countLayers(item.items);
    else if (item.kind === "repeat") total += item.count * countLayers([item.item]);
    else total += 1;
  }
  return total;
}

/** The layers a pattern stands for, in order. Throws RangeError for more than MAX_LAYERS: ask countLayers first. */
export function expandPattern(items: readonly PatternNode[]): LayerUse[] {
  if (countLayers(items) > MAX_LAYERS) throw new RangeError(`a pattern of more than ${MAX_LAYERS} layers`);
  return items.flatMap(expandNode);
}

function expandNode(node: PatternNode): LayerUse[] {
  switch (node.kind) {
    case "block":
      return [{ names: [node.name], start: node.start, end: node.end }];
    case "parallel":
      return [{ names: node.names, start: node.start, end: node.end }];
    case "group":
      return node.items.flatMap(expandNode);
    case "repeat": {
      const once = expandNode(node.item);
      return Array.from({ length: node.count }, () => once).flat();
    }
  }
}

/** Names used in a pattern that are not among `known`, each where it first stands. */
export function unknownBlocks(items: readonly PatternNode[], known: readonly string[]): PatternProblem[] {
  const problems = new Map<string, PatternProblem>();
  const visit = (node: PatternNode): void => {
    if (node.kind === "group") {
      for (const item of node.items) visit(item);
    } else if (node.kind === "repeat") {
      visit(node.item);
    } else {
      check(node, node.kind === "block" ? [node.name] : node.names);
    }
  };
  const check = (node: PatternNode, names: readonly string[]): void => {
    for (const name of names) {
      if (known.includes(name) || problems.has(name)) continue;
      problems.set(name, { start: node.start, end: node.end, ...unknownBlock(name, known) });
    }
  };
  for (const item of items) visit(item);
  return [...problems.values()];
}

/** What to say of a name that is no block. */
export function unknownBlock(name: string, known: readonly string[]): { message: string; hint: string | undefined } {
  const message = `"${name}" is not a block`;
  if (/^\d$/.test(name)) return { message, hint: "to repeat a block or group, write {n} after it" };
  const longer =
    [...name].length === 1
      ? known.find((word) => word.length > 1 && word.toLowerCase().startsWith(name.toLowerCase()))
      : undefined;
  if (longer !== undefined && !known.some((word) => word.toLowerCase() === name.toLowerCase())) {
    return { message, hint: `blocks with longer names are written @${longer}` };
  }
  return { message, hint: suggestion(name, known) };
}

/** The canonical text of a pattern: parsing it gives the same items again, places aside. */
export function printPattern(items: readonly PatternNode[]): string {
  return items.map(printNode).reduce(joinPattern, "");
}

function printNode(node: PatternNode): string {
  switch (node.kind) {
    case "block":
      return printName(node.name);
    case "parallel":
      return `[${node.names.map(printName).join("&")}]`;
    case "group":
      return `(${printPattern(node.items)})`;
    case "repeat":
      return `${printNode(node.item)}{${node.count}}`;
  }
}

function printName(name: string): string {
  return [...name].length === 1 ? name : `@${name}`;
}

/** Two pieces of a pattern, with a space where a name would otherwise run on. */
function joinPattern(before: string, after: string): string {
  const runsOn = /@\w+$/.test(before) && /^\w/.test(after);
  return runsOn ? `${before} ${after}` : before + after;
}
