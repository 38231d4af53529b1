import assert from "node:assert/strict";
import { test } from "node:test";

import { Backoff, isFinal } from "../../static/js/live/backoff.js";
import { Refusal } from "../../static/js/refusal.js";

/** Whether a wait is of so many ms, give or take a quarter. */
const about = (wait, milliseconds) => wait >= 0.75 * milliseconds && wait <= 1.25 * milliseconds;

test("waits double from a second to half a minute, and stay there", () => {
  const backoff = new Backoff();
  for (const expected of [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]) {
    const wait = backoff.after();
    assert.ok(about(wait, expected), `${wait} instead of about ${expected}`);
  }
});

test("a thousand clients that were cut off together come back spread over half a second", () => {
  const waits = Array.from({ length: 1_000 }, () => new Backoff().after());
  assert.ok(Math.max(...waits) - Math.min(...waits) > 400);
});

test("after success the waits begin anew", () => {
  const backoff = new Backoff();
  for (let i = 0; i < 5; i += 1) backoff.after();
  backoff.succeeded();
  assert.ok(about(backoff.after(), 1_000));
  assert.ok(about(backoff.after(), 2_000));
});

test("success that lasts too short a time counts for nothing", () => {
  const backoff = new Backoff(60_000);
  for (let i = 0; i < 5; i += 1) backoff.after();
  backoff.succeeded();
  assert.ok(about(backoff.after(), 30_000));
});

test("nobody comes back before the server wants it", () => {
  assert.equal(new Backoff().after(new Refusal("Busy", { status: 503, retryAfter: 120 })), 120_000);
  assert.ok(about(new Backoff().after(new Refusal("Busy", { status: 503 })), 1_000));
});

test("a wait that no timer can keep is not taken for none", () => {
  assert.equal(new Backoff().after(new Refusal("Busy", { retryAfter: Infinity })), 2 ** 31 - 1);
});

test("404 is the end for one job, and not for the list of all", () => {
  const gone = new Refusal("There is no such job.", { status: 404 });
  assert.equal(isFinal(gone, "j1"), true);
  assert.equal(isFinal(gone, null), false);
  assert.equal(isFinal(new Refusal("Busy", { status: 503 }), "j1"), false);
  assert.equal(isFinal(new TypeError("fetch failed"), "j1"), false);
});
