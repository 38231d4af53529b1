// News of received webhooks: by the stream, and by reading the newest again and again while there is none.

/** @import { Webhook } from "./api.js" */

import { Backoff } from "../live/backoff.js";
import { Refusal } from "../refusal.js";
import { getWebhooks } from "./api.js";

const EVERY = 4_000;
const STREAM_AGAIN = 30_000;

/**
 * Who hears them.
 *
 * @typedef {object} Listener
 * @property {(webhook: Webhook) => void} hear one that is new, or has changed, or neither
 * @property {(page: { webhooks: Webhook[], next_cursor: string | null }) => void} newest the first page as it is now
 * @property {(id: string) => void} gone it is meant no more, or not there any more
 * @property {() => void} reset something may have been missed that is not told again: read the list anew
 * @property {(refusal: Refusal) => void} refused it may not be read any more
 */

export class Feed {
  #listener;
  #query = new URLSearchParams();
  /** @type {EventSource | null} */
  #source = null;
  /** @type {number | undefined} */
  #timer;
  /** @type {number | undefined} */
  #streaming;
  #reads = 0;
  #backoff = new Backoff();

  /** @param {Listener} listener */
  constructor(listener) {
    this.#listener = listener;
  }

  /**
   * Follows what a filter means, from now on.
   *
   * @param {URLSearchParams} query
   */
  start(query) {
    this.stop();
    this.#query = query;
    this.#stream();
    this.#pollIn(EVERY);
  }

  stop() {
    this.#reads += 1;
    this.#source?.close();
    this.#source = null;
    clearTimeout(this.#timer);
    clearTimeout(this.#streaming);
  }

  /** Reads the newest at once. */
  async poll() {
    clearTimeout(this.#timer);
    if (document.hidden && !this.#streams) return; // it is asked again once it is seen
    const read = this.#reads;
    let wait = EVERY;
    try {
      const page = await getWebhooks(this.#query);
      if (read !== this.#reads) return;
      this.#backoff.succeeded();
      this.#listener.newest(page);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      if (read !== this.#reads) return;
      if (error.status === 401 || error.status === 403) return this.#listener.refused(error);
      wait = Math.max(EVERY, this.#backoff.after(error));
    }
    if (read === this.#reads && !this.#streams) this.#pollIn(wait);
  }

  get #streams() {
    return this.#source?.readyState === EventSource.OPEN;
  }

  #stream() {
    const source = new EventSource(`/api/admin/events?${this.#query}`);
    this.#source = source;
    // What was committed since the list was read, or while the stream was away, may be on neither.
    source.addEventListener("open", () => this.poll());
    source.addEventListener("webhook", ({ data }) => this.#listener.hear(JSON.parse(data)));
    source.addEventListener("gone", ({ data }) => this.#listener.gone(JSON.parse(data).id));
    source.addEventListener("reset", () => this.#listener.reset());
    source.addEventListener("error", () => {
      this.#pollIn(EVERY);
      if (source.readyState === EventSource.CLOSED) this.#streaming = setTimeout(() => this.#stream(), STREAM_AGAIN);
    });
  }

  /** @param {number} milliseconds */
  #pollIn(milliseconds) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.poll(), milliseconds);
  }
}
