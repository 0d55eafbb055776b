// Sizes that are known only at run time, as expressions: two that are written alike are equal. Expressions stand for
// nonnegative whole numbers.

export type Extent = number | string;

export const extentSum = (extents: readonly Extent[]): Extent => {
  const fixed = extents.reduce<number>((sum, extent) => (typeof extent === "number" ? sum + extent : sum), 0);
  const open = extents.filter((extent) => typeof extent === "string").sort();
  if (open.length === 0) return fixed;
  const terms = fixed === 0 ? open : [...open, fixed];
  return terms.length === 1 ? (open[0] ?? fixed) : `(${terms.join("+")})`;
};

/** A product as its number and the expressions in it. */
interface Product {
  readonly number: number;
  readonly factors: readonly string[];
}

function product(extents: readonly Extent[]): Product {
  const number = extents.reduce<number>((n, extent) => (typeof extent === "number" ? n * extent : n), 1);
  const factors = extents.flatMap((extent) => (typeof extent === "string" ? factorsOf(extent) : []));
  return factorised(number, factors);
}

/** The factors of a product, which may be expressions with products in their brackets. */
function factorsOf(extent: string): string[] {
  const factors: string[] = [];
  let depth = 0;
  let start = 0;
  for (const [i, character] of [...extent].entries()) {
    if ("([".includes(character)) depth++;
    else if (")]".includes(character)) depth--;
    else if (character === "*" && depth === 0) {
      factors.push(extent.slice(start, i));
      start = i + 1;
    }
  }
  return [...factors, extent.slice(start)];
}

/** Products are written `2*a*b`, so that a factor may be a number again. */
function factorised(number: number, parts: readonly string[]): Product {
  const numbers = parts.filter((part) => /^\d+$/.test(part));
  return {
    number: numbers.reduce((n, part) => n * Number(part), number),
    factors: parts.filter((part) => !/^\d+$/.test(part)).sort(),
  };
}

function written({ number, factors }: Product): Extent {
  if (factors.length === 0) return number;
  return [...(number === 1 ? [] : [String(number)]), ...factors].join("*");
}

export const extentProduct = (extents: readonly Extent[]): Extent => written(product(extents));

/** whole / parts, where that comes out. */
export function extentQuotient(whole: readonly Extent[], parts: readonly Extent[]): Extent {
  const [above, below] = [product(whole), product(parts)];
  const left = [...above.factors];
  for (const factor of below.factors) {
    const at = left.indexOf(factor);
    if (at < 0) return `[${written(above)}/${written(below)}]`;
    left.splice(at, 1);
  }
  const number = above.number / below.number;
  if (!Number.isInteger(number)) return `[${written(above)}/${written(below)}]`;
  return written({ number, factors: left });
}

/** Shape of an elementwise result; the size of an axis along which neither is known to be stretched is `unknown()`. */
export function broadcastExtents(a: readonly Extent[], b: readonly Extent[], unknown: () => Extent): readonly Extent[] {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => {
    const [x, y] = [a[a.length - rank + i] ?? 1, b[b.length - rank + i] ?? 1];
    if (x === y || y === 1) return x;
    if (x === 1) return y;
    if (typeof x === "number" && typeof y === "string") return x;
    if (typeof y === "number" && typeof x === "string") return y;
    return unknown();
  });
}
