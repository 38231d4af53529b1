// The live stream: one connection to /events that continues from a place in the log, and stays open.
//
//   const live = new Live();
//   live.addEventListener("rushes:event", ({ detail }) => …);       // { id: 1042, event: "progress", data: {…} }
//   live.addEventListener("rushes:reset", () => …);                 // the log cannot be continued: read the state, start again
//   live.addEventListener("rushes:connection", ({ detail }) => …);  // { state: "connecting" | "live" | "offline", error, retryIn }
//   live.start(lastEventId);
//   live.stop();
//
// Promises to its listeners: events come in the order of their ids, none twice, none missing after `lastEventId`;
// after "rushes:reset" nothing comes until start() is called again. `error` is an ApiError when the server refused
// (401, 429, 5xx), `retryIn` the milliseconds until the next try.

import { errorOf } from "./api.js";

const EVENTS = ["progress", "completed", "failed"];
const FIRST_DELAY = 1_000;
const LONGEST_DELAY = 30_000;

export class Live extends EventTarget {
  #path;
  #source = null;
  #timer = null;
  #failures = 0;
  #state = "offline";
  #lastEventId = 0;
  #wake = (event) => this.#onWake(event);

  constructor(path = "/events") {
    super();
    this.#path = path;
  }

  get lastEventId() {
    return this.#lastEventId;
  }

  /** Opens the stream after the event `lastEventId`, closing the one before if any. */
  start(lastEventId) {
    this.stop();
    this.#lastEventId = Number(lastEventId);
    this.#failures = 0;
    window.addEventListener("online", this.#wake);
    window.addEventListener("pageshow", this.#wake);
    this.#open();
  }

  stop() {
    this.#close();
    window.removeEventListener("online", this.#wake);
    window.removeEventListener("pageshow", this.#wake);
  }

  #open() {
    this.#close();
    this.#show("connecting");
    const source = new EventSource(this.#address());
    this.#source = source;
    source.addEventListener("open", () => this.#onOpen());
    source.addEventListener("error", () => this.#onError(source));
    source.addEventListener("reset", () => this.#onReset());
    for (const name of EVENTS) source.addEventListener(name, (message) => this.#onEvent(name, message));
  }

  #close() {
    clearTimeout(this.#timer);
    this.#timer = null;
    this.#source?.close();
    this.#source = null;
  }

  #address() {
    return `${this.#path}?last_event_id=${this.#lastEventId}`;
  }

  #onOpen() {
    this.#failures = 0;
    this.#show("live");
  }

  #onEvent(name, message) {
    const id = Number(message.lastEventId);
    if (!(id > this.#lastEventId)) return; // seen before, or without a place in the log
    this.#lastEventId = id;
    this.#tell("rushes:event", { id, event: name, data: JSON.parse(message.data) });
  }

  // The server would go on with a snapshot of the present, but numbered only at its end. Starting over from a fresh
  // gallery page gives the same and leaves no question about what is newer than what.
  #onReset() {
    this.stop();
    this.#show("connecting");
    this.#tell("rushes:reset", null);
  }

  // While readyState is CONNECTING the browser tries again by itself, with its Last-Event-ID. CLOSED means that the
  // server answered with something else than a stream, which a browser takes for final: from then on we try.
  #onError(source) {
    if (source !== this.#source) return;
    if (source.readyState === EventSource.CLOSED) this.#onRefused(source);
    else this.#show(this.#state === "live" ? "connecting" : "offline");
  }

  async #onRefused(source) {
    const error = await this.#refusal();
    if (source !== this.#source) return; // stopped or restarted meanwhile
    this.#failures += 1;
    const delay = Math.min(LONGEST_DELAY, FIRST_DELAY * 2 ** (this.#failures - 1)) * (0.75 + Math.random() / 2);
    const retryIn = Math.max(delay, (error?.retryAfter ?? 0) * 1000);
    this.#timer = setTimeout(() => this.#open(), retryIn);
    this.#show("offline", { error, retryIn });
  }

  /** Why the server refused, which EventSource does not tell; null if it no longer does or cannot be reached. */
  async #refusal() {
    const probe = new AbortController();
    try {
      const response = await fetch(this.#address(), {
        headers: { Accept: "text/event-stream" },
        signal: probe.signal,
      });
      return response.ok ? null : await errorOf(response);
    } catch {
      return null;
    } finally {
      probe.abort(); // it may have answered with an endless stream this time
    }
  }

  #onWake(event) {
    const asleep = event.type === "pageshow" ? event.persisted : this.#timer !== null;
    if (asleep) this.#open();
  }

  #show(state, { error = null, retryIn = null } = {}) {
    if (state === this.#state && error === null && state !== "offline") return;
    this.#state = state;
    this.#tell("rushes:connection", { state, error, retryIn });
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
