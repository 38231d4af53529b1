// How long to wait before something is tried again, and whether at all.

import { isGone, Refusal } from "../refusal.js";

const FIRST = 1_000;
const LONGEST = 30_000;
const TIMER_MAX = 2 ** 31 - 1; // a timer of more fires at once

/**
 * Waits of about 1 s, then twice as long each time, 30 s at most: give or take a quarter, so that those who were cut
 * off together do not come back together.
 */
export class Backoff {
  #failures = 0;
  /** @type {number | null} */
  #wellSince = null;
  #calm;

  /** @param {number} calm for how many ms all must have gone well before the waits begin anew */
  constructor(calm = 0) {
    this.#calm = calm;
  }

  /**
   * Milliseconds to wait after one more failure: never less than the server asks for.
   *
   * @param {unknown} [error]
   */
  after(error) {
    if (this.#wellSince !== null && performance.now() - this.#wellSince >= this.#calm) this.#failures = 0;
    this.#wellSince = null;
    const wait = Math.min(LONGEST, FIRST * 2 ** this.#failures) * (0.75 + Math.random() / 2);
    this.#failures += 1;
    const asked = error instanceof Refusal ? (error.retryAfter ?? 0) * 1_000 : 0;
    return Math.min(TIMER_MAX, Math.max(wait, asked));
  }

  succeeded() {
    this.#wellSince ??= performance.now();
  }
}

/**
 * Whether no other try can help. A job may be gone for good; the stream and the list of all jobs (`jobId` is null) are
 * only misrouted, as during a deployment.
 *
 * @param {unknown} error
 * @param {string | null} jobId
 */
export const isFinal = (error, jobId) => jobId !== null && isGone(error);
