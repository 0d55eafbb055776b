// Which dispatches of a program matter: an op's variant for these sizes may not read all that others make for it (a product for
// few tokens goes by the experts that they chose, not by the order of their rows), and what nobody reads need not be written.
import type { Region } from "./buffer.ts";
import type { LocatedDispatch } from "./merge.ts";

const overlaps = (a: Region, b: Region): boolean =>
  a.buffer === b.buffer && a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes;

const contains = (outer: Region, inner: Region): boolean =>
  outer.buffer === inner.buffer &&
  outer.offset <= inner.offset &&
  inner.offset + inner.bytes <= outer.offset + outer.bytes;

/**
 * The dispatches that write something which a later one of them reads, or that is in `results`, or outside of `working` memory
 * (a state, a weight). Memory that is used again counts as wanted by whoever reads it later: better one dispatch too many.
 */
export function neededDispatches<D extends Pick<LocatedDispatch, "bindings">>(
  dispatches: readonly D[],
  results: readonly Region[],
  working: readonly Region[],
): D[] {
  const wanted = [...results];
  const want = (region: Region): void => {
    if (!wanted.some((other) => contains(other, region))) wanted.push(region);
  };
  const needed: D[] = [];
  for (const dispatch of [...dispatches].reverse()) {
    const regions = dispatch.bindings.map(([, { access }, place]) => ({ access, place }));
    const isNeeded = regions.some(
      ({ access, place }) =>
        access !== "read" &&
        (!working.some((arena) => contains(arena, place)) || wanted.some((region) => overlaps(region, place))),
    );
    if (!isNeeded) continue;
    for (const { access, place } of regions) if (access !== "write") want(place);
    needed.push(dispatch);
  }
  return needed.reverse();
}
