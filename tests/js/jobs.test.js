import assert from "node:assert/strict";
import { test } from "node:test";

import { applyDetails, applyEvent, applyItem, isUnfinished, newJob, partialOf, settingsOf } from "../../static/js/jobs.js";

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

const BLAME = { kind: "safety", side: "output", category: "violence", retryable: true, operator: false };
const failed = (id, failure) => ({ id, event: "failed", data: { job_id: "j1", error: "Blocked", failure } });

test("what to do about a failure comes by GET, and stays until the job fails for another reason", () => {
  const job = newJob("j1");
  applyEvent(job, failed("1-aaaaaaaa", BLAME));
  assert.deepEqual([job.failure.retryable, job.failure.advice], [true, undefined]);
  applyDetails(job, { failure: { ...BLAME, advice: "Reword it." } });
  applyEvent(job, failed("2-aaaaaaaa", BLAME));
  assert.equal(job.failure.advice, "Reword it.");
  applyEvent(job, failed("3-aaaaaaaa", { ...BLAME, kind: "timeout", side: null, category: null }));
  assert.equal(job.failure.advice, undefined);
});

test("a slow answer's failure does not come back to a job that goes on, nor to one that failed otherwise since", () => {
  const job = newJob("j1");
  const old = { failure: { ...BLAME, advice: "Reword it." } };
  applyEvent(job, progress("1-aaaaaaaa", 25));
  applyDetails(job, old);
  assert.equal(job.failure, null);
  applyEvent(job, failed("2-aaaaaaaa", { ...BLAME, kind: "timeout" }));
  applyDetails(job, old);
  assert.deepEqual([job.failure.kind, job.failure.advice], ["timeout", undefined]);
});

test("a listed failure is taken whole, and a new try has none", () => {
  const job = applyItem(newJob("j1"), { id: "j1", state: "FAILED", failure: { ...BLAME, advice: "Reword it." } });
  assert.equal(job.failure.advice, "Reword it.");
  applyEvent(job, progress("5-aaaaaaaa", 25));
  assert.equal(job.failure, null);
});

test("a completion of two of four is partial, and says whether the others were filtered", () => {
  const job = newJob("j1");
  const data = { job_id: "j1", videos: [FILE], requested: 4, generated: 2, failure: BLAME };
  applyEvent(job, { id: "1-aaaaaaaa", event: "completed", data });
  assert.deepEqual(partialOf(job), { requested: 4, generated: 2, missing: 2, filtered: true });
  applyEvent(job, { id: "2-aaaaaaaa", event: "completed", data: { ...data, failure: { ...BLAME, kind: "no_video" } } });
  assert.equal(partialOf(job).filtered, false);
  applyEvent(job, { id: "3-aaaaaaaa", event: "completed", data: { job_id: "j1", videos: [FILE] } });
  assert.equal(partialOf(job), null);
});

test("an order is made again from what is known of it", () => {
  const job = applyItem(newJob("j1"), { id: "j1", state: "FAILED", prompt: "A fox", aspect_ratio: "9:16" });
  assert.deepEqual(settingsOf(job), { prompt: "A fox", aspect_ratio: "9:16" });
  const done = { id: "j1", state: "COMPLETED", videos: [{ ...FILE, duration_seconds: 6 }], requested: 4, generated: 1 };
  assert.deepEqual(settingsOf(applyItem(job, done)),
    { prompt: "A fox", aspect_ratio: "9:16", duration_seconds: 6, number_of_videos: 4 });
  applyDetails(job, { duration_seconds: 5, number_of_videos: 2 });
  assert.deepEqual([settingsOf(job).duration_seconds, settingsOf(job).number_of_videos], [5, 2]);
});
