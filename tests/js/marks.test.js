import assert from "node:assert/strict";
import { test } from "node:test";

import { marked } from "../../static/js/admin/marks.js";

test("what turns a text round, hides in it or ends a line is told by its code point", () => {
  assert.deepEqual(marked("job\u202E1\u200B\u0000x"), [
    { text: "job" }, { mark: "U+202E" }, { text: "1" }, { mark: "U+200B" }, { mark: "U+0000" }, { text: "x" }]);
  assert.deepEqual(marked("\uDC00\u{E0041}"), [{ mark: "U+DC00" }, { mark: "U+E0041" }]);
  assert.deepEqual(marked("a\nb"), [{ text: "a" }, { mark: "U+000A" }, { text: "b" }]);
});

test("plain text of any script, and joined emoji, stay as they are", () => {
  for (const text of ["é ع 日本", "👩🏽‍🚀 👨‍👩‍👧", "a b\t".trim(), ""]) {
    assert.deepEqual(marked(text), text ? [{ text }] : []);
  }
  assert.deepEqual(marked("a\n\tb", true), [{ text: "a\n\tb" }]);
  assert.deepEqual(marked("a\u200Db"), [{ text: "a" }, { mark: "U+200D" }, { text: "b" }]);
});
