// Idempotency keys that outlive a page: who presses again after a reload, or in another tab, orders nothing twice.

/** @import { Job } from "./jobs.js" */

import { newKey } from "./api.js";
import { Kept } from "./kept.js";

/** @typedef {{ body: string, key: string }} Sent */

const AGAIN = "rushes.again.";
const ORDER = "rushes.order";
const KEY_MAX = 191;

const inAllTabs = new Kept(() => localStorage);
const inThisTab = new Kept(() => sessionStorage);

/**
 * The key of a new try of a failed job. The first is made of the job and of when it failed, so every tab has the same;
 * after a try that the server has decided upon it is another one, which they share.
 *
 * @param {Pick<Job, "id" | "completed_at">} job
 */
export const keyOfTry = ({ id, completed_at: failedAt = "" }) =>
  inAllTabs.get(AGAIN + id) ?? `again-${failedAt}-${encodeURIComponent(id)}`.slice(-KEY_MAX);

/**
 * One was made, and is found by the first key; or there will be none.
 *
 * @param {string} id
 */
export const forgetTries = (id) => inAllTabs.remove(AGAIN + id);

/**
 * That key's try was refused: the next one is a new one, unless another tab has begun it already.
 *
 * @param {Pick<Job, "id" | "completed_at">} job
 * @param {string} key
 */
export function tryWasRefused(job, key) {
  if (keyOfTry(job) === key) inAllTabs.set(AGAIN + job.id, newKey());
}

/**
 * The key of an order: the one that this tab has sent it with before, if no answer came.
 *
 * @param {string} body
 */
export function keyOfOrder(body) {
  const sent = lastSent();
  if (sent?.body === body) return sent.key;
  const key = newKey();
  inThisTab.set(ORDER, JSON.stringify({ body, key }));
  return key;
}

/** The server has decided upon the last order: sent again, it is a new one. */
export const orderIsSettled = () => inThisTab.remove(ORDER);

/** @returns {Sent | null} */
function lastSent() {
  try {
    return JSON.parse(inThisTab.get(ORDER) ?? "null");
  } catch {
    return null;
  }
}
