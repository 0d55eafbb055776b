// How this program is called, for messages that tell what to type next.
import { join, relative } from "node:path";

/** `hybraid`; in a checkout `npx hybraid`; otherwise what was typed. */
export function commandName(script: string = process.argv[1] ?? ""): string {
  const near = relative(process.cwd(), script);
  if (near === join("dist", "cli", "main.js")) return "npx hybraid";
  if (!/main\.[jt]s$/.test(script)) return "hybraid";
  return `${script.endsWith(".ts") ? "npx tsx" : "node"} ${near.startsWith("..") ? script : near}`;
}

/** An argument as a shell takes it, on one line. */
export function shellQuote(text: string): string {
  if (/^[\w@%+=:,./-]+$/.test(text)) return text;
  if (!/\p{Cc}/u.test(text)) return `'${text.replaceAll("'", "'\\''")}'`;
  const escaped = (c: string): string => (c === "\n" ? "\\n" : `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);
  return `$'${text.replace(/[\\']/g, "\\$&").replace(/\p{Cc}/gu, escaped)}'`;
}
