import assert from "node:assert/strict";
import { test } from "node:test";

import { applyDetails, applyEvent, applyItem, isUnfinished, newJob } from "../../static/js/jobs.js";

const progress = (id, value, data = {}) =>
  ({ id, event: "progress", data: { job_id: "j1", state: "PROCESSING", progress: value, ...data } });
const FILE = { id: "f1", file_url: "https://files.example/f1.mp4" };

test("the tenth event of the log moves a job that the ninth has moved", () => {
  const job = newJob("j1");
  assert.equal(applyEvent(job, progress("9-ffffffff", 50)), true);
  assert.equal(applyEvent(job, progress("10-0000000a", 70)), true);
  assert.equal(job.progress, 70);
});

test("an older event and the same event again change nothing", () => {
  const job = newJob("j1");
  applyEvent(job, progress("100-0000000a", 50));
  assert.equal(applyEvent(job, progress("99-0000000b", 10)), false);
  assert.equal(applyEvent(job, progress("100-0000000a", 10)), false);
  assert.equal(job.progress, 50);
});

test("a completed event brings the videos, and a failed one the reason", () => {
  const job = newJob("j1");
  applyEvent(job, { id: "1-aaaaaaaa", event: "completed", data: { job_id: "j1", progress: 100, videos: [FILE] } });
  assert.deepEqual([job.state, job.progress, job.videos], ["COMPLETED", 100, [FILE]]);
  const other = newJob("j2");
  applyEvent(other, { id: "2-aaaaaaaa", event: "failed", data: { job_id: "j2", error: "Blocked" } });
  assert.deepEqual([other.state, other.error, isUnfinished(other)], ["FAILED", "Blocked", false]);
});

test("progress after a failure is a new try", () => {
  const job = newJob("j1");
  applyEvent(job, { id: "1-aaaaaaaa", event: "failed", data: { job_id: "j1", error: "Blocked" } });
  applyEvent(job, progress("2-aaaaaaaa", 10));
  assert.deepEqual([job.state, job.error, isUnfinished(job)], ["PROCESSING", null, true]);
});

test("a slow answer brings the prompt, and does not take the state back", () => {
  const job = newJob("j1");
  applyEvent(job, { id: "5-aaaaaaaa", event: "completed", data: { job_id: "j1", videos: [FILE] } });
  applyDetails(job, { prompt: "A fox", state: "PROCESSING", progress: 50, videos: [] });
  assert.deepEqual([job.prompt, job.state, job.videos], ["A fox", "COMPLETED", [FILE]]);
});

test("a page that was read again counts as newer than any event before it, also when the log begins anew", () => {
  const job = newJob("j1");
  applyEvent(job, progress("500-aaaaaaaa", 90));
  applyItem(job, { id: "j1", status: "processing", state: "PROCESSING", progress: 10 });
  assert.equal(job.progress, 10);
  assert.equal(applyEvent(job, progress("3-bbbbbbbb", 20)), true);
});

test("an item of the gallery without a state is completed by its status", () => {
  const job = applyItem(newJob("j1"), { id: "j1", status: "completed", videos: [FILE] });
  assert.deepEqual([job.state, job.progress, job.message], ["COMPLETED", 100, ""]);
});
