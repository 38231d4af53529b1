import assert from "node:assert/strict";
import { test } from "node:test";

import { isGone, isSettled, Refusal, refusalOf } from "../../static/js/refusal.js";

const fields = ({ message, status, code, details, retryAfter }) => ({ message, status, code, details, retryAfter });

test("an answer of the API is told with its sentence, its code and what it asks for", async () => {
  const details = [{ field: "prompt", message: "too long" }];
  const body = { error: "Not like this.", code: "invalid_request", details };
  const refusal = await refusalOf(Response.json(body, { status: 400, headers: { "Retry-After": "7" } }));
  assert.ok(refusal instanceof Error);
  assert.deepEqual(fields(refusal), {
    message: "Not like this.", status: 400, code: "invalid_request", details, retryAfter: 7,
  });
});

for (const body of ["null", "[1]", "7", "<html>", "", '{"error": {"message": "x"}, "details": "y"}']) {
  test(`a proxy that says ${body || "nothing"} is told by its status`, async () => {
    const refusal = await refusalOf(new Response(body, { status: 502 }));
    assert.deepEqual(fields(refusal), { message: "HTTP 502", status: 502, code: null, details: [], retryAfter: null });
  });
}

test("who asks may bring a sentence for answers that have none", async () => {
  const refusal = await refusalOf(new Response("", { status: 502 }), "The server is away.");
  assert.equal(refusal.message, "The server is away.");
});

test("a date in Retry-After is no number of seconds", async () => {
  const headers = { "Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT" };
  assert.equal((await refusalOf(new Response("", { status: 503, headers }))).retryAfter, null);
});

test("only a 404 of the server says that something is gone", () => {
  assert.equal(isGone(new Refusal("Gone", { status: 404 })), true);
  assert.equal(isGone(new Refusal("Busy", { status: 503 })), false);
  assert.equal(isGone({ status: 404 }), false);
});

test("only an answer of the API that decides lets the next press be a new request", () => {
  const refused = (status, code) => isSettled(new Refusal("No.", { status, code }));
  for (const status of [400, 403, 404, 422, 502]) assert.equal(refused(status, "no"), true, String(status));
  for (const status of [0, 409, 429, 500, 503, 504]) assert.equal(refused(status, "no"), false, String(status));
  assert.equal(refused(409, "deleted"), true); // what that key made is gone, and comes back by no repetition
  assert.equal(refused(502, null), false); // a proxy's
});
