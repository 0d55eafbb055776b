// A model as an SVG block diagram: the same picture as in the terminal, with the residual stream drawn beside each layer.
import { escapeXml } from "../plot/line-plot.ts";
import type { ArchitectureSpec, ResolvedBranch, ResolvedLayer } from "../spec/types.ts";
import { describeBranch, describeLayer, describeOperator, familyOf } from "./describe.ts";
import { foldStack, isShared, type StackNode } from "./stack.ts";

/** A shape of known size; data enters above and leaves below at x = port. */
interface Shape {
  readonly width: number;
  readonly height: number;
  readonly port: number;
  readonly draw: (x: number, y: number) => string;
}

const LINE = 17;
const GAP = 14;
/** Room beside a layer for its residual. */
const DETOUR = 18;
const RADIUS = 7;

/** Colours of fill and edge: those of the plots, paler. */
const STYLE = `
.hy-stack{font:12px system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;color-scheme:light dark}
.hy-stack text{fill:#24292f;text-anchor:middle}.hy-stack .name{font-weight:600;font-size:13px}.hy-stack .quiet{fill:#57606a;font-size:11px}
.hy-stack path,.hy-stack circle{fill:none;stroke:#6e7781;stroke-width:1.4}.hy-stack .bypass{stroke:#a8b0b8}
.hy-stack rect{fill:#f3f4f6;stroke:#8c959f;stroke-width:1.3}.hy-stack .repeat{fill:none;stroke:#8c959f;stroke-dasharray:4 4}
.hy-stack .ssm{fill:#e1f0fb;stroke:#0068a8}.hy-stack .linear_attention{fill:#dff5ec;stroke:#00825f}
.hy-stack .attention{fill:#fdebdd;stroke:#c44e00}.hy-stack .rnn{fill:#f7e6f2;stroke:#a3508b}.hy-stack .ffn{fill:#f3f4f6;stroke:#6e7781}
.hy-stack .arrow{fill:#6e7781;stroke:none}.hy-stack .badge{fill:#57606a;stroke:none}.hy-stack .badge-text{fill:#fff;font-weight:600;font-size:11px}
@media (prefers-color-scheme:dark){.hy-stack text{fill:#e6edf3}.hy-stack .quiet{fill:#9aa4ae}
.hy-stack path,.hy-stack circle{stroke:#8b949e}.hy-stack .bypass{stroke:#545d68}.hy-stack rect{fill:#161b22;stroke:#6b7681}.hy-stack .repeat{fill:none;stroke:#6b7681}
.hy-stack .ssm{fill:#0c2a40;stroke:#56b4e9}.hy-stack .linear_attention{fill:#0b3327;stroke:#2fc49a}
.hy-stack .attention{fill:#3a2210;stroke:#f0913c}.hy-stack .rnn{fill:#351f30;stroke:#dd8fc0}.hy-stack .ffn{fill:#1c2128;stroke:#8b949e}
.hy-stack .arrow{fill:#8b949e}.hy-stack .badge{fill:#6b7681}.hy-stack .badge-text{fill:#fff}}`;

const round = (value: number): number => Math.round(value * 10) / 10;
const path = (d: string, name = ""): string => `<path${name && ` class="${name}"`} d="${d}"/>`;
const text = (x: number, y: number, content: string, name = ""): string =>
  `<text${name && ` class="${name}"`} x="${round(x)}" y="${round(y)}">${escapeXml(content)}</text>`;
const widthOfText = (content: string, size: number): number => [...content].length * size * 0.56;

function box(title: string, details: readonly string[], name: string, isDouble = false): Shape {
  const inner = Math.max(widthOfText(title, 13.5), ...details.map((line) => widthOfText(line, 11.5)), 60);
  const width = Math.ceil(inner) + 26;
  const height = LINE * (1 + details.length) + 13;
  const draw = (x: number, y: number): string => {
    const rect = (inset: number, radius: number): string =>
      `<rect class="${name}" x="${round(x + inset)}" y="${round(y + inset)}" width="${width - 2 * inset}" height="${height - 2 * inset}" rx="${radius}"/>`;
    const lines = details.map((line, i) => text(x + width / 2, y + 20 + LINE * (i + 1), line, "quiet"));
    return rect(0, 7) + (isDouble ? rect(3, 5) : "") + text(x + width / 2, y + 20, title, "name") + lines.join("");
  };
  return { width, height, port: width / 2, draw };
}

/** One below the other, ports in one column, joined by lines. */
function stack(shapes: readonly Shape[], gap: number): Shape {
  const port = Math.max(...shapes.map((shape) => shape.port));
  const width = port + Math.max(...shapes.map((shape) => shape.width - shape.port));
  const height = shapes.reduce((sum, shape) => sum + shape.height, gap * (shapes.length - 1));
  const draw = (x: number, y: number): string => {
    let top = y;
    const parts: string[] = [];
    for (const [i, shape] of shapes.entries()) {
      if (i > 0) {
        parts.push(path(`M${round(x + port)} ${round(top)}v${gap}`));
        top += gap;
      }
      parts.push(shape.draw(x + port - shape.port, top));
      top += shape.height;
    }
    return parts.join("");
  };
  return { width, height, port, draw };
}

/** Side by side; the line splits above and joins below. */
function beside(shapes: readonly Shape[], joint: string): Shape {
  const tallest = Math.max(...shapes.map((shape) => shape.height));
  const width = shapes.reduce((sum, shape) => sum + shape.width, GAP * (shapes.length - 1));
  const height = tallest + 2 * GAP + 2 * RADIUS;
  let offset = 0;
  const places = shapes.map((shape) => {
    const left = offset;
    offset += shape.width + GAP;
    return { shape, left };
  });
  const port = width / 2;
  const draw = (x: number, y: number): string => {
    const parts = places.map(({ shape, left }) => {
      const at = round(x + left + shape.port);
      const down = y + GAP + tallest;
      return (
        path(`M${round(x + port)} ${round(y)}V${round(y + GAP / 2)}H${at}V${round(y + GAP)}`) +
        shape.draw(x + left, y + GAP) +
        path(`M${at} ${round(y + GAP + shape.height)}V${round(down + GAP / 2)}H${round(x + port)}V${round(down + GAP)}`)
      );
    });
    return parts.join("") + circle(x + port, y + GAP + tallest + GAP + RADIUS, joint);
  };
  return { width, height, port, draw };
}

/** A sum (+) or a mean (⌀), its text drawn as strokes so that no font is needed. */
function circle(x: number, y: number, kind: string): string {
  const r = RADIUS;
  const strokes =
    kind === "mean"
      ? `M${round(x - 5)} ${round(y + 5)}l10 -10`
      : `M${round(x - 4)} ${round(y)}h8M${round(x)} ${round(y - 4)}v8`;
  return `<circle cx="${round(x)}" cy="${round(y)}" r="${r}"/>${path(strokes)}`;
}

/** The shape with a detour around it on the left that is added below. */
function withResidual(shape: Shape): Shape {
  const lead = 10;
  const port = Math.max(shape.port, 0) + DETOUR;
  const height = lead + shape.height + GAP + 2 * RADIUS;
  const draw = (x: number, y: number): string => {
    const [at, left] = [x + port, x + 4];
    const sum = y + lead + shape.height + GAP + RADIUS;
    return (
      path(`M${round(at)} ${round(y + 3)}H${round(left)}V${round(sum)}H${round(at - RADIUS)}`, "bypass") +
      path(`M${round(at)} ${round(y)}v${lead}M${round(at)} ${round(y + lead + shape.height)}v${GAP}`) +
      shape.draw(x + DETOUR, y + lead) +
      circle(at, sum, "sum")
    );
  };
  return { width: shape.width + DETOUR, height, port, draw };
}

/** A dashed frame with a badge that says how often. */
function repeat(shape: Shape, count: number): Shape {
  // More room above, so that the badges of nested frames do not meet.
  const [pad, above, badge] = [12, 20, `× ${count}`];
  const badgeWidth = Math.ceil(widthOfText(badge, 11)) + 16;
  const width = Math.max(shape.width + 2 * pad, shape.port + pad + badgeWidth + 16);
  const height = shape.height + above + pad;
  const draw = (x: number, y: number): string => {
    const [bx, by] = [x + width - badgeWidth - 10, y - 9];
    return (
      `<rect class="repeat" x="${round(x)}" y="${round(y)}" width="${round(width)}" height="${round(height)}" rx="10"/>` +
      path(`M${round(x + pad + shape.port)} ${round(y)}v${above}m0 ${round(shape.height)}v${pad}`) +
      shape.draw(x + pad, y + above) +
      `<rect class="badge" x="${round(bx)}" y="${round(by)}" width="${badgeWidth}" height="18" rx="9"/>` +
      text(bx + badgeWidth / 2, by + 13, badge, "badge-text")
    );
  };
  return { width, height, port: shape.port + pad, draw };
}

/** Pairs of short words on one line each, so that boxes stay narrow. */
function inLines(words: readonly string[], limit = 30): string[] {
  const lines: string[] = [];
  for (const word of words) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 2 + word.length <= limit) lines[lines.length - 1] = `${last}, ${word}`;
    else lines.push(word);
  }
  return lines;
}

function branchBox(layer: ResolvedLayer, branch: ResolvedBranch, name: string, notes: readonly string[]): Shape {
  const { operator } = branch;
  const title = name === "" || name === operator.type ? operator.type : `${name}  ${operator.type}`;
  const details = inLines([...describeOperator(operator), ...describeBranch(branch), ...notes]);
  return box(title, details, familyOf[operator.type], isShared(layer));
}

function layerShape(layer: ResolvedLayer, uses: number): Shape {
  const notes = [...(isShared(layer) ? [`shared weights, used ${uses}×`] : []), ...describeLayer(layer)];
  const [only] = layer.branches;
  const content =
    layer.branches.length === 1 && only !== undefined
      ? branchBox(layer, only, layer.block, notes)
      : beside(
          layer.branches.map((branch, i) => branchBox(layer, branch, "", i === 0 ? notes : [])),
          layer.combine,
        );
  return layer.output === "side" || layer.residual.source === "none" ? content : withResidual(content);
}

/** Draws the stack; returns one `<svg>` element, which is also a valid file. */
export function stackDiagram(spec: ArchitectureSpec): string {
  const uses = new Map<string, number>();
  for (const { weights } of spec.layers) uses.set(weights, (uses.get(weights) ?? 0) + 1);
  const shapes = (nodes: readonly StackNode[]): Shape[] =>
    nodes.map((node) =>
      node.kind === "layer"
        ? layerShape(node.layer, uses.get(node.layer.weights) ?? 1)
        : repeat(stack(shapes(node.items), GAP), node.count),
    );
  const { head, final_norm, positions } = spec;
  const learned = positions === null ? [] : [`${positions.max_length} learned positions`];
  const headNotes = [
    ...(final_norm === null ? [] : [`after ${final_norm.type}`]),
    ...(head.tied ? ["tied to the embedding"] : []),
    ...(head.softcap === null ? [] : [`softcap ${head.softcap}`]),
  ];
  const whole = stack(
    [
      box("embedding", [`${spec.vocab_size} × ${spec.d_model}`, ...learned], "end"),
      ...shapes(foldStack(spec.layers)),
      box("head", inLines([`${spec.d_model} × ${spec.vocab_size}`, ...headNotes]), "end"),
    ],
    GAP + 4,
  );
  const [margin, lead] = [10, 38];
  const width = Math.ceil(whole.width) + 2 * margin;
  const height = Math.ceil(whole.height) + 2 * lead;
  const x = margin + whole.port;
  const arrow = (y: number): string => path(`M${round(x - 4)} ${y}h8l-4 6z`, "arrow");
  const bottom = height - lead;
  const ends =
    text(x, 16, "tokens", "quiet") +
    path(`M${round(x)} 21v${lead - 21}`) +
    path(`M${round(x)} ${bottom}v8`) +
    arrow(bottom + 8) +
    text(x, height - 8, "logits", "quiet");
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" class="hy-stack" role="img" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}">` +
    `<title>${escapeXml(`The stack of ${spec.name}`)}</title><style>${STYLE}</style>${whole.draw(margin, lead)}${ends}</svg>\n`
  );
}
