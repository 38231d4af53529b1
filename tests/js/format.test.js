import assert from "node:assert/strict";
import { test } from "node:test";

// All of a page that these functions look at: its language, and where it is.
globalThis.document = { documentElement: { lang: "en" }, baseURI: "https://rushes.example/" };
const { ago, duration, fileSize, modelName, safeUrl } = await import("../../static/js/format.js");

test("durations are whole, and never below nothing", () => {
  assert.deepEqual([-3, 0.4, 45, 59.6, 61].map(duration), ["0 s", "0 s", "45 s", "1 min 00 s", "1 min 01 s"]);
  assert.deepEqual([3_599, 3_600, 3_725].map(duration), ["59 min 59 s", "1 h 00 min", "1 h 02 min"]);
});

test("sizes change their unit at a thousand", () => {
  assert.deepEqual([0, 999, 1_000, 4_800_000, 2_000_000_000_000].map(fileSize),
    ["0 byte", "999 byte", "1 kB", "4.8 MB", "2,000 GB"]);
});

test("a clock that is behind the server's does not make a job of the future", () => {
  assert.equal(ago(new Date(Date.now() + 5_000).toISOString()), "now");
  assert.equal(ago(new Date(Date.now() - 180_000).toISOString()), "3 minutes ago");
});

test("a model is called as people call it", () => {
  assert.equal(modelName("veo-2.0-generate-001"), "Veo 2.0");
  assert.equal(modelName("other"), "other");
});

test("an address that is not of the web is none", () => {
  for (const address of ["javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "", null, 7, "https://["]) {
    assert.equal(safeUrl(address), null, String(address));
  }
  assert.equal(safeUrl("/static/a.mp4"), "https://rushes.example/static/a.mp4");
});
