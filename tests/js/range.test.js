import assert from "node:assert/strict";
import { test } from "node:test";

import { addressOfRange, rangeOf, statsQuery } from "../../static/js/admin/range.js";

const of = (query) => rangeOf(new URLSearchParams(query));
const NOW = Date.parse("2026-03-29T22:30:00Z");

test("an address says what differs from the last 24 hours by hour", () => {
  for (const [query, address] of [
    ["", "?view=figures"],
    ["range=24h&bucket=hour", "?view=figures"],
    ["range=7d", "?view=figures&range=7d"],
    ["range=30d&bucket=day", "?view=figures&range=30d"],
    ["range=30d&bucket=hour", "?view=figures&range=30d&bucket=hour"],
    ["range=toString&bucket=week", "?view=figures"],
    ["from=2026-03-01&to=2026-03-31", "?view=figures&from=2026-03-01&to=2026-03-31"],
    ["from=2026-03-31&to=2026-03-01", "?view=figures"],
  ]) assert.equal(addressOfRange(of(query)), address, query);
});

test("whole days are those of the zone, and the last one is in", () => {
  const days = statsQuery(of("range=30d"), NOW, "Europe/Paris");
  assert.equal(days.get("from"), "2026-03-01"); // there it is the 30th already
  assert.equal(statsQuery(of("range=30d"), NOW, "America/New_York").get("from"), "2026-02-28");
  const own = statsQuery(of("from=2026-03-29&to=2026-03-29"), NOW, "Europe/Paris");
  assert.equal(String(own), "bucket=day&timezone=Europe%2FParis&from=2026-03-29&to=2026-03-30");
  assert.equal(statsQuery(of("range=7d"), NOW, "UTC").get("from"), "2026-03-22T22:30:00.000Z");
  assert.equal(String(statsQuery(of(""), NOW, "UTC")), "bucket=hour&timezone=UTC");
});
