// The requests of the page. Every failure is a Refusal, whether the server said no or could not be reached.

/** @import { Item } from "./jobs.js" */

import { lang, t } from "./i18n.js";
import { Refusal, refusalOf } from "./refusal.js";
import { wordsOf } from "./texts.js";

/** Jobs of a page of the gallery, and the most there may be. */
export const PAGE = 12;
export const PAGE_MAX = 100;

const AGAIN = 1_000; // ms
const PASSING = [0, 502, 503, 504];

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
 * @property {number} [searched] how many of the newest jobs were looked through
 */

/**
 * What is looked for: jobs in that state whose prompts say `q`.
 *
 * @typedef {{ q: string, state: string }} Query
 */

/**
 * What is asked of the generator.
 *
 * @typedef {object} Order
 * @property {string} prompt
 * @property {string} aspect_ratio
 * @property {number} duration_seconds
 * @property {number} number_of_videos
 * @property {string} person_generation
 * @property {string} [input_image_base64]
 */

/**
 * @typedef {object} Started
 * @property {string} job_id
 * @property {string} status
 * @property {string | null} message
 * @property {string} created_at
 */

/**
 * What only reads is tried once more: most of what fails has passed a moment later.
 *
 * @param {string} path
 * @param {RequestInit} [options]
 * @param {number} [timeout]
 * @param {(response: Response) => Promise<any>} [read] what it brings
 */
async function request(path, options = {}, timeout = TIMEOUT, read = asJson) {
  try {
    return await once(path, options, timeout, read);
  } catch (error) {
    if (options.method !== undefined || !navigator.onLine || !isPassing(error)) throw error;
    await new Promise((resolve) => setTimeout(resolve, AGAIN));
    return once(path, options, timeout, read);
  }
}

/**
 * @param {Response} response
 * @returns {Promise<any>}
 */
const asJson = (response) => response.json();

/** @param {unknown} error */
const isPassing = (error) =>
  error instanceof Refusal && PASSING.includes(error.status) && (error.retryAfter ?? 0) * 1_000 <= AGAIN;

/**
 * @param {string} path
 * @param {RequestInit} options
 * @param {number} timeout
 * @param {(response: Response) => Promise<any>} read
 */
async function once(path, options, timeout, read) {
  let response;
  try {
    // Advice comes in the page's language, whatever the browser prefers.
    const headers = { "Accept-Language": lang, .../** @type {Record<string, string>} */ (options.headers) };
    response = await fetch(path, { ...options, headers, signal: AbortSignal.timeout(timeout) });
    if (response.ok) return await read(response);
  } catch {
    throw new Refusal(t("problem.network"));
  }
  const refusal = await refusalOf(response, t("problem.http", { status: response.status }));
  refusal.message = wordsOf(lang, refusal);
  throw refusal;
}

/**
 * @param {object} [which]
 * @param {string | null} [which.cursor] of the page before; null for the first
 * @param {Query | null} [which.query] null for all videos
 * @param {number} [which.limit] 100 at most
 * @returns {Promise<Page>}
 */
export function getGallery({ cursor = null, query = null, limit = PAGE } = {}) {
  const asked = new URLSearchParams({ limit: String(limit) });
  if (cursor !== null) asked.set("cursor", cursor);
  if (query?.q) asked.set("q", query.q);
  if (query) asked.set("state", query.state);
  return request(`/api/videos/user?${asked}`);
}

/**
 * @param {string} id
 * @returns {Promise<Item>}
 */
export const getJob = (id) => request(`/api/videos/${encodeURIComponent(id)}`);

/**
 * The image that a job was ordered with.
 *
 * @param {string} id
 * @returns {Promise<Blob>}
 */
export const getImage = (id) =>
  request(`/api/videos/${encodeURIComponent(id)}/image`, {}, GENERATE_TIMEOUT, (response) => response.blob());

/**
 * One event of a job, in short.
 *
 * @typedef {object} Step
 * @property {string} id
 * @property {string} event
 * @property {string} state
 * @property {string | null} message
 * @property {string | null} occurred_at
 */

/**
 * A job as its page reads it: `may_act` where the caller may do more than look.
 *
 * @typedef {Item & { events: Step[], last_event_id: string, channel: string, own: boolean, may_act: boolean }} JobAsSeen
 */

/**
 * One job with all that its page shows, and all of its files, of which an answer has some.
 *
 * @param {string} id
 * @returns {Promise<JobAsSeen>}
 */
export async function getJobAsSeen(id) {
  const job = /** @type {JobAsSeen} */ (await getJob(id));
  const { videos = [], num_videos: count = 0 } = job;
  for (let read = videos; read.length > 0 && videos.length < count; videos.push(...read)) {
    const after = new URLSearchParams({ files_after: videos[videos.length - 1].id });
    read = (await request(`/api/videos/${encodeURIComponent(id)}?${after}`)).videos;
  }
  return job;
}

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

// Web Push; each throws a Refusal.

/** @returns {Promise<{ public_key: string | null }>} null where the server does not push */
export const getPushKey = () => request("/api/push/key");

/** @param {PushSubscriptionJSON} subscription */
export const subscribeToPush = (subscription) =>
  request("/api/push/subscriptions", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(subscription),
  });

/** @param {string} id */
export const unsubscribeFromPush = (id) => request(`/api/push/subscriptions/${id}`, { method: "DELETE" });

/** A random UUID, also where the page is served over plain HTTP and crypto.randomUUID does not exist. */
export function newKey() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const hex = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
