// A model as a picture for the terminal: data flows down, runs of equal layers are folded, parallel branches stand side by
// side, and blocks that share weights have double frames.
import type { ArchitectureSpec, ResolvedBranch, ResolvedLayer } from "../spec/types.ts";
import { below, beside, box, type Drawing, frame, label, type Paint, wrap } from "./boxes.ts";
import { describeBranch, describeLayer, describeOperator, type Family, familyOf } from "./describe.ts";
import { foldStack, isShared, type StackNode } from "./stack.ts";

export interface PictureOptions {
  /** Columns that the picture may take; default 80. Boxes are not made narrower than 16. */
  readonly width?: number;
  /** Colours a box by the family of its operator. */
  readonly colour?: (family: Family) => Paint;
  /** Colours the frames of repeats. */
  readonly faint?: Paint;
}

const NARROWEST = 16;
/** Columns that a dashed frame adds. */
const FRAME = 4;

/** Lines of text, none wider than asked for where that is possible. */
export function drawStack(spec: ArchitectureSpec, options: PictureOptions = {}): string[] {
  const { width = 80, colour = () => (text: string) => text, faint = (text: string) => text } = options;
  const uses = new Map<string, number>();
  for (const { weights } of spec.layers) uses.set(weights, (uses.get(weights) ?? 0) + 1);

  const drawNodes = (nodes: readonly StackNode[], room: number): Drawing =>
    below(
      nodes.map((node) => {
        if (node.kind === "layer") return drawLayer(node.layer, room);
        return frame(drawNodes(node.items, room - FRAME), `× ${node.count}`, faint);
      }),
      { joined: false },
    );

  const drawLayer = (layer: ResolvedLayer, room: number): Drawing => {
    const shared = isShared(layer) ? [`shared, used ${uses.get(layer.weights)}×`] : [];
    const notes = [...shared, ...describeLayer(layer)];
    const [only] = layer.branches;
    if (layer.branches.length === 1 && only !== undefined) return drawBranch(layer, only, layer.block, notes, room);
    const share = Math.floor((room - 2 * (layer.branches.length - 1)) / layer.branches.length);
    const branches = layer.branches.map((branch) => drawBranch(layer, branch, "", [], share));
    const group = beside(branches, layer.combine === "mean" ? "⌀" : "+");
    const lines = wrap(notes, Math.max(NARROWEST, room - 4));
    return lines.length === 0 ? group : below([box([layer.block, ...lines]), group], { joined: false });
  };

  const drawBranch = (
    layer: ResolvedLayer,
    branch: ResolvedBranch,
    name: string,
    notes: readonly string[],
    room: number,
  ): Drawing => {
    const { operator } = branch;
    const inside = Math.max(NARROWEST, room) - 4;
    const title = name === "" || name === operator.type ? operator.type : `${name}  ${operator.type}`;
    const details = wrap([...describeOperator(operator), ...describeBranch(branch)], inside);
    return box([...wrap([title], inside), ...details, ...wrap(notes, inside)], {
      isDouble: isShared(layer),
      paint: colour(familyOf[operator.type]),
    });
  };

  const ends = Math.max(NARROWEST, width) - 4;
  const embedding = wrap(
    [
      `embedding  ${spec.vocab_size} × ${spec.d_model}`,
      ...(spec.positions === null ? [] : [`${spec.positions.max_length} learned positions`]),
    ],
    ends,
  );
  const { head, final_norm } = spec;
  const headLines = wrap(
    [
      ...(final_norm === null ? [] : [final_norm.type]),
      `head  ${spec.d_model} × ${spec.vocab_size}`,
      ...(head.tied ? ["tied to the embedding"] : []),
      ...(head.softcap === null ? [] : [`softcap ${head.softcap}`]),
    ],
    ends,
  );
  const drawing = below([
    label("tokens"),
    below(
      [box(embedding), ...(spec.layers.length > 0 ? [drawNodes(foldStack(spec.layers), width)] : []), box(headLines)],
      {
        joined: false,
      },
    ),
    label("logits"),
  ]);
  return drawing.lines.map((line) => line.trimEnd());
}
