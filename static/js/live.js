// Live updates of AI video jobs, for any front end: one ES module, no dependencies.
//
//   import { subscribe } from "/static/js/live.js";
//
//   const stop = subscribe("cm123abc456", {
//     onEvent: ({ id, event, data }) => …,   // the present state first, then every change, in order, each once
//     onState: ({ state }) => …,             // "connecting", "live", "offline", or "over"
//   });
//
// What it does for that is in docs/protocol.md: one connection for all tabs, resume, tickets, ways around proxies.

/** @import { LiveState } from "./live/connection.js" */
/** @import { Feed, Follower } from "./live/feed.js" */
/** @import { Ask, Batch, LiveEvent } from "./live/state.js" */
/** @import { Timing } from "./live/timing.js" */

import { Backoff, isFinal } from "./live/backoff.js";
import { connectionOf, feedOf } from "./live/feed.js";
import { NONE } from "./live/ids.js";
import { Api } from "./live/state.js";
import { TIMING } from "./live/timing.js";
import { Refusal } from "./refusal.js";

/** @type {Record<string, "endCompleted" | "endFailed">} */
const ENDS = { completed: "endCompleted", failed: "endFailed", dismissed: "endFailed" };

/**
 * @typedef {object} Options
 * @property {(event: LiveEvent) => void} [onEvent]
 * @property {(state: LiveState) => void} [onState]
 * @property {() => void} [onReset]
 * @property {string | number} [lastEventId]
 * @property {string | null} [channel]
 * @property {{ id: string }[]} [active]
 * @property {boolean} [own]
 * @property {string} [base]
 * @property {RequestCredentials} [credentials]
 * @property {Ask} [token]
 * @property {Ask} [ticket]
 * @property {Partial<Timing>} [timing]
 */

/**
 * Follows one job, or all jobs of the caller if `jobId` is null, until the returned function is called.
 *
 * - `onEvent({ id, event, data })`: `event` is "progress", "completed" or "failed", or what a user did: "dismissed",
 *   "deleted", "restored"; `data` as in the protocol. The state that it begins with comes as events too.
 * - `onState({ state, via, error, retryIn })`: `via` is "sse", "websocket" or "polling" while live; `error` has the
 *   `status`, `code` and `message` of a refusal; `retryIn` is in ms. A job that is not there is offline with 404 for
 *   good, and `retryIn` is null. "over": the job has ended, and nothing more will come.
 * - `lastEventId`, `channel` and `active`, all from `GET /api/videos/user`: begin there, instead of with the present
 *   state. Without `active`, the end of a job that was unfinished there may be missed where only polling works.
 *   For one job: `lastEventId`, `channel` and `own`, all from `GET /api/videos/{id}`. Without `own`, it has a stream of
 *   its own.
 * - `onReset()`: the log cannot be continued. With it, the subscription ends: read the state, subscribe again. Without
 *   it, the present state comes once more as events.
 * - `base`: where the server is, if not where the page is. `credentials`: as fetch takes it.
 * - `token()`: a bearer token for each request; `ticket()`: a stream ticket for each connection. Both may be async. One
 *   that does not settle within 10 s is asked again later.
 * - `timing`: for tests, other times than those of live/timing.js.
 *
 * @example
 *   const stop = subscribe("cm123abc456", { onEvent: ({ event, data }) => console.log(event, data.progress) });
 *
 * @param {string | null} jobId
 * @param {Options} [options]
 * @returns {() => void}
 */
export function subscribe(jobId, options = {}) {
  const subscription = new Subscription(jobId, options);
  return () => subscription.stop();
}

/** @implements {Follower} */
class Subscription {
  lastEventId = NONE;
  /** @type {string[]} */
  unfinished = [];
  #jobId;
  #options;
  #timing;
  #api;
  /** @type {Feed | null} */
  #feed = null;
  #own;
  /** @type {number | undefined} */
  #timer;
  /** @type {number | undefined} */
  #end;
  #live = false;
  #backoff = new Backoff();
  #stopped = false;

  /**
   * @param {string | null} jobId
   * @param {Options} options
   */
  constructor(jobId, options) {
    const { base = "", token, ticket, credentials = "same-origin", lastEventId } = options;
    const { channel = null, active = [], own = false } = options;
    this.#jobId = jobId;
    this.unfinished = jobId === null ? active.map(({ id }) => id) : [jobId];
    this.#options = options;
    this.#own = own;
    this.#timing = { ...TIMING, ...options.timing };
    this.#api = new Api({ base, token, ticket, credentials, timing: this.#timing });
    if (lastEventId === undefined) this.#begin();
    else this.#listen(String(lastEventId), channel);
  }

  stop() {
    this.#stopped = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#end);
    this.#feed?.remove(this);
    this.#feed = null;
  }

  // What the feed calls.

  /** @param {Pick<Batch, "events">} batch */
  take({ events }) {
    for (const event of events) {
      if (!this.#wants(event) || this.#stopped) continue;
      this.#foreseeEnd(event);
      this.#options.onEvent?.(event);
      if (event.event === "deleted" && this.#jobId !== null && this.#own && !this.#stopped) this.#finish();
    }
  }

  /** @param {LiveState} state */
  state(state) {
    this.#live = state.state === "live";
    if (!this.#stopped) this.#options.onState?.(state);
  }

  reset() {
    this.#feed = null;
    clearTimeout(this.#end);
    if (this.#stopped) return;
    this.state({ state: "connecting", via: null, error: null, retryIn: null });
    if (this.#options.onReset === undefined) return this.#later(500 + Math.random() * 1_000);
    this.#stopped = true;
    this.#options.onReset();
  }

  async #begin() {
    try {
      const read = await (this.#jobId === null ? this.#api.unfinished() : this.#api.job(this.#jobId));
      if (this.#stopped) return;
      this.#backoff.succeeded();
      this.#own = read.own;
      this.lastEventId = read.id;
      this.unfinished = read.events.filter(({ event }) => event === "progress").map(({ data }) => data.job_id);
      this.take(read);
      if (!this.#stopped) this.#listen(read.id, read.channel);
    } catch (error) {
      if (this.#stopped) return;
      this.#onFailure(error);
    }
  }

  /** @param {unknown} error */
  #onFailure(error) {
    const retryIn = isFinal(error, this.#jobId) ? null : this.#backoff.after(error);
    this.state({ state: "offline", via: null, error: error instanceof Refusal ? error : null, retryIn });
    if (retryIn !== null && !this.#stopped) this.#later(retryIn);
  }

  /** @param {number} milliseconds */
  #later(milliseconds) {
    this.#timer = setTimeout(() => this.#begin(), milliseconds);
  }

  /**
   * The caller's own jobs all come over one stream; somebody else's has a stream of its own.
   *
   * @param {string} lastEventId
   * @param {string | null} channel
   */
  #listen(lastEventId, channel) {
    this.lastEventId = lastEventId;
    const streamOf = this.#own ? null : this.#jobId;
    const key = channel && `rushes ${this.#api.base} ${channel} ${streamOf ?? ""}`;
    this.#feed = feedOf(key, connectionOf(this.#api, streamOf, this.#timing), this.#timing);
    this.#feed.add(this);
  }

  /**
   * The stream of all jobs has no end: that of one of them is told by the same rule that the server has for its stream.
   *
   * @param {LiveEvent} event
   */
  #foreseeEnd({ event }) {
    clearTimeout(this.#end);
    if (this.#jobId !== null && this.#own && event in ENDS) this.#endIn(this.#timing[ENDS[event]]);
  }

  /** @param {number} milliseconds */
  #endIn(milliseconds) {
    // While nothing is heard, something may have come.
    const end = () => (this.#live ? this.#finish() : this.#endIn(milliseconds));
    this.#end = setTimeout(end, milliseconds);
  }

  #finish() {
    this.stop();
    this.#options.onState?.({ state: "over", via: null, error: null, retryIn: null });
  }

  /** @param {LiveEvent} event */
  #wants(event) {
    return this.#jobId === null || event.data.job_id === this.#jobId;
  }
}
