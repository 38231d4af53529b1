// What was looked for among the user's jobs: a list beside the gallery's own, which goes on behind it.

/** @import { Query } from "./api.js" */
/** @import { Job } from "./jobs.js" */
/** @import { LiveEvent } from "./live/state.js" */

import { getGallery } from "./api.js";
import { applyEvent, applyItem, newJob } from "./jobs.js";
import { isNewer } from "./live/ids.js";

/**
 * The jobs that a query finds. Each answer says how far the log was when it was read, so what the stream brings
 * meanwhile is neither lost nor taken back.
 */
export class Results {
  /** @type {Map<string, Job>} */
  #jobs = new Map();
  /** @type {Query | null} */
  #query = null;
  /** @type {string | null} */
  #cursor = null;
  #show;
  #remove;
  /** How many of the newest jobs were looked through; null where all were. @type {number | null} */
  searched = null;

  /**
   * @param {(job: Job) => void} show a job that is new, or has changed
   * @param {(job: Job) => void} remove
   */
  constructor(show, remove) {
    this.#show = show;
    this.#remove = remove;
  }

  get size() {
    return this.#jobs.size;
  }

  get hasMore() {
    return this.#cursor !== null;
  }

  /** Whether something is looked for. */
  get areAsked() {
    return this.#query !== null;
  }

  /** Ends the search. */
  clear() {
    this.#query = null;
    this.#cursor = null;
    this.#forget();
  }

  /**
   * Looks for something else; throws a Refusal, after which the last results stand. False if yet something else was
   * looked for meanwhile.
   *
   * @param {Query} query
   */
  async search(query) {
    const before = this.#query;
    this.#query = query;
    let page;
    try {
      page = await getGallery({ query });
    } catch (error) {
      if (this.#query === query) this.#query = before;
      throw error;
    }
    if (this.#query !== query) return false;
    this.#forget();
    this.searched = page.searched ?? null;
    this.#put(page);
    return true;
  }

  /** Reads one page more; throws a Refusal. */
  async more() {
    const query = this.#query;
    const page = await getGallery({ query, cursor: this.#cursor });
    if (this.#query === query) this.#put(page);
  }

  /** @param {LiveEvent} event */
  hear(event) {
    const job = this.#jobs.get(event.data.job_id);
    if (job === undefined) return;
    if (event.event === "dismissed" || event.event === "deleted") this.remove(job.id);
    else if (applyEvent(job, event)) this.#show(job);
  }

  /** @param {string} id */
  remove(id) {
    const job = this.#jobs.get(id);
    if (job === undefined) return;
    this.#jobs.delete(id);
    this.#remove(job);
  }

  #forget() {
    for (const id of [...this.#jobs.keys()]) this.remove(id);
  }

  /** @param {import("./api.js").Page} page */
  #put({ generations, next_cursor: cursor, last_event_id: read }) {
    this.#cursor = cursor;
    for (const item of generations) {
      const job = this.#jobs.get(item.id) ?? newJob(item.id);
      if (isNewer(job.eventId, read)) continue;
      applyItem(job, item).eventId = read;
      this.#jobs.set(job.id, job);
      this.#show(job);
    }
  }
}
