// A short name for what an architecture computes: states and checkpoints are refused by models with another.
import type { ArchitectureSpec } from "../spec/types.ts";

/** FNV-1a, 64 bits, as 16 hexadecimal digits. Detects mistakes, not attacks. */
export function fnv1a64(text: string): string {
  let hash = 0xcbf29ce484222325n;
  for (const byte of new TextEncoder().encode(text)) {
    hash ^= BigInt(byte);
    hash = (hash * 0x100000001b3n) & 0xffffffffffffffffn;
  }
  return hash.toString(16).padStart(16, "0");
}

/** Hash of everything in the resolved spec but its name and description. */
export function specHash(spec: ArchitectureSpec): string {
  const { name: _name, description: _description, source: _source, ...meaning } = spec;
  const text = JSON.stringify(meaning, (_, value) => (value === Number.POSITIVE_INFINITY ? "Infinity" : value));
  return fnv1a64(text);
}
