// Finds a key that occurs twice in one JSON object: JSON.parse keeps the last silently, which would let a malicious
// header show one tensor to a checker and another to a reader.

/**
 * The first duplicated key of `json`, which JSON.parse must already have accepted, or undefined. One pass, no
 * recursion, so that neither size nor depth is a weapon.
 */
export function duplicateKey(json: string): string | undefined {
  // For every open bracket: the keys seen so far in an object, null in an array.
  const open: (Set<string> | null)[] = [];
  let expectKey = false;
  for (let i = 0; i < json.length; i++) {
    const character = json[i];
    if (character === "{") {
      open.push(new Set());
      expectKey = true;
    } else if (character === "[") {
      open.push(null);
      expectKey = false;
    } else if (character === "}" || character === "]") {
      open.pop();
      expectKey = false;
    } else if (character === ",") {
      expectKey = open.at(-1) instanceof Set;
    } else if (character === '"') {
      const start = i++;
      while (i < json.length && json[i] !== '"') i += json[i] === "\\" ? 2 : 1;
      const keys = open.at(-1);
      if (expectKey && keys) {
        const key = String(JSON.parse(json.slice(start, i + 1)));
        if (keys.has(key)) return key;
        keys.add(key);
      }
      expectKey = false;
    }
  }
  return undefined;
}
