import assert from "node:assert/strict";
import { test } from "node:test";

globalThis.document = { documentElement: { lang: "en" }, baseURI: "http://localhost/" };
const { addressOf, lifeOf, mayHaveExpired, withoutQuery } = await import("../../static/js/addresses.js");

const SIGNED = "https://s3.example/a.mp4?X-Amz-Expires=3600&X-Amz-Signature=1";

test("an address is good for half of its life, from when it was heard of", () => {
  const address = addressOf(SIGNED, null, 1_000);
  assert.equal(lifeOf(address), 1_800_000);
  assert.equal(mayHaveExpired(address, 1_801_000), false);
  assert.equal(mayHaveExpired(address, 1_801_001), true);
});

test("an address that is heard of again is no fresher; another one is", () => {
  const first = addressOf(SIGNED, null, 1_000);
  assert.equal(addressOf(SIGNED, first, 9_000), first);
  assert.equal(addressOf(SIGNED.replace("=1", "=2"), first, 9_000).since, 9_000);
});

test("an address that says no time does not expire, and one that no browser may fetch is none", () => {
  const own = addressOf("/static/simulated.mp4", null, 0);
  assert.equal(own.url, "http://localhost/static/simulated.mp4");
  assert.equal(mayHaveExpired(own, Number.MAX_SAFE_INTEGER), false);
  assert.equal(addressOf("javascript:alert(1)", null), null);
});

test("two signatures of one file are of one file", () => {
  assert.equal(withoutQuery(SIGNED), "https://s3.example/a.mp4");
  assert.equal(withoutQuery("/a.mp4#t=1"), "/a.mp4");
});
