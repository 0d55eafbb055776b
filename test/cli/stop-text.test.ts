// Stop texts: found wherever the pieces break, and nothing of them shown.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { StopText } from "../../src/cli/stop-text.ts";

/** All that is released of `pieces`. */
function run(stops: readonly string[], pieces: readonly string[]): { text: string; stop: string | undefined } {
  const watcher = new StopText(stops);
  let text = "";
  for (const piece of pieces) {
    const released = watcher.push(piece);
    text += released.text;
    if (released.stop !== undefined) return { text, stop: released.stop };
  }
  return { text: text + watcher.end(), stop: undefined };
}

describe("a stop text", () => {
  it("ends the text at its first place, whatever the pieces", () => {
    const letters = fc.string({ unit: fc.constantFrom("a", "b"), maxLength: 30 });
    const stop = fc.string({ unit: fc.constantFrom("a", "b"), minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(fc.array(letters, { maxLength: 8 }), stop, (pieces, wanted) => {
        const whole = pieces.join("");
        const at = whole.indexOf(wanted);
        const expected = at < 0 ? { text: whole, stop: undefined } : { text: whole.slice(0, at), stop: wanted };
        // What comes after the piece in which it was met is not read.
        expect(run([wanted], pieces)).toEqual(expected);
      }),
    );
  });

  it("is the one that comes first, of several", () => {
    expect(run(["}", "\n\n"], ["a: 1\n", "\nb }"])).toEqual({ text: "a: 1", stop: "\n\n" });
  });

  it("holds back no more than what may be its beginning", () => {
    const watcher = new StopText(["END"]);
    expect(watcher.push("the E")).toEqual({ text: "the ", stop: undefined });
    expect(watcher.push("xit")).toEqual({ text: "Exit", stop: undefined });
    expect(watcher.push("EN")).toEqual({ text: "", stop: undefined });
    expect(watcher.end()).toBe("EN");
  });

  it("that is empty stops nothing", () => {
    expect(run([""], ["abc"])).toEqual({ text: "abc", stop: undefined });
  });
});
