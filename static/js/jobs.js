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
 * @property {number} [duration_seconds] as it was ordered, known of jobs that this page has ordered; so the next one
 * @property {number} [number_of_videos]
 * @property {string} [person_generation] as the next one, known of jobs that were read by themselves
 * @property {boolean} [input_image] there is an image that it begins with
 */

/**
 * Why a job has failed, or has brought fewer videos than were asked for; docs/failures.md has the words. `advice` is what
 * GET alone tells.
 *
 * @typedef {object} Failure
 * @property {string} kind
 * @property {string | null} side
 * @property {string | null} category
 * @property {boolean} retryable the same order may pass
 * @property {boolean} operator only the operator can do anything
 * @property {string} [advice]
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
 * @property {Failure | null} failure
 * @property {number | null} requested where fewer videos came than were asked for, as the next one
 * @property {number | null} generated
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
  "generation_time", "download_time", "created_at", "completed_at", "duration_seconds", "number_of_videos",
  "person_generation"]);
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
    error: null, eta_seconds: null, eta_p90_seconds: null, videos: [], failure: null, requested: null, generated: null,
    eventId: NONE, heardAt: Date.now(), shown: null };
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
  applyOutcome(job, item);
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
 * @param {Job} job
 * @param {Partial<Pick<State, "failure" | "requested" | "generated">>} told
 */
function applyOutcome(job, { failure = null, requested = null, generated = null }) {
  const advice = isSame(failure, job.failure) ? job.failure?.advice : undefined; // an event has none of its own
  Object.assign(job, { failure: failure && { advice, ...failure }, requested, generated });
}

/**
 * @param {Failure | null | undefined} one
 * @param {Failure | null} other
 */
const isSame = (one, other) => one != null && other !== null
  && one.kind === other.kind && one.side === other.side && one.category === other.category;

/**
 * Takes what events do not carry, and never what they do: of a failure, the advice.
 *
 * @param {Job} job
 * @param {Partial<Details> & { failure?: Failure | null }} item
 */
export function applyDetails(job, item) {
  for (const name of DETAILS) if (item[name] != null) Object.assign(job, { [name]: item[name] });
  if (job.failure && isSame(item.failure, job.failure)) job.failure.advice = item.failure?.advice;
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
  if (isUnfinished(job)) delete job.completed_at;
  applyOutcome(job, data);
  return true;
}

/**
 * What is said of a job that brought fewer videos than were asked for; null for others.
 *
 * @param {Job} job
 * @returns {{ requested: number, generated: number, missing: number, filtered: boolean } | null}
 */
export function partialOf({ state, failure, requested, generated }) {
  if (state !== "COMPLETED" || failure === null || requested === null || generated === null) return null;
  return { requested, generated, missing: requested - generated, filtered: ["safety", "audio"].includes(failure.kind) };
}

/**
 * The settings to order such a video again, as far as they are known.
 *
 * @param {Job} job
 * @returns {Partial<import("./api.js").Order>}
 */
export function settingsOf(job) {
  const { prompt, aspect_ratio: ratio, duration_seconds: seconds, number_of_videos: number, requested, videos } = job;
  const known = {
    prompt,
    aspect_ratio: ratio,
    duration_seconds: seconds ?? videos[0]?.duration_seconds,
    number_of_videos: number ?? requested ?? (videos.length || null),
    person_generation: job.person_generation,
  };
  return Object.fromEntries(Object.entries(known).filter(([, value]) => value != null));
}
