import assert from "node:assert/strict";
import { test } from "node:test";

import { absolute, addressOf, filterOf, queryOf } from "../../static/js/admin/filter.js";

const of = (query) => filterOf(new URLSearchParams(query));
const NOW = Date.parse("2026-03-29T12:00:00Z");

test("an address holds what differs from the default, and nothing else", () => {
  assert.equal(addressOf(of("")), "/admin");
  assert.equal(addressOf(of("outcome=dead&job_id=&view=x&cursor=7")), "?outcome=dead");
  const whole = "?outcome=dead&status=failed&job_id=a%26b&version=v1&origin=webhook&q=429&last=24h";
  assert.equal(addressOf(of(whole)), whole);
});

test("a window without a name or a time that is none is passed over, and a time wins over a window", () => {
  assert.equal(addressOf(of("last=2y&from=yesterday")), "/admin");
  assert.equal(addressOf(of("last=constructor")), "/admin");
  assert.deepEqual([of("last=1h&from=2026-03-01").last, of("last=1h&from=2026-03-01").from],
    ["", "2026-03-01T00:00:00.000Z"]);
  assert.equal(of("to=2026-03-29T02:30:00%2B02:00").to, "2026-03-29T00:30:00.000Z");
});

test("a window that ends now is asked for by its bound in UTC", () => {
  assert.equal(String(queryOf(of("last=24h&outcome=dead"), NOW)), "outcome=dead&from=2026-03-28T12%3A00%3A00.000Z");
  assert.equal(absolute(of("last=24h"), NOW).from, "2026-03-28T12:00:00.000Z");
  assert.equal(String(queryOf(of(""), NOW)), "");
});
