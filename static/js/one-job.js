// One job as its page has it: the page's model. It knows no element; whoever shows it is told.

/** @import { JobAsSeen, Step } from "./api.js" */
/** @import { LiveState } from "./live/connection.js" */
/** @import { LiveEvent } from "./live/state.js" */

import { cancelJob, deleteJob, dismissJob, getJobAsSeen, restoreJob } from "./api.js";
import { applyDetails, applyEvent, applyItem, isUnfinished, newJob } from "./jobs.js";
import { Backoff } from "./live/backoff.js";
import { subscribe } from "./live.js";
import { isGone, Refusal } from "./refusal.js";
import { tryAgain } from "./tries.js";

const SIGN_IN_WAIT = 30_000;
const CALM = 60_000;

/**
 * Who shows a job.
 *
 * @typedef {object} View
 * @property {() => void} show it was read, or has changed
 * @property {() => void} ended it has just come to its end, before one's eyes
 * @property {(why: "missing" | "deleted") => void} gone
 * @property {(refusal: Refusal, retryIn: number) => void} failed it could not be read
 * @property {(state: LiveState) => void} connection
 */

/**
 * One job, read once, and the stream that continues from there. What a stream brings is newer than what was read.
 */
export class OneJob {
  job;
  /** Whether the reader may do more than look. */
  mayAct = false;
  /** @type {Map<string, Step>} */
  #steps = new Map();
  #view;
  #stop = () => {};
  #loads = 0;
  #backoff = new Backoff(CALM);
  /** @type {number | undefined} */
  #retry;

  /**
   * @param {string} id
   * @param {View} view
   */
  constructor(id, view) {
    this.job = newJob(id);
    this.#view = view;
  }

  /** Its events, the oldest first. */
  get steps() {
    return [...this.#steps.values()];
  }

  /** Ends the stream, and whatever was to come; `load` begins again. */
  close() {
    clearTimeout(this.#retry);
    this.#loads += 1;
    this.#stop();
  }

  async load() {
    this.close();
    const load = this.#loads;
    try {
      const read = await getJobAsSeen(this.job.id);
      if (load !== this.#loads) return;
      applyItem(this.job, read);
      this.mayAct = read.may_act;
      this.#steps = new Map(read.events.map((step) => [step.id, step]));
      this.#view.show();
      this.#follow(read);
      this.#backoff.succeeded();
    } catch (error) {
      if (load !== this.#loads) return;
      if (!(error instanceof Refusal)) throw error;
      this.#onLoadFailed(error);
    }
  }

  /** @param {Refusal} refusal */
  #onLoadFailed(refusal) {
    if (isGone(refusal)) return this.#view.gone("missing");
    const wait = refusal.status === 401 ? SIGN_IN_WAIT : this.#backoff.after(refusal);
    this.#view.failed(refusal, wait);
    this.#loadIn(wait);
  }

  /** @param {JobAsSeen} read */
  #follow({ last_event_id: lastEventId, channel, own }) {
    this.#stop = subscribe(this.job.id, {
      lastEventId,
      channel,
      own,
      onEvent: (event) => this.#onEvent(event),
      onReset: () => this.#loadIn(Math.max(0, this.#backoff.after() - 1_000) + Math.random() * 500),
      onState: (state) => this.#onState(state),
    });
  }

  /** @param {number} milliseconds */
  #loadIn(milliseconds) {
    this.#retry = setTimeout(() => this.load(), milliseconds);
  }

  /** @param {LiveState} state */
  #onState(state) {
    if (state.error?.status === 404) this.#leave("missing");
    else this.#view.connection(state);
  }

  /** @param {"missing" | "deleted"} why */
  #leave(why) {
    this.close();
    this.#view.gone(why);
  }

  /** @param {LiveEvent} event */
  #onEvent(event) {
    if (event.event === "deleted") return this.#leave("deleted");
    if (event.event === "restored") return this.#loadIn(0);
    this.#steps.set(event.id, stepOf(event));
    if (event.event === "dismissed") return this.#view.show();
    const before = this.job.state;
    if (!applyEvent(this.job, event)) return;
    this.#view.show();
    if (this.job.state === before || isUnfinished(this.job)) return;
    this.#view.ended();
    this.#fetchDetails();
  }

  /** What the event did not say; without it, what is shown is true all the same. */
  async #fetchDetails() {
    const { job } = this;
    const load = this.#loads;
    const read = await getJobAsSeen(job.id).catch(() => null);
    if (read === null || read.state !== job.state || load !== this.#loads) return;
    applyDetails(job, read);
    if (read.videos?.length) job.videos = read.videos;
    this.#view.show();
  }

  /** Brings addresses that work, where those of its files no longer do. */
  async refreshFiles() {
    const load = this.#loads;
    const read = await getJobAsSeen(this.job.id).catch(() => null);
    if (read === null || load !== this.#loads) return; // it was read again meanwhile, or is gone
    const fresh = new Map(read.videos?.map((file) => [file.id, file.file_url]));
    for (const file of this.job.videos) file.file_url = fresh.get(file.id) ?? file.file_url;
    this.#view.show();
  }

  // -- What the user does. Each throws a Refusal.

  async cancel() {
    await cancelJob(this.job.id);
    this.load(); // also where no stream tells it
  }

  async delete() {
    await deleteJob(this.job.id).catch((error) => { if (!isGone(error)) throw error; });
    this.#leave("deleted");
  }

  async restore() {
    await restoreJob(this.job.id);
    await this.load();
  }

  /** The id of the new job, which takes the place of a failed one. */
  async again() {
    const { job_id: id } = await tryAgain(this.job);
    await dismissJob(this.job.id).catch(() => {});
    return id;
  }
}

/**
 * @param {LiveEvent} event
 * @returns {Step}
 */
const stepOf = ({ id, event, data }) =>
  ({ id, event, state: data.state ?? "", message: data.message ?? null, occurred_at: data.occurred_at });
