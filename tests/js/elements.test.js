import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";

const JS = new URL("../../static/js/", import.meta.url);
const tags = readdirSync(new URL("elements/", JS)).map((name) => name.replace(/\.js$/, ""));

test("every element is defined, is known to tsc, and says how it is used", () => {
  const main = readFileSync(new URL("main.js", JS), "utf8");
  const types = readFileSync(new URL("page.d.ts", JS), "utf8");
  assert.ok(tags.length >= 8);
  for (const tag of tags) {
    const source = readFileSync(new URL(`elements/${tag}.js`, JS), "utf8");
    assert.match(main, new RegExp(`define\\("${tag}", \\w+\\)`));
    assert.match(types, new RegExp(`"${tag}": \\w+;`));
    assert.match(source, new RegExp(`\\* @customElement ${tag}\n \\* @example\n`), tag);
  }
});
