import assert from "node:assert/strict";
import { test } from "node:test";

import { Api, poller } from "../../static/js/live/state.js";
import { Refusal } from "../../static/js/refusal.js";
import { json, serving } from "./server.js";

const TIMING = { answer: 10_000, signIn: 10_000 };
const job = (id, progress, more = {}) => ({ id, status: "processing", state: "PROCESSING", progress, ...more });

/** An Api whose server has these jobs, and what was asked of it. `jobs` may change between two requests. */
async function api(t, jobs, { more = false, ...options } = {}) {
  const asked = [];
  const log = { id: "1-aaaaaaaa" };
  const base = await serving(t, (request, response) => {
    asked.push(request.url);
    const one = /^\/api\/videos\/(j\d)$/.exec(request.url)?.[1];
    const at = { last_event_id: log.id, channel: "c" };
    const active = jobs.filter((each) => each.state === "PROCESSING" && !each.unlisted);
    if (!one) return json(response, { ...at, active, ...(more && { active_more: true }) });
    const found = jobs.find((each) => each.id === one);
    if (!found) return json(response, { error: "There is no such job.", code: "not_found" }, 404);
    return json(response, { ...at, own: true, ...found });
  });
  return { api: new Api({ base, credentials: "same-origin", timing: TIMING, ...options }), asked, log };
}

const told = ({ events }) => events.map(({ event, data }) => [event, data.job_id, data.progress]);

test("only what has changed since the last reading is told again", async (t) => {
  const jobs = [job("j1", 10), job("j2", 20)];
  const { api: reader } = await api(t, jobs);
  const read = poller(reader, null, new Set());
  assert.deepEqual(told(await read()), [["progress", "j1", 10], ["progress", "j2", 20]]);
  assert.deepEqual(told(await read()), []);
  jobs[1] = job("j2", 50);
  assert.deepEqual(told(await read()), [["progress", "j2", 50]]);
});

test("a job that has left the list is asked for by itself, and its end is told", async (t) => {
  const { api: reader } = await api(t, [job("j1", 100, { state: "COMPLETED", num_videos: 2 }), job("j2", 20)]);
  const batch = await poller(reader, null, new Set(["j1", "j2"]))();
  assert.deepEqual(told(batch), [["progress", "j2", 20], ["completed", "j1", 100]]);
  assert.equal(batch.events[1].data.num_videos, 2);
  assert.equal(batch.events[1].id, batch.id);
});

test("a job that was deleted is asked for once, and ends no polling", async (t) => {
  const { api: reader, asked } = await api(t, [job("j2", 20)]);
  const unfinished = new Set(["j1"]);
  const read = poller(reader, null, unfinished);
  await read();
  await read();
  assert.deepEqual([...unfinished], []);
  assert.equal(asked.filter((path) => path === "/api/videos/j1").length, 1);
});

test("jobs that a bounded list lacks are asked for only after something has come", async (t) => {
  const { api: reader, asked, log } = await api(t, [job("j1", 10, { unlisted: true }), job("j2", 20)], { more: true });
  const read = poller(reader, null, new Set(["j1"]));
  await read();
  await read();
  assert.equal(asked.filter((path) => path === "/api/videos/j1").length, 1);
  log.id = "2-aaaaaaaa";
  await read();
  assert.equal(asked.filter((path) => path === "/api/videos/j1").length, 2);
});

test("what the server refuses is a Refusal with its status, code and sentence", async (t) => {
  const { api: reader } = await api(t, []);
  await assert.rejects(reader.job("j9"), (error) => {
    assert.ok(error instanceof Refusal);
    assert.deepEqual([error.status, error.code, error.message], [404, "not_found", "There is no such job."]);
    return true;
  });
});

test("a token that never comes is given up", async (t) => {
  const never = new Promise(() => {});
  const { api: reader } = await api(t, [], { token: () => never, timing: { ...TIMING, signIn: 20 } });
  await assert.rejects(reader.job("j1"), /no answer from token/);
});

test("a server where nobody signs in sells no tickets, and needs none", async (t) => {
  const base = await serving(t, (request, response) => json(response, { error: "Nobody signs in." }, 409));
  const reader = new Api({ base, token: () => "t", credentials: "same-origin", timing: TIMING });
  assert.equal(await reader.ticket(), null);
});

test("where only asking works, a failure is told with its kind, and a partial result with its numbers", async (t) => {
  const failure = { kind: "safety", side: "output", category: null, retryable: true, operator: false };
  const advice = "Try again.";
  const partial = { state: "COMPLETED", failure: { ...failure, advice }, requested: 4, generated: 2, num_videos: 2 };
  const { api: reader } = await api(t, [job("j1", 0, { state: "FAILED", failure: { ...failure, advice } }), job("j2", 100, partial)]);
  const { events } = await poller(reader, null, new Set(["j1", "j2"]))();
  assert.deepEqual(events.map(({ data }) => JSON.parse(JSON.stringify(data.failure))), [failure, failure]);
  assert.deepEqual([events[1].data.requested, events[1].data.generated], [4, 2]);
});
