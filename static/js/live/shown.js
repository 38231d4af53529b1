// Tells the server when events were on the screen, where a stream asks for it. Nothing of this browser's clock is told but
// how long ago something was, by the clock that no one sets: the server has a clock of its own, and is told how long a
// request there and back takes.

/** @import { Api } from "./state.js" */
/** @import { Timing } from "./timing.js" */

const MOST = 20; // events in a report: the newest
const OLDEST = 60_000; // ms ago: of a tab that stood still
const PATH = "/api/shown";

/** One stream's. */
export class Shown {
  #api;
  #process;
  #timing;
  #opened = performance.now();
  /** The shortest so far. @type {number | null} */
  #trip = null;
  /** By the id of the event, when it was painted. @type {Map<string, number>} */
  #painted = new Map();
  /** @type {number | undefined} */
  #timer;
  #over = false;
  /** How often the page was hidden. */
  #hides = 0;
  #listening = new AbortController();

  /**
   * @param {Api} api
   * @param {string} process which sends the stream
   * @param {Pick<Timing, "tell" | "answer">} timing
   */
  constructor(api, process, timing) {
    this.#api = api;
    this.#process = process;
    this.#timing = timing;
    const { signal } = this.#listening;
    document.addEventListener("visibilitychange", () => { this.#hides += Number(document.hidden); }, { signal });
  }

  stop() {
    this.#over = true;
    this.#listening.abort();
    clearTimeout(this.#timer);
  }

  /**
   * Whoever shows this event has just been given it. What a hidden tab draws nobody sees; one that is hidden before it has
   * drawn does so when it is looked at again, which tells of its reader and not of us.
   *
   * @param {string} id
   */
  note(id) {
    if (this.#over || document.hidden) return;
    // The frame is painted after all that was asked for before it, and before the next task.
    const hides = this.#hides;
    requestAnimationFrame(() => setTimeout(() => hides === this.#hides && this.#onPainted(id)));
  }

  /** @param {string} id */
  #onPainted(id) {
    if (this.#over) return;
    this.#painted.set(id, performance.now());
    for (const [oldest] of this.#painted) if (this.#painted.size > MOST) this.#painted.delete(oldest);
    this.#tellLater();
  }

  #tellLater() {
    if (this.#painted.size > 0) this.#timer ??= setTimeout(() => this.#tell(), this.#timing.tell);
  }

  async #tell() {
    try {
      if (this.#trip === null) await this.#post([]); // it tells how long that takes
      const seen = [...this.#painted];
      this.#painted.clear();
      await this.#post(seen);
      this.#timer = undefined;
      if (!this.#over) this.#tellLater();
    } catch {
      this.stop(); // nobody misses it
    }
  }

  /** @param {[string, number][]} seen */
  async #post(seen) {
    const ticket = this.#api.hasToken ? null : await this.#api.ticket();
    const headers = { "Content-Type": "application/json", ...await this.#api.headers() };
    const began = performance.now();
    const body = JSON.stringify({
      process: this.#process,
      opened: began - this.#opened,
      trip: this.#trip ?? 0,
      seen: seen.map(([id, at]) => ({ id, age: began - at })).filter(({ age }) => age < OLDEST),
    });
    const query = ticket === null ? "" : `?${new URLSearchParams({ ticket })}`;
    const signal = AbortSignal.timeout(this.#timing.answer);
    const { base, credentials } = this.#api;
    const response = await fetch(`${base}${PATH}${query}`, { method: "POST", headers, credentials, body, signal });
    if (!response.ok) throw new Error(`HTTP ${response.status}`);
    this.#trip = Math.min(this.#trip ?? Infinity, performance.now() - began);
  }
}
