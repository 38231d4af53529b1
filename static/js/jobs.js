// What the page knows about a job, and what may change it. Pure: no DOM, no requests.
//
// State (state, progress, message, error, eta, videos) comes from events, in the order of their ids, on top of the
// gallery page that the stream continues from. Details (prompt, model, times) come from GET /api/videos/{id}. Since a
// fetched job never touches state, a slow answer cannot take back what a newer event has shown.

/** @import { LiveEvent } from "./live/state.js" */

import { isNewer, NONE } from "./live/ids.js";

/**
 * @typedef {object} File
 * @property {string} id
 * @property {string} filename
 * @property {string | null} file_url
 * @property {number} file_size in bytes
 * @property {number} duration_seconds
 * @property {string} aspect_ratio
 * @property {{ width: number, height: number }} dimensions
 */

/**
 * What a job has that only GET tells.
 *
 * @typedef {object} Details
 * @property {string | null} prompt
 * @property {string | null} aspect_ratio
 * @property {string | null} created_at
 * @property {string} [completed_at]
 * @property {string} [model]
 * @property {string} [model_version]
 * @property {number} [processing_time] in seconds, as the next two
 * @property {number} [generation_time]
 * @property {number} [download_time]
 */

/**
 * @typedef {object} State
 * @property {string} state PENDING, PROCESSING, GENERATING, DOWNLOADING, COMPLETED or FAILED
 * @property {number} progress 0 to 100
 * @property {string} message
 * @property {string | null} error
 * @property {number | null} eta_seconds both estimates are 0 where it takes longer than nearly all did
 * @property {number | null} eta_p90_seconds
 * @property {File[]} videos
 */

/**
 * `eventId` is that of the newest event that it shows, `heardAt` when its state was heard, in milliseconds, and `shown` the
 * percent that was shown of it last.
 *
 * @typedef {Details & State & { id: string, eventId: string, heardAt: number, shown: number | null }} Job
 */
/**
 * A job as the API answers it.
 *
 * @typedef {{ id: string, status?: string, num_videos?: number } & Partial<Details & State>} Item
 */

const UNFINISHED = ["PENDING", "PROCESSING", "GENERATING", "DOWNLOADING"];

const DETAILS = /** @type {const} */ (["prompt", "aspect_ratio", "model", "model_version", "processing_time",
  "generation_time", "download_time", "created_at", "completed_at"]);
/** @type {Record<string, string>} */
const EVENT_STATE = { completed: "COMPLETED", failed: "FAILED" };

/** @param {Job} job */
export const isUnfinished = (job) => UNFINISHED.includes(job.state);

/**
 * @param {string} id
 * @returns {Job}
 */
export function newJob(id) {
  return { id, prompt: null, aspect_ratio: null, created_at: null, state: "PENDING", progress: 0, message: "",
    error: null, eta_seconds: null, eta_p90_seconds: null, videos: [], eventId: NONE, heardAt: Date.now(), shown: null };
}

/**
 * Takes all of an API item, state included. Only for answers that no event can have overtaken.
 *
 * @param {Job} job
 * @param {Item} item
 */
export function applyItem(job, item) {
  applyDetails(job, item);
  job.state = item.state ?? (item.status ?? job.state).toUpperCase();
  job.progress = item.progress ?? (job.state === "COMPLETED" ? 100 : 0);
  job.message = item.message ?? "";
  job.error = item.error ?? null;
  job.videos = item.videos ?? [];
  job.eventId = NONE; // after a reset the log may count from lower ids again
  hear(job, item);
  return job;
}

/**
 * Takes the estimates, which count from now on. Of what has ended nothing is shown any more: a new try begins below.
 *
 * @param {Job} job
 * @param {Partial<Pick<State, "eta_seconds" | "eta_p90_seconds">>} told
 */
function hear(job, { eta_seconds: eta = null, eta_p90_seconds: p90 = null }) {
  Object.assign(job, { eta_seconds: eta, eta_p90_seconds: p90, heardAt: Date.now() });
  if (!isUnfinished(job)) job.shown = null;
}

/**
 * Takes what events do not carry, and never what they do.
 *
 * @param {Job} job
 * @param {Partial<Details>} item
 */
export function applyDetails(job, item) {
  for (const name of DETAILS) if (item[name] != null) Object.assign(job, { [name]: item[name] });
  return job;
}

/**
 * Applies one event; false if the job already shows something newer. Progress after a failure is a new try.
 *
 * @param {Job} job
 * @param {LiveEvent} event
 */
export function applyEvent(job, { id, event, data }) {
  if (!isNewer(id, job.eventId)) return false;
  job.eventId = id;
  job.state = data.state ?? EVENT_STATE[event] ?? "PROCESSING";
  job.progress = data.progress ?? job.progress;
  job.message = data.message ?? "";
  job.error = data.error ?? null;
  hear(job, data);
  job.created_at ??= data.occurred_at ?? null;
  if (data.videos?.length) job.videos = data.videos;
  return true;
}
