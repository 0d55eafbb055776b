// Reading what nodes say: attributes, and axes counted from either end.
import type { Attribute, BuiltNode } from "../lowering.ts";
import type { Extent } from "./extents.ts";

export const integerAttribute = (value: Attribute | undefined, otherwise: number): number =>
  typeof value === "number" ? value : otherwise;

export const listAttribute = (value: Attribute | undefined): readonly number[] | undefined =>
  Array.isArray(value) ? (value as readonly number[]) : undefined;

export const wrapAxis = (axis: number, rank: number): number => (axis < 0 ? axis + rank : axis);

/** The axes that a reduction goes over. */
export function reducedAxes(node: BuiltNode, rank: number, given: readonly Extent[] | undefined): readonly number[] {
  const axes = listAttribute(node.attributes.axes) ?? given?.map(Number);
  if (axes === undefined || axes.length === 0) return Array.from({ length: rank }, (_, i) => i);
  return axes.map((axis) => wrapAxis(axis, rank));
}
