import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";

const JS = new URL("../../static/js/", import.meta.url);

const PAGES = [
  { html: "index.html", script: "main.js", folder: "elements/" },
  { html: "job.html", script: "job-page.js", folder: "elements/" },
  { html: "admin.html", script: "admin/main.js", folder: "admin/elements/" },
].map(({ html, script, folder }) => ({
  html: readFileSync(new URL(`../${html}`, JS), "utf8"),
  script: readFileSync(new URL(script, JS), "utf8"),
  folder,
}));

for (const folder of new Set(PAGES.map((page) => page.folder))) {
  test(`every element of ${folder} is defined, is known to tsc, and says how it is used`, () => {
    const elements = new URL(folder, JS);
    const tags = readdirSync(elements).map((name) => name.replace(/\.js$/, ""));
    const scripts = PAGES.filter((page) => page.folder === folder).map(({ script }) => script).join();
    const types = readFileSync(new URL("../page.d.ts", elements), "utf8");
    assert.ok(tags.length >= 2);
    for (const tag of tags) {
      const source = readFileSync(new URL(`${tag}.js`, elements), "utf8");
      assert.match(scripts, new RegExp(`define\\("${tag}", \\w+\\)`));
      assert.match(types, new RegExp(`"${tag}": \\w+;`));
      assert.match(source, new RegExp(`\\* @customElement ${tag}\n \\* @example\n`), tag);
    }
  });
}

test("every page defines the elements that it has", () => {
  for (const { html, script } of PAGES) {
    const used = new Set([...html.matchAll(/<(rushes-[a-z-]+)/g)].map(([, tag]) => tag));
    assert.ok(used.size >= 2);
    for (const tag of used) assert.match(script, new RegExp(`define\\("${tag}", \\w+\\)`));
  }
});
