// The guides name files and link to each other: all of them are there (architectures/x.yaml is an example's name).
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, it } from "vitest";

const guides = [
  "README.md",
  ...readdirSync("docs", { recursive: true, encoding: "utf8" }).map((name) => `docs/${name}`),
];

it.each(guides.filter((name) => name.endsWith(".md")))("%s names files that exist", (guide) => {
  const text = readFileSync(guide, "utf8");
  const links = [...text.matchAll(/\]\(([^)#\s:]+)(?:#[^)]*)?\)/g)].map(([, path = ""]) => join(dirname(guide), path));
  const paths = [
    ...text.matchAll(/(?<![\w./<-])(?:architectures|bench|configs|docs|kernels|scripts|src|test)\/[\w./-]*\w/g),
  ];
  const named = [...links, ...paths.map(([path]) => path)];
  expect(named.filter((path) => !existsSync(path) && path !== "architectures/x.yaml")).toEqual([]);
});
