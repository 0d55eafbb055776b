// What the page starts with: the library's small architectures, and a text to train on until one pastes another.
const modules: Readonly<Record<string, string>> = import.meta.glob("../../architectures/*.yaml", {
  query: "?raw",
  import: "default",
  eager: true,
});

/** By file name; the line that tells editors of the schema means nothing here. */
export const presets: Readonly<Record<string, string>> = Object.fromEntries(
  Object.entries(modules).map(([path, yaml]) => [
    path.replace(/^.*\/|\.yaml$/g, ""),
    yaml.replace(/^# yaml-language-server.*\n/, ""),
  ]),
);

/** Declarations of TypeScript's own library (Apache-2.0): the small files of the text that `npm start` learns. */
const declarations: Readonly<Record<string, string>> = import.meta.glob(
  [
    "../../node_modules/typescript/lib/lib.es2015.{collection,core,proxy,reflect,symbol.wellknown}.d.ts",
    "../../node_modules/typescript/lib/lib.{es2020.intl,es2025.iterator,esnext.disposable,esnext.temporal}.d.ts",
    "../../node_modules/typescript/lib/lib.{decorators,scripthost}.d.ts",
  ],
  { query: "?raw", import: "default", eager: true },
);

export const bundledText = Object.values(declarations).join("\n");
