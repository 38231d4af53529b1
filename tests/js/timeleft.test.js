import assert from "node:assert/strict";
import { test } from "node:test";

import { applyEvent, newJob } from "../../static/js/jobs.js";
import { nearest, onward, timeLeft } from "../../static/js/timeleft.js";

const at = (progress, eta, p90, passed) =>
  timeLeft({ progress, eta_seconds: eta, eta_p90_seconds: p90 }, 0, passed * 1_000);

test("without an estimate the bar stands where the last word left it, and nothing is said", () => {
  assert.deepEqual(at(50, null, null, 600), { value: 50, seconds: null, usually: null, late: false });
});

test("the bar creeps with the estimate, and waits short of the next stage for it to be told", () => {
  assert.equal(at(50, 100, 120, 0).value, 50);
  assert.equal(at(50, 100, 120, 20).value, 60);
  assert.equal(at(50, 100, 120, 90).value, 72.5);
  assert.equal(at(0, 1, 1, 1_000).value, 22.5);
});

test("what is left counts down, then only what is usual is told, then a word", () => {
  assert.deepEqual(at(50, 40, 60, 15), { value: 68.75, seconds: 25, usually: 45, late: false });
  assert.deepEqual(at(50, 40, 60, 45), { value: 72.5, seconds: null, usually: 15, late: false });
  assert.deepEqual(at(50, 40, 60, 61), { value: 72.5, seconds: null, usually: null, late: true });
});

test("a job at 0 % that is late is never told to be ready soon", () => {
  assert.deepEqual(at(0, 0, 0, 0), { value: 22.5, seconds: null, usually: null, late: true });
});

test("what is shown never goes back, whatever is told, until a new try", () => {
  let shown = null;
  for (const [progress, eta, passed] of [[50, 100, 40], [50, 400, 0], [25, 100, 0], [75, null, 0]]) {
    const next = onward(shown, at(progress, eta, eta, passed).value);
    assert.ok(next >= (shown ?? 0));
    shown = next;
  }
  const job = newJob("j1");
  job.shown = 72;
  applyEvent(job, { id: "1-aaaaaaaa", event: "progress", data: { job_id: "j1", progress: 25 } });
  assert.equal(job.shown, 72);
  applyEvent(job, { id: "2-aaaaaaaa", event: "failed", data: { job_id: "j1" } });
  assert.equal(job.shown, null);
});

test("the tab tells of the job that is furthest, of those that go on", () => {
  const jobs = [["COMPLETED", 100], ["PENDING", 0], ["PROCESSING", 75], ["PROCESSING", 50]];
  assert.equal(nearest(jobs.map(([state, progress]) => ({ state, progress })))?.progress, 75);
  assert.equal(nearest([]), undefined);
});
