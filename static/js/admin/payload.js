// What a sender sent, as text to look at, and what it did to its job: pure.

/** @import { Webhook } from "./api.js" */

/** @typedef {{ id: string, event: string, status: string, state: string, progress: number, message: string | null,
 *   occurred_at: string }} Step of a job's timeline */

/**
 * The payload in the text of an answer, as lines. Numbers are as they were sent where the browser can tell; what is
 * nested too deep to be set in lines is the whole answer as it came.
 *
 * @param {string} answer JSON, with `payload` and `payload_encoding`
 */
export function payloadOf(answer) {
  const { payload, payload_encoding: encoding } = JSON.parse(answer);
  if (encoding !== "json") return String(payload ?? "");
  try {
    return JSON.stringify(JSON.parse(answer, exactly).payload, null, 2);
  } catch {
    return answer;
  }
}

/**
 * @param {string} _key
 * @param {unknown} value
 * @param {{ source?: string }} [context] in newer browsers, what the value was read from
 */
function exactly(_key, value, context) {
  const raw = /** @type {{ rawJSON?: (text: string) => unknown }} */ (/** @type {unknown} */ (JSON)).rawJSON;
  const source = context?.source;
  if (typeof value !== "number" || raw === undefined || source === undefined || String(value) === source) return value;
  return raw(source);
}

/**
 * Which step of the job's timeline a webhook made, if that can be told: the one of its status and its time.
 *
 * @param {Webhook} webhook
 * @param {unknown} payload as it was sent
 * @param {Step[]} steps the oldest first
 */
export function stepOf({ outcome, status, received_at: received }, payload, steps) {
  if (outcome !== "applied" || status === null) return -1;
  const said = Object(payload).timestamp;
  const at = (typeof said === "string" ? utc(said) : NaN) || Date.parse(received);
  return steps.findIndex((step) => step.status === status && Math.abs(Date.parse(step.occurred_at) - at) <= 1);
}

/**
 * A time without an offset is in UTC, whatever the zone of whoever looks.
 *
 * @param {string} text
 */
const utc = (text) => Date.parse(/(?:Z|[+-]\d\d:?\d\d)$/i.test(text) ? text : `${text.replace(" ", "T")}Z`);
