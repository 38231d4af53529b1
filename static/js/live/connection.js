// One stream that stays: it reconnects with its last id, waits longer after each failure, and takes another way when
// something on the first one keeps events back.

/** @import { Api, Batch } from "./state.js" */
/** @import { Timing } from "./timing.js" */
/** @import { Frame, Hears } from "./transports.js" */

import { Refusal } from "../refusal.js";
import { Backoff, isFinal } from "./backoff.js";
import { contradict, isNewer, NONE } from "./ids.js";
import { Shown } from "./shown.js";
import { poller } from "./state.js";
import { Silent, sse, websocket } from "./transports.js";

/**
 * How it goes, as docs/protocol.md has it.
 *
 * @typedef {object} LiveState
 * @property {"connecting" | "live" | "offline" | "over"} state
 * @property {"sse" | "websocket" | "polling" | null} via
 * @property {Pick<Refusal, "status" | "code" | "message"> | null} error
 * @property {number | null} retryIn in ms
 */

/**
 * Who hears what comes.
 *
 * @typedef {object} Listener
 * @property {(batch: Batch) => void} take
 * @property {() => void} reset the log cannot be continued, and nothing more comes
 * @property {(state: LiveState) => void} state
 */

const WAKE_SPACING = 1_000; // all tabs hear of a change of the network in the same moment

/** One stream, from `start` to `stop`. */
export class Connection {
  #api;
  #jobId;
  #unfinished;
  #to;
  #timing;
  #lastEventId = NONE;
  #stop = new AbortController();
  #attempt = new AbortController();
  #waiting = false;
  #wokenAt = -Infinity;
  #heardAt = 0;
  /** Where the stream asks for it. @type {Shown | null} */
  #shown = null;
  /** @type {number | undefined} */
  #quiet;
  /** @type {"sse" | "websocket" | "polling"} */
  #via = "sse";
  #detourSince = 0;
  #retry = 3_000;
  #backoff = new Backoff();
  /** @type {LiveState["state"] | null} */
  #state = null;
  /** @type {LiveState["via"]} */
  #shownVia = null;

  /**
   * @param {Api} api
   * @param {string | null} jobId null for all jobs of the caller
   * @param {Set<string>} unfinished the ids of jobs whose end has not been told; the caller keeps it
   * @param {Listener} to
   * @param {Timing} timing
   */
  constructor(api, jobId, unfinished, to, timing) {
    this.#api = api;
    this.#jobId = jobId;
    this.#unfinished = unfinished;
    this.#to = to;
    this.#timing = timing;
  }

  /** @param {string} lastEventId */
  start(lastEventId) {
    this.stop();
    this.#lastEventId = lastEventId;
    this.#stop = new AbortController();
    this.#run(this.#stop.signal);
  }

  stop() {
    this.#stop.abort();
    this.#attempt.abort();
    clearTimeout(this.#quiet);
    this.#tellNoMore();
  }

  #tellNoMore() {
    this.#shown?.stop();
    this.#shown = null;
  }

  /**
   * Something has changed, here or in another tab: tries now instead of later. A network that went or came back may
   * have left a connection behind that looks open; who only looks at the page gets no new one while it works.
   *
   * @param {boolean} networkChanged
   */
  wake(networkChanged) {
    const now = Date.now();
    // Timers stand still while a machine sleeps, so none has told of this silence.
    const silent = this.#state === "live" && now - this.#heardAt > this.#timing.silence;
    if (!networkChanged && !this.#waiting && !silent) return;
    if (now - this.#wokenAt < WAKE_SPACING) return;
    this.#wokenAt = now;
    // What was heard over the network that has changed says nothing of this one.
    if (networkChanged) this.#show(navigator.onLine ? "connecting" : "offline");
    this.#attempt.abort(new Error("woken"));
  }

  /** @param {AbortSignal} signal */
  async #run(signal) {
    this.#show("connecting");
    while (!signal.aborted) {
      this.#attempt = new AbortController();
      let wait;
      try {
        const how = await this.#connect(this.#attempt.signal);
        if (how === "over") return this.#show("over");
        if (how === "again") continue;
        wait = this.#retry * (0.2 + Math.random() * 0.8);
        this.#show("connecting");
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof Silent && this.#goAround()) continue;
        if (this.#attempt.signal.aborted) continue;
        wait = this.#onFailure(error);
        if (wait === null) return;
      }
      this.#waiting = true;
      await pause(wait, this.#attempt.signal);
      this.#waiting = false;
    }
  }

  /**
   * Milliseconds until the next try; null if there is none.
   *
   * @param {unknown} error
   */
  #onFailure(error) {
    if (this.#via === "polling") this.#via = "sse";
    const refusal = error instanceof Refusal ? error : null;
    const retryIn = isFinal(error, this.#jobId) ? null : this.#backoff.after(error);
    const lost = this.#state === "live" && refusal === null;
    this.#show(lost ? "connecting" : "offline", { error: refusal, retryIn });
    return retryIn;
  }

  /** Whether there is another way; the one by polling is the last. */
  #goAround() {
    if (this.#via === "polling") return false;
    this.#via = this.#via === "sse" ? "websocket" : "polling";
    this.#detourSince = Date.now();
    return true;
  }

  /** @param {AbortSignal} signal */
  async #connect(signal) {
    this.#tellNoMore();
    if (this.#via === "polling") return this.#poll(signal);
    if (this.#via === "websocket" && Date.now() - this.#detourSince > this.#timing.detour) this.#via = "sse";
    const overSse = this.#via === "sse";
    const headers = overSse ? await this.#api.headers(signal) : {};
    // A token goes into a header where that is possible.
    const ticket = overSse && this.#api.hasToken ? null : await this.#api.ticket(signal);
    signal.throwIfAborted();
    const path = `${overSse ? "/events" : "/ws"}${this.#jobId === null ? "" : `/${encodeURIComponent(this.#jobId)}`}`;
    const address = new URL(this.#api.base + path, document.baseURI);
    address.searchParams.set("last_event_id", this.#lastEventId);
    if (ticket !== null) address.searchParams.set("ticket", ticket);
    if (!overSse) address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
    /** @type {Hears} */
    const hears = {
      signal,
      headers,
      credentials: this.#api.credentials,
      timing: this.#timing,
      opened: () => this.#opened(),
      heard: () => this.#heard(),
      asked: (process) => { this.#shown = new Shown(this.#api, process, this.#timing); },
      take: (frame) => this.#take(frame),
      retry: (milliseconds) => (this.#retry = milliseconds),
    };
    return overSse ? sse(address, hears) : websocket(address, hears);
  }

  #opened() {
    this.#backoff.succeeded();
    this.#heard();
    this.#show("live");
  }

  #heard() {
    this.#heardAt = Date.now();
    clearTimeout(this.#quiet);
    this.#quiet = setTimeout(() => this.#onQuiet(), this.#timing.silence);
  }

  // Whatever the way, and wherever it hangs. Of SSE the heartbeats are seen, so one that is silent is dead.
  #onQuiet() {
    if (this.#state !== "live") return;
    this.#show("connecting");
    if (this.#via === "sse") this.#attempt.abort(new Error("the server is silent"));
  }

  /**
   * The state that follows a reset is read by GET instead: it comes with its place in the log.
   *
   * @param {Frame} frame
   */
  #take({ id, event, data }) {
    if (event === "reset") {
      this.stop();
      this.#to.reset();
    } else if (id !== null && isNewer(id, this.#lastEventId) && !this.#stop.signal.aborted) {
      this.#lastEventId = id;
      this.#to.take({ id, events: event === null ? [] : [{ id, event, data }] });
      if (event !== null) this.#shown?.note(id);
    }
  }

  /**
   * @param {AbortSignal} signal
   * @returns {Promise<"again">}
   */
  async #poll(signal) {
    const read = poller(this.#api, this.#jobId, this.#unfinished);
    for (const until = Date.now() + this.#timing.pollFor; Date.now() < until; ) {
      const batch = await read(signal);
      if (signal.aborted) throw signal.reason;
      this.#opened();
      if (contradict(batch.id, this.#lastEventId)) {
        this.stop();
        this.#to.reset();
        throw signal.reason;
      }
      if (isNewer(batch.id, this.#lastEventId)) {
        this.#lastEventId = batch.id;
        this.#to.take(batch);
      }
      await pause(document.hidden ? this.#timing.pollHidden : this.#timing.poll, signal);
      if (signal.aborted) throw signal.reason;
    }
    this.#via = "sse"; // while the better ways are tried, what was polled still holds: the state stays live
    return "again";
  }

  /**
   * @param {LiveState["state"]} state
   * @param {Partial<Pick<LiveState, "error" | "retryIn">>} [why]
   */
  #show(state, { error = null, retryIn = null } = {}) {
    const via = state === "live" ? this.#via : null;
    if (state === this.#state && via === this.#shownVia && state !== "offline") return;
    this.#state = state;
    this.#shownVia = via;
    this.#to.state({ state, via, error, retryIn });
  }
}

/**
 * Resolves after so many milliseconds, or at once when `signal` says so.
 *
 * @param {number} milliseconds
 * @param {AbortSignal} signal
 * @returns {Promise<void>}
 */
function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
  });
}
