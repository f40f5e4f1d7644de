import assert from "node:assert/strict";
import { test } from "node:test";

import { EdgeRuntime } from "edge-runtime";
import { build } from "esbuild";

import { settings, skip } from "./gateway.js";

// Its relative paths are of the package's folder.
process.chdir(new URL("..", import.meta.url).pathname);

test("all actions work in an edge runtime, without Node.js' modules and globals", { skip }, async () => {
  const { outputFiles } = await build({
    stdin: {
      contents: `
        import * as client from "./dist/index.js";
        import { scenario } from "./test/scenario.js";
        globalThis.run = (settings) => scenario(client, settings);`,
      resolveDir: ".",
    },
    bundle: true,
    format: "iife",
    platform: "neutral",
    write: false,
  });
  const runtime = new EdgeRuntime({ initialCode: outputFiles[0].text });
  assert.equal(runtime.evaluate("typeof process + typeof require + typeof Buffer"), "undefinedundefinedundefined");
  const ran = await runtime.evaluate(`run(${JSON.stringify(settings("edge"))})`);
  for (const name of ["supports", "more actions", "streams", "watch"]) assert.ok(ran.includes(name), name);
});
