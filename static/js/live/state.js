// The present state of jobs, read by GET, as events: what a subscription begins with, and what polling gives.

/** @import { Item, State } from "../jobs.js" */
/** @import { Timing } from "./timing.js" */

import { isGone, refusalOf } from "../refusal.js";

/**
 * One change of one job, as docs/protocol.md has it.
 *
 * @typedef {object} LiveEvent
 * @property {string} id
 * @property {"progress" | "completed" | "failed" | "dismissed" | "deleted" | "restored"} event
 * @property {{ job_id: string, status?: string, occurred_at: string | null, num_videos?: number } & Partial<State>} data
 */

/**
 * What a function of the page's own gives: a token, a ticket.
 *
 * @typedef {() => string | Promise<string>} Ask
 */

/** @typedef {{ id: string, events: LiveEvent[] }} Batch everything up to `id` */
/** @typedef {Batch & { channel: string, own: boolean, more?: boolean }} Read `more`: there are others beside these */

/** @type {Record<string, "completed" | "failed">} */
const NAMES = { COMPLETED: "completed", FAILED: "failed" };

/** What reads and streams have in common: where the server is, and how the caller signs in. */
export class Api {
  #token;
  #ticket;
  #timing;

  /**
   * Without `token` and `ticket`, the browser's cookie signs in.
   *
   * @param {object} how
   * @param {string} how.base
   * @param {Ask} [how.token]
   * @param {Ask} [how.ticket]
   * @param {RequestCredentials} how.credentials
   * @param {Pick<Timing, "answer" | "signIn">} how.timing
   */
  constructor({ base, token, ticket, credentials, timing }) {
    this.base = base;
    this.credentials = credentials;
    this.#token = token;
    this.#ticket = ticket;
    this.#timing = timing;
  }

  /**
   * @param {AbortSignal} [signal]
   * @returns {Promise<Record<string, string>>}
   */
  async headers(signal) {
    if (!this.#token) return {};
    return { Authorization: `Bearer ${await settled(this.#token, this.#timing.signIn, signal)}` };
  }

  /** @param {string} path */
  async get(path) {
    const headers = await this.headers();
    const signal = AbortSignal.timeout(this.#timing.answer);
    /** @type {RequestInit} */
    const options = { headers, credentials: this.credentials, cache: "no-store", signal };
    const response = await fetch(this.base + path, options);
    if (!response.ok) throw await refusalOf(response);
    return response.json();
  }

  /**
   * What goes into the query of a stream that cannot send a token; a new one for each connection.
   *
   * @param {AbortSignal} [given]
   * @returns {Promise<string | null>}
   */
  async ticket(given) {
    if (this.#ticket) return settled(this.#ticket, this.#timing.signIn, given);
    if (!this.#token) return null;
    const headers = await this.headers(given);
    const signal = AbortSignal.timeout(this.#timing.answer);
    const options = { method: "POST", headers, credentials: this.credentials, signal };
    const response = await fetch(`${this.base}/api/stream-tickets`, options);
    if (response.ok) return (await response.json()).ticket;
    if (response.status === 409) return null; // nobody signs in there
    throw await refusalOf(response);
  }

  get hasToken() {
    return Boolean(this.#token);
  }

  /**
   * One job.
   *
   * @param {string} jobId
   * @returns {Promise<Read>}
   */
  async job(jobId) {
    const job = await this.get(`/api/videos/${encodeURIComponent(jobId)}`);
    const id = job.last_event_id;
    return { id, events: [eventOf(job, id)], channel: job.channel, own: job.own };
  }

  /**
   * The caller's unfinished jobs.
   *
   * @returns {Promise<Read>}
   */
  async unfinished() {
    const page = await this.get("/api/videos/user?limit=1");
    const id = page.last_event_id;
    const events = page.active.map((/** @type {Item} */ job) => eventOf(job, id));
    return { id, events, channel: page.channel, own: true, more: page.active_more === true };
  }
}

/**
 * What the page's own function gives; an error if that takes longer than `milliseconds`, or until `signal` says so.
 *
 * @param {Ask} ask
 * @param {number} milliseconds
 * @param {AbortSignal} [signal]
 * @returns {Promise<string>}
 */
function settled(ask, milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error("no answer from token() or ticket()")), milliseconds);
    signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
    Promise.resolve().then(ask).then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

/**
 * @param {Item} job
 * @param {string} id
 * @returns {LiveEvent}
 */
function eventOf(job, id) {
  const { status, state, progress, message, error, eta_seconds, eta_p90_seconds, videos, num_videos } = job;
  const { requested, generated } = job;
  const failure = job.failure ? { ...job.failure, advice: undefined } : null; // as in a stream
  const data = { job_id: job.id, status, state, progress, message, occurred_at: null, error, eta_seconds, eta_p90_seconds,
    failure, videos };
  const counted = state === "COMPLETED" ? { num_videos, ...(failure && { requested, generated }) } : {};
  return { id, event: NAMES[state ?? ""] ?? "progress", data: { ...data, ...counted } };
}

/**
 * A function that reads what has changed since its last call: { id, events }. The list has no jobs that have ended, and
 * of many that go on only the newest. So those of `unfinished`, a set of ids, are asked for one by one where they are not
 * in it; of a bounded list, which may lack many, only if anything has come since the last call. It is the caller who takes
 * ids out, when he has made use of the events.
 *
 * @param {Api} api
 * @param {string | null} jobId
 * @param {Set<string>} unfinished
 * @returns {(signal?: AbortSignal) => Promise<Batch>}
 */
export function poller(api, jobId, unfinished) {
  /** @type {Map<string, string>} */
  const known = new Map();
  /** @type {string | null} */
  let complete = null; // the id up to which everything was read
  return async (signal) => {
    const read = await (jobId === null ? api.unfinished() : api.job(jobId));
    const events = [...read.events];
    const listed = new Set(events.map((event) => event.data.job_id));
    const missing = read.more && read.id === complete ? [] : [...unfinished].filter((id) => !listed.has(id));
    for (const id of missing) {
      signal?.throwIfAborted();
      const last = await lastOf(api, id);
      events.push(...last.map((event) => ({ ...event, id: read.id })));
      if (last.length === 0) unfinished.delete(id);
    }
    complete = read.id;
    const changed = events.filter((event) => known.get(event.data.job_id) !== JSON.stringify(event.data));
    for (const event of changed) known.set(event.data.job_id, JSON.stringify(event.data));
    return { id: read.id, events: changed };
  };
}

/**
 * Where a job is that is not listed. One that was deleted has nothing to tell, and must not end the polling.
 *
 * @param {Api} api
 * @param {string} jobId
 * @returns {Promise<LiveEvent[]>}
 */
async function lastOf(api, jobId) {
  try {
    return (await api.job(jobId)).events;
  } catch (error) {
    if (isGone(error)) return [];
    throw error;
  }
}
