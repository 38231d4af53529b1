import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";

import { TEXTS, wordsOf } from "../../static/js/texts.js";

const STATIC = new URL("../../static/", import.meta.url);
const names = (text) => (text.match(/\{\w+\}/g) ?? []).sort();

/** The keys that a file names, in its markup or in a call of t(). */
const named = (source) => [...source.matchAll(/data-t(?:-\w+)?="([^"]+)"|\bt\("([^"]+)"/g)].map(([, a, b]) => a ?? b);

test("what is said in one language is said in the other, with the same values in it", () => {
  assert.deepEqual(Object.keys(TEXTS.en), Object.keys(TEXTS.fr));
  for (const [key, text] of Object.entries(TEXTS.fr)) assert.deepEqual(names(TEXTS.en[key]), names(text), key);
});

test("every text that the page names is there", () => {
  const files = readdirSync(new URL("js/", STATIC), { recursive: true }).filter((name) => name.endsWith(".js"));
  const sources = ["index.html", ...files.map((name) => `js/${name}`)];
  const keys = sources.flatMap((name) => named(readFileSync(new URL(name, STATIC), "utf8")));
  assert.ok(keys.length > 50);
  assert.deepEqual(keys.filter((key) => !(key in TEXTS.fr)), []);
});

test("a refusal is told in the page's words where its code has any, else in the server's", () => {
  const finished = { code: "finished", message: "That job is finished." };
  assert.equal(wordsOf("fr", finished), TEXTS.fr["refusal.finished"]);
  assert.equal(wordsOf("en", finished), TEXTS.en["refusal.finished"]);
  assert.notEqual(TEXTS.fr["refusal.finished"], TEXTS.en["refusal.finished"]);
  for (const code of ["generation_failed", null]) assert.equal(wordsOf("fr", { code, message: "No." }), "No.");
});

test("partial results have words for one video and for many", () => {
  for (const texts of Object.values(TEXTS)) {
    for (const why of ["filtered", "missing"]) assert.ok(texts[`partial.${why}`] && texts[`partial.${why}.one`]);
  }
});
