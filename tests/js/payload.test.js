import assert from "node:assert/strict";
import { test } from "node:test";

import { payloadOf, stepOf } from "../../static/js/admin/payload.js";

const answer = (payload, encoding = "json") => `{"payload": ${payload}, "payload_encoding": "${encoding}", "n": 1.0}`;

test("a payload is shown with the numbers that were sent", () => {
  const text = payloadOf(answer('{"big": 12345678901234567890, "one": 1.0, "list": [1, "a"]}'));
  const exact = typeof JSON.rawJSON === "function"; // else the browser cannot tell
  assert.ok(text.includes(exact ? '"big": 12345678901234567890' : '"big": 12345678901234567000'), text);
  assert.ok(text.includes('"list": [\n'));
});

test("what is no JSON, or nested beyond any line, is shown as it came", () => {
  assert.equal(payloadOf(answer('"<b>no json"', "text")), "<b>no json");
  const deep = "[".repeat(200_000) + "]".repeat(200_000);
  assert.ok(payloadOf(answer(deep)).includes("[[[["));
});

test("a webhook is found in its job's timeline by its status and its time", () => {
  const step = (status, at, progress) => ({ status, occurred_at: at, progress });
  const steps = [step("generating", "2025-10-23T14:02:00.123Z", 50), step("downloading", "2025-10-23T14:03:00.000Z", 75)];
  const webhook = { outcome: "applied", status: "downloading", received_at: "2025-10-23T14:09:00.000Z" };
  assert.equal(stepOf(webhook, { timestamp: "2025-10-23 14:03:00" }, steps), 1);
  assert.equal(stepOf({ ...webhook, status: "generating" }, { timestamp: "2025-10-23T16:02:00.123456+02:00" }, steps), 0);
  assert.equal(stepOf({ ...webhook, received_at: "2025-10-23T14:03:00.000Z" }, { timestamp: [] }, steps), 1);
  assert.equal(stepOf({ ...webhook, outcome: "stale" }, { timestamp: "2025-10-23T14:03:00Z" }, steps), -1);
  assert.equal(stepOf(webhook, null, steps), -1);
});
