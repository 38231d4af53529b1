import assert from "node:assert/strict";
import { test } from "node:test";

import { behindOf, chartsOf, linesOf, partialOf, stackedOf } from "../../static/js/admin/figures.js";

const times = (n) => ({ mean: n ? 2 : null, p50: n ? 1 : null, p95: n ? 9 : null, n });
const figures = (applied, finished, kinds) => {
  const failed = Object.values(kinds).reduce((sum, count) => sum + count, 0);
  const rate = finished + failed ? finished / (finished + failed) : null;
  return { webhooks: { applied, dead: 1 }, finished, failed, failed_by_kind: kinds, success_rate: rate,
    job_seconds: times(finished), webhook_ms: times(applied) };
};
const stats = {
  now: { oldest_unfinished_seconds: 900 },
  from: "2026-03-28T23:00:00.000Z", to: "2026-03-30T22:00:00.000Z", bucket: "day", timezone: "Europe/Paris",
  totals: figures(50, 30, { quota: 2, timeout: 1 }),
  buckets: [
    { start: "2026-03-28T23:00:00.000Z", ...figures(40, 25, { quota: 2 }) },
    { start: "2026-03-29T22:00:00.000Z", ...figures(10, 5, { timeout: 1 }) },
  ],
};
const chart = (name, partial = -1) => chartsOf(stats, partial).find((one) => one.name === name);

test("each chart has its figures by bucket, and in all", () => {
  assert.deepEqual(chart("webhooks").series.map(({ name, total, values }) => [name, total, values]),
    [["applied", 50, [40, 10]], ["dead", 1, [1, 1]]]);
  assert.deepEqual(chart("ends").series.map(({ name, values }) => [name, values]),
    [["finished", [25, 5]], ["quota", [2, 0]], ["timeout", [0, 1]]]);
  assert.deepEqual(chart("success").series[0].samples, [27, 6]);
  assert.deepEqual(chart("webhook_ms").series.map(({ name, values }) => [name, values]),
    [["mean", [2, 2]], ["p50", [1, 1]], ["p95", [9, 9]]]);
});

test("the age of the oldest that goes on stands over the bucket that is not over, and has no webhooks behind it", () => {
  const { name, values, behind } = chart("job_seconds", 1).series.at(-1);
  assert.deepEqual([name, values, behind], ["oldest", [null, 900], null]);
  assert.equal(chart("job_seconds").series.length, 3);
});

test("a figure opens the webhooks of its bucket, which is as long as its day was", () => {
  const { behind } = chart("webhooks").series[1];
  assert.deepEqual(behindOf(stats, 0, behind),
    { outcome: "dead", from: "2026-03-28T23:00:00.000Z", to: "2026-03-29T22:00:00.000Z" });
  assert.equal(behindOf(stats, 1).to, "2026-03-30T22:00:00.000Z");
  assert.deepEqual(behindOf(stats, null), { from: stats.from, to: stats.to });
});

test("a figure of generations opens those, and not the webhooks that came meanwhile", () => {
  assert.deepEqual(chart("ends").series.map(({ behind }) => behind), [
    { view: "generations", ended: "completed" }, { view: "generations", ended: "quota" },
    { view: "generations", ended: "timeout" }]);
  assert.deepEqual(chart("success").series[0].behind, { view: "generations" });
  assert.deepEqual(chart("job_seconds").series[0].behind, { view: "generations", ended: "completed", timed: "true" });
});

test("a figure of what is purged opens nothing", () => {
  const purged = { ...stats, kept_from: "2026-03-29T10:00:00.000Z" };
  assert.equal(behindOf(purged, 0), null);
  assert.equal(behindOf(purged, null), null);
  assert.equal(behindOf(purged, 1).from, "2026-03-29T22:00:00.000Z");
});

test("the bucket that is not over is told apart until it is", () => {
  assert.equal(partialOf(stats, Date.parse("2026-03-30T21:59:00Z")), 1);
  assert.equal(partialOf(stats, Date.parse("2026-03-30T22:00:00Z")), -1);
});

test("a line is sure, of few, or not over, and its parts meet", () => {
  const one = { values: [1, 2, 3, 4, 5], samples: [20, 19, 30, 30, 30] };
  assert.deepEqual(linesOf(one, 4), [[1, null, 3, 4, null], [1, 2, 3, null, null], [null, null, null, 4, 5]]);
  assert.deepEqual(linesOf({ ...one, values: [1, null, 3, 4, 5] }, -1)[1], [1, null, 3, null, null]);
});

test("counts stand on top of each other", () => {
  assert.deepEqual(stackedOf(chart("ends").series), [[25, 5], [27, 5], [27, 6]]);
});
