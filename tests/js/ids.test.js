import assert from "node:assert/strict";
import { test } from "node:test";

import { contradict, isNewer, NONE } from "../../static/js/live/ids.js";

test("the tenth event is newer than the ninth, whatever their digits", () => {
  assert.equal(isNewer("10-0000000a", "9-ffffffff"), true);
  assert.equal(isNewer("9-ffffffff", "10-0000000a"), false);
});

test("an event is newer than none, and not newer than itself", () => {
  assert.equal(isNewer("1-0a1b2c3d", NONE), true);
  assert.equal(isNewer("1-0a1b2c3d", "1-0a1b2c3d"), false);
  assert.equal(isNewer(null, NONE), false);
});

test("a log that was taken back is known by a lower number, or by other digits of the same", () => {
  assert.equal(contradict("4-aaaaaaaa", "5-aaaaaaaa"), true);
  assert.equal(contradict("5-aaaaaaaa", "5-bbbbbbbb"), true);
  assert.equal(contradict("5-aaaaaaaa", "5-aaaaaaaa"), false);
  assert.equal(contradict("6-bbbbbbbb", "5-aaaaaaaa"), false);
});

test("a number alone, as older servers gave, contradicts nothing of its number", () => {
  assert.equal(contradict("5", "5-bbbbbbbb"), false);
  assert.equal(contradict("5-bbbbbbbb", "5"), false);
});
