// The requests of the page. Every failure is a Refusal, whether the server said no or could not be reached.

/** @import { Item } from "./jobs.js" */

import { lang, t } from "./i18n.js";
import { Refusal, refusalOf } from "./refusal.js";
import { wordsOf } from "./texts.js";

const TIMEOUT = 20_000;
const GENERATE_TIMEOUT = 60_000; // the server itself waits for the generation backend

/**
 * A page of the caller's videos. Only the first has `active`, `failed` and `last_event_id`.
 *
 * @typedef {object} Page
 * @property {Item[]} generations
 * @property {string | null} next_cursor
 * @property {Item[]} active
 * @property {Item[]} failed that were not dismissed
 * @property {true} [failed_more] there are older ones
 * @property {string} last_event_id
 * @property {string} channel
 */

/**
 * What is asked of the generator.
 *
 * @typedef {object} Order
 * @property {string} prompt
 * @property {string} aspect_ratio
 * @property {number} duration_seconds
 * @property {number} number_of_videos
 */

/**
 * @typedef {object} Started
 * @property {string} job_id
 * @property {string} status
 * @property {string | null} message
 * @property {string} created_at
 */

/**
 * @param {string} path
 * @param {RequestInit} [options]
 * @param {number} [timeout]
 */
async function request(path, options = {}, timeout = TIMEOUT) {
  let response;
  try {
    // Advice comes in the page's language, whatever the browser prefers.
    const headers = { "Accept-Language": lang, .../** @type {Record<string, string>} */ (options.headers) };
    response = await fetch(path, { ...options, headers, signal: AbortSignal.timeout(timeout) });
    if (response.ok) return await response.json();
  } catch {
    throw new Refusal(t("problem.network"));
  }
  const refusal = await refusalOf(response, t("problem.http", { status: response.status }));
  refusal.message = wordsOf(lang, refusal);
  throw refusal;
}

/**
 * @param {string | null} cursor of the page before; null for the first
 * @returns {Promise<Page>}
 */
export function getGallery(cursor = null) {
  const query = new URLSearchParams({ limit: "12" });
  if (cursor !== null) query.set("cursor", cursor);
  return request(`/api/videos/user?${query}`);
}

/**
 * @param {string} id
 * @returns {Promise<Item>}
 */
export const getJob = (id) => request(`/api/videos/${encodeURIComponent(id)}`);

/**
 * Starts a generation; the same key never starts a second one.
 *
 * @param {Order} order
 * @param {string} idempotencyKey
 * @returns {Promise<Started>}
 */
export function generate(order, idempotencyKey) {
  const headers = { "Content-Type": "application/json", "Idempotency-Key": idempotencyKey };
  return request("/api/videos/generate", { method: "POST", headers, body: JSON.stringify(order) }, GENERATE_TIMEOUT);
}

/**
 * @param {string} id
 * @param {string} name of what is done, as a path; none for the job's own
 * @param {RequestInit} [options]
 * @param {number} [timeout]
 */
const act = (id, name = "", options = {}, timeout = TIMEOUT) =>
  request(`/api/videos/${encodeURIComponent(id)}${name}`, { method: "POST", ...options }, timeout);

/**
 * Where a file that lies elsewhere is saved from, under its name.
 *
 * @param {string} id
 * @param {string} fileId
 */
export const downloadUrl = (id, fileId) =>
  `/api/videos/${encodeURIComponent(id)}/files/${encodeURIComponent(fileId)}/download`;

// What a user does to a job; each throws a Refusal.

/** @param {string} id */
export const cancelJob = (id) => act(id, "/cancel");

/** @param {string} id */
export const dismissJob = (id) => act(id, "/dismiss");

/** @param {string} id */
export const deleteJob = (id) => act(id, "", { method: "DELETE" });

/** @param {string} id */
export const restoreJob = (id) => act(id, "/restore");

/**
 * Has the same video made again; the same key never starts a second one.
 *
 * @param {string} id
 * @param {string} idempotencyKey
 * @returns {Promise<Started>}
 */
export const retryJob = (id, idempotencyKey) =>
  act(id, "/retry", { headers: { "Idempotency-Key": idempotencyKey } }, GENERATE_TIMEOUT);

/** A random UUID, also where the page is served over plain HTTP and crypto.randomUUID does not exist. */
export function newKey() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const hex = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
