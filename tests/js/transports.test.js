import assert from "node:assert/strict";
import { test } from "node:test";

import { Silent, sse } from "../../static/js/live/transports.js";
import { Refusal } from "../../static/js/refusal.js";
import { json, serving } from "./server.js";

/** What comes over a stream of these pieces, each sent when the one before has been heard. */
async function hearing(t, pieces, { opening = 10_000 } = {}) {
  const heard = { frames: [], opened: 0, retry: null };
  let next = () => {};
  const base = await serving(t, async (request, response) => {
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    response.flushHeaders();
    for (const piece of pieces) {
      const arrived = new Promise((resolve) => (next = resolve));
      response.write(piece);
      await arrived;
    }
    if (pieces.length > 0) response.end();
  });
  const run = sse(new URL(base), {
    signal: new AbortController().signal,
    headers: {},
    credentials: "same-origin",
    timing: { opening },
    opened: () => (heard.opened += 1),
    heard: () => setImmediate(() => next()), // read() has taken the piece by then
    take: (frame) => heard.frames.push(frame),
    retry: (milliseconds) => (heard.retry = milliseconds),
  });
  return { heard, run };
}

test("events come whole, wherever the network cuts them", async (t) => {
  const event = 'id: 9-ffffffff\nevent: progress\ndata: {"job_id": "j1", "message": "é"}\n\n';
  const bytes = Buffer.from(`retry: 3000\n\n${event}id: 10-0000000a\n\n`);
  const pieces = Array.from({ length: Math.ceil(bytes.length / 7) }, (_, i) => bytes.subarray(7 * i, 7 * i + 7));
  const { heard, run } = await hearing(t, pieces);
  assert.equal(await run, "ended");
  assert.deepEqual(heard, {
    frames: [
      { id: "9-ffffffff", event: "progress", data: { job_id: "j1", message: "é" } },
      { id: "10-0000000a", event: null, data: null },
    ],
    opened: 1,
    retry: 3000,
  });
});

test("heartbeats are no events", async (t) => {
  const { heard, run } = await hearing(t, [": hello\n\n", ":\n\n"]);
  assert.equal(await run, "ended");
  assert.deepEqual([heard.frames, heard.opened], [[], 1]);
});

test("a stream that is put off is a refusal with the wait that it names, and was never open", async (t) => {
  const { heard, run } = await hearing(t, [": later too_many_connections\nretry: 7000\n\n"]);
  await assert.rejects(run, (error) => {
    assert.ok(error instanceof Refusal);
    assert.deepEqual([error.status, error.code, error.retryAfter], [429, "too_many_connections", 7]);
    return true;
  });
  assert.equal(heard.opened, 0);
});

test("a connection on which nothing comes is silent, so that another way is tried", async (t) => {
  const { run } = await hearing(t, [], { opening: 20 });
  await assert.rejects(run, Silent);
});

test("a stream that has nothing to tell, ever, is over", async (t) => {
  const base = await serving(t, (request, response) => response.writeHead(204).end());
  assert.equal(await sse(new URL(base), { signal: new AbortController().signal, timing: { opening: 10_000 } }), "over");
});

test("a refused stream says why", async (t) => {
  const body = { error: "Sign in.", code: "unauthorized" };
  const base = await serving(t, (request, response) => json(response, body, 401));
  const run = sse(new URL(base), { signal: new AbortController().signal, timing: { opening: 10_000 } });
  await assert.rejects(run, { status: 401, code: "unauthorized", message: "Sign in." });
});
