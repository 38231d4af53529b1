import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";

import { TEXTS as ADMIN } from "../../static/js/admin/texts.js";
import { messageIn, TEXTS, wordsOf } from "../../static/js/texts.js";

const STATIC = new URL("../../static/", import.meta.url);
const names = (text) => (text.match(/\{\w+\}/g) ?? []).sort();

/** The keys that a file names, in its markup or in a call of t(). */
const named = (source) => [...source.matchAll(/data-t(?:-\w+)?="([^"]+)"|\b(?:t|many)\("([^"]+)"/g)].map(([, a, b]) => a ?? b);
/** Those that are of so many. */
const counted = (source) => [...source.matchAll(/\bmany\(["`]([^"`]+)["`]/g)].map(([, key]) => key);

test("what is said in one language is said in the other, with the same values in it", () => {
  for (const { fr, en } of [TEXTS, ADMIN]) {
    assert.deepEqual(Object.keys(en), Object.keys(fr));
    for (const [key, text] of Object.entries(fr)) assert.deepEqual(names(en[key]), names(text), key);
  }
});

test("every text that the page names is there", () => {
  const files = readdirSync(new URL("js/", STATIC), { recursive: true }).filter((name) => name.endsWith(".js"));
  const sources = ["index.html", "admin.html", ...files.map((name) => `js/${name}`)];
  const keys = sources.flatMap((name) => {
    const own = name.includes("admin") ? { ...TEXTS.fr, ...ADMIN.fr } : TEXTS.fr;
    return named(readFileSync(new URL(name, STATIC), "utf8")).map((key) => ({ name, key, known: key in own }));
  });
  assert.ok(keys.length > 50);
  assert.deepEqual(keys.filter(({ known }) => !known), []);
});

test("what is told of so many has words for one", () => {
  const folder = new URL("js/admin/elements/", STATIC);
  const keys = readdirSync(folder).flatMap((name) => counted(readFileSync(new URL(name, folder), "utf8")));
  assert.ok(keys.includes("list.count") && keys.includes("bulk.${act}"));
  const made = { "bulk.${act}": ["bulk.replay", "bulk.discard"],
    "now.${name}": ["now.pending", "now.running", "now.completed", "now.failed"] };
  for (const key of keys.flatMap((one) => made[one] ?? [one])) {
    for (const texts of Object.values(ADMIN)) assert.ok(texts[key] && texts[`${key}.1`], key);
  }
});

test("a refusal is told in the page's words, and never in English to who reads French", () => {
  const finished = { code: "finished", message: "That job is finished.", status: 409 };
  assert.equal(wordsOf("fr", finished), TEXTS.fr["refusal.finished"]);
  assert.equal(wordsOf("en", finished), TEXTS.en["refusal.finished"]);
  assert.notEqual(TEXTS.fr["refusal.finished"], TEXTS.en["refusal.finished"]);
  for (const code of ["some_new_word", null]) {
    assert.equal(wordsOf("en", { code, message: "No.", status: 418 }), "No.");
    assert.match(wordsOf("fr", { code, message: "No.", status: 418 }), /erreur \(418\)/);
  }
});

test("what the server says in the reader's language, or the page itself has said, stays as it is", () => {
  const refused = { code: "generation_failed", message: "Le service a refusé.", status: 502 };
  assert.equal(wordsOf("fr", refused), refused.message);
  assert.equal(wordsOf("fr", { code: null, message: TEXTS.fr["problem.network"], status: 0 }), TEXTS.fr["problem.network"]);
});

test("partial results have words for one video and for many", () => {
  for (const texts of Object.values(TEXTS)) {
    for (const why of ["filtered", "missing"]) assert.ok(texts[`partial.${why}`] && texts[`partial.${why}.one`]);
  }
});

test("what the server says of a running job is said in the reader's language, and what others say as it is", () => {
  for (const from of ["fr", "en"]) {
    assert.equal(messageIn("en", TEXTS[from]["stage.generating"]), "Generating the video");
    assert.equal(messageIn("fr", TEXTS[from]["stage.generating"]), "Génération de la vidéo en cours");
  }
  for (const message of ["", "Upscaling", "constructor"]) assert.equal(messageIn("fr", message), message);
});
