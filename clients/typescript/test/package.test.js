import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync, rmSync } from "node:fs";
import { test } from "node:test";
import { gzipSync } from "node:zlib";

import { build } from "esbuild";

const ROOT = new URL("..", import.meta.url).pathname;
process.chdir(ROOT);

const run = (command, ...given) => execFileSync(command, given, { encoding: "utf8", stdio: "pipe" });

test("the client is smaller than 5 kB", async () => {
  const { outputFiles } = await build({
    entryPoints: ["dist/index.js"], bundle: true, minify: true, format: "esm", target: "es2022", write: false,
  });
  const [{ contents }] = outputFiles;
  console.log(`${contents.length} bytes minified, ${gzipSync(contents, { level: 9 }).length} with gzip`);
  assert.ok(contents.length < 5_000, `${contents.length} bytes`);
});

test("it depends on nothing", () => {
  const { dependencies, peerDependencies } = JSON.parse(readFileSync("package.json", "utf8"));
  assert.deepEqual([dependencies, peerDependencies], [undefined, undefined]);
});

test("the types hold in use, and wrong uses are errors", () => {
  run("node_modules/.bin/tsc", "-p", "test/tsconfig.json");
});

test("the package has what it needs and nothing else", () => {
  const [{ files, filename }] = JSON.parse(run("npm", "pack", "--json", "--ignore-scripts"));
  try {
    const names = files.map((file) => file.path).sort();
    const modules = ["client", "collection", "error", "index", "stream", "types"];
    const built = modules.flatMap((name) => [`dist/${name}.d.ts`, `dist/${name}.js`]);
    assert.deepEqual(names, ["LICENSE", "README.md", ...built, "package.json"].sort());
    // The package itself is checked, not the folder.
    run("node_modules/.bin/publint", "--strict", filename);
    run("node_modules/.bin/attw", "--profile", "esm-only", filename);
  } finally {
    rmSync(filename);
  }
});

test("the lock file names no registry", () => {
  assert.doesNotMatch(readFileSync("package-lock.json", "utf8"), /"resolved"/);
});
