// The user's jobs as the page has them: its model. It knows no element; whoever shows it is told.

/** @import { Order, Page, Started } from "./api.js" */
/** @import { Item, Job } from "./jobs.js" */
/** @import { LiveState } from "./live/connection.js" */
/** @import { LiveEvent } from "./live/state.js" */

import { cancelJob, deleteJob, dismissJob, getGallery, getJob, PAGE, PAGE_MAX, restoreJob } from "./api.js";
import { applyDetails, applyEvent, applyItem, isUnfinished, newJob, settingsOf } from "./jobs.js";
import { forgetTries } from "./keys.js";
import { Backoff } from "./live/backoff.js";
import { isNewer, NONE } from "./live/ids.js";
import { subscribe } from "./live.js";
import { isGone, Refusal } from "./refusal.js";
import { tryAgain } from "./tries.js";

const SIGN_IN_WAIT = 30_000;
const CALM = 60_000;

/**
 * Who shows a gallery.
 *
 * @typedef {object} View
 * @property {(job: Job, live: boolean) => void} show a job that is new, or has changed: before the reader's eyes, or by a list
 * @property {(job: Job) => void} remove
 * @property {(event: LiveEvent) => void} hear whatever the stream brings
 * @property {() => void} refresh the number of jobs, or of those that go on, may have changed
 * @property {(job: Job) => void} announce it has ended, and its prompt is known if it can be
 * @property {(state: LiveState) => void} connection
 * @property {(refusal: Refusal, retryIn: number) => void} failed the first page could not be read
 * @property {() => void} signedOut nobody is signed in, and nothing is shown yet
 * @property {() => void} read a page was read: what was wrong with the last one is over
 */

/**
 * The first page of the gallery, the stream that continues from it, and the pages before it.
 *
 * The page is always read while no stream is open, and the stream starts where the page was read. So a page and an
 * event never compete: what the stream brings is newer than what was fetched.
 */
export class Gallery {
  #view;
  /** @type {Map<string, Job>} */
  #jobs = new Map();
  #unsubscribe = () => {};
  /** @type {string | null} */
  #cursor = null;
  #loads = 0;
  #backoff = new Backoff(CALM);
  /** @type {number | undefined} */
  #retry;

  /** @param {View} view */
  constructor(view) {
    this.#view = view;
  }

  get size() {
    return this.#jobs.size;
  }

  /** The jobs that go on. */
  get unfinished() {
    return [...this.#jobs.values()].filter(isUnfinished);
  }

  /** Whether there are earlier pages. */
  get hasMore() {
    return this.#cursor !== null;
  }

  /** Ends the stream, and whatever was to come; `load` begins again. */
  close() {
    clearTimeout(this.#retry);
    this.#loads += 1;
    this.#unsubscribe();
  }

  // -- The page: read first, and again whenever the log cannot be continued

  /** @param {number} count how many finished jobs are wanted, of those that there are */
  async load(count = PAGE) {
    this.close();
    const load = this.#loads;
    try {
      const page = await getGallery({ limit: Math.max(PAGE, Math.min(PAGE_MAX, count)) });
      if (load !== this.#loads) return;
      const unlisted = this.#putPage(page);
      this.#view.read();
      this.#follow(page, unlisted);
      this.#backoff.succeeded();
    } catch (error) {
      if (load !== this.#loads) return;
      if (!(error instanceof Refusal)) throw error;
      this.#onLoadFailed(error);
    }
  }

  /**
   * @param {Page} page
   * @param {string[]} unlisted
   */
  #follow({ last_event_id: lastEventId, channel, active }, unlisted) {
    this.#unsubscribe = subscribe(null, {
      lastEventId,
      channel,
      active: [...active, ...unlisted.map((id) => ({ id }))],
      onEvent: (event) => this.#onEvent(event),
      onReset: () => this.#onReset(),
      onState: (state) => this.#view.connection(state),
    });
  }

  /** @param {Refusal} refusal */
  #onLoadFailed(refusal) {
    if (refusal.status === 401 && this.size === 0) return this.#waitForSignIn();
    const wait = this.#backoff.after(refusal);
    this.#view.failed(refusal, wait);
    this.#loadIn(wait);
  }

  // Mostly in another tab.
  #waitForSignIn() {
    this.#view.signedOut();
    this.#loadIn(SIGN_IN_WAIT);
  }

  // A server that answers "reset" again and again must not be asked in a tight loop; one that does so once has told it
  // to all its clients in the same moment.
  #onReset() {
    this.#loadIn(Math.max(0, this.#backoff.after() - 1_000) + Math.random() * 500);
  }

  /** @param {number} milliseconds */
  #loadIn(milliseconds) {
    this.#retry = setTimeout(() => this.load(), milliseconds);
  }

  /**
   * Makes the jobs what a reload would show, keeping those that are there: of many failures the page lists the newest,
   * as of those that go on. Returns the ids of those that go on, as far as is known, and are not listed.
   *
   * @param {Page} page
   */
  #putPage(page) {
    const items = [...page.active, ...page.failed, ...page.generations];
    const listed = new Set(items.map((item) => item.id));
    const gone = [...this.#jobs.values()].filter((job) => !listed.has(job.id));
    for (const job of gone) if (!isUnfinished(job) && !(job.state === "FAILED" && page.failed_more)) this.#remove(job);
    for (const item of items) this.#put(item);
    this.#cursor = page.next_cursor;
    const unlisted = gone.filter(isUnfinished).map((job) => job.id);
    this.#recoverAll(unlisted);
    this.#view.refresh();
    return unlisted;
  }

  /** @param {Item} item */
  #put(item) {
    const job = applyItem(this.#job(item.id), item);
    this.#view.show(job, false);
  }

  /**
   * The job that is known by this id, or a new one.
   *
   * @param {string} id
   */
  #job(id) {
    const job = this.#jobs.get(id) ?? newJob(id);
    this.#jobs.set(id, job);
    return job;
  }

  /** @param {Job} job */
  #remove(job) {
    this.#jobs.delete(job.id);
    this.#view.remove(job);
    this.#view.refresh();
  }

  /**
   * One after the other: there may be hundreds.
   *
   * @param {string[]} ids
   */
  async #recoverAll(ids) {
    const load = this.#loads;
    for (const id of ids) {
      await this.#recover(id);
      if (load !== this.#loads) return; // the page was read again, and begins anew
    }
  }

  /**
   * Reads a job that the first page does not list: one that goes on among many, or one that ended meanwhile.
   *
   * @param {string} id
   */
  async #recover(id) {
    const before = this.#jobs.get(id)?.eventId;
    const item = await getJob(id).catch((error) => error);
    const job = this.#jobs.get(id);
    if (job === undefined || job.eventId !== before) return; // it was taken away, or an event was faster
    if (isGone(item)) this.#remove(job);
    else if (!(item instanceof Refusal)) this.#put(item);
    this.#view.refresh();
  }

  /** Reads one more page of earlier jobs; throws a Refusal. */
  async more(limit = PAGE) {
    const load = this.#loads;
    const page = await getGallery({ cursor: this.#cursor, limit });
    if (load !== this.#loads) return; // the first page was read again meanwhile, and its cursor with it
    for (const item of page.generations) if (!this.#jobs.has(item.id)) this.#put(item);
    this.#cursor = page.next_cursor;
    this.#view.read();
  }

  // -- Changes

  /** @param {LiveEvent} event */
  #onEvent(event) {
    const { job_id: id } = event.data;
    this.#view.hear(event);
    if (event.event === "dismissed" || event.event === "deleted") return this.#onGone(id, event.id);
    if (event.event === "restored") return this.#bringBack(id);
    const known = this.#jobs.has(id);
    const job = this.#job(id);
    const before = job.state;
    if (!applyEvent(job, event)) return;
    this.#view.show(job, true);
    this.#view.refresh();
    const ended = job.state !== before && !isUnfinished(job);
    this.#settle(job, { fetch: !known || !isUnfinished(job), announce: ended });
  }

  /**
   * @param {string} id
   * @param {string} eventId
   */
  #onGone(id, eventId) {
    const job = this.#jobs.get(id);
    if (job && isNewer(eventId, job.eventId)) this.#remove(job);
  }

  /**
   * Shows a job that was restored.
   *
   * @param {string} id
   */
  async #bringBack(id) {
    const item = await getJob(id).catch(() => null);
    if (item && !this.#jobs.has(id)) this.#put(item);
    this.#view.refresh();
  }

  /**
   * Fetches what the event did not say, then announces the end of a job, by its prompt.
   *
   * @param {Job} job
   * @param {{ fetch: boolean, announce: boolean }} what
   */
  async #settle(job, { fetch, announce }) {
    if (fetch) await this.#fetchDetails(job);
    const still = this.#jobs.get(job.id) === job && !isUnfinished(job); // neither dismissed nor tried again meanwhile
    if (announce && still && job.failure?.kind !== "cancelled") this.#view.announce(job);
  }

  /** @param {Job} job */
  async #fetchDetails(job) {
    try {
      applyDetails(job, await getJob(job.id));
    } catch {
      return; // the events go on without: what is shown is the job's id and its state
    }
    if (this.#jobs.get(job.id) === job) this.#view.show(job, true);
  }

  /**
   * Brings addresses that work, where those of a job's files no longer do, also to one that was found.
   *
   * @param {Job} job
   */
  async refreshFiles(job) {
    const item = await getJob(job.id).catch(() => null);
    for (const file of item?.videos ?? []) {
      const known = job.videos.find((other) => other.id === file.id);
      if (known) known.file_url = file.file_url;
    }
  }

  /**
   * A job that this page has asked for.
   *
   * @param {Partial<Order> & Started} started
   */
  add(started) {
    const job = this.#job(started.job_id);
    applyDetails(job, started);
    if (job.eventId === NONE) job.message = started.message ?? "";
    this.#view.show(job, true);
    this.#view.refresh();
    return job;
  }

  // -- What the user does to a job. Each throws a Refusal; the server tells other tabs.

  /** @param {Job} job */
  async cancel(job) {
    await cancelJob(job.id);
    await this.#recover(job.id); // also where no stream tells it
  }

  /**
   * Takes a failure out for good.
   *
   * @param {Job} job
   */
  async dismiss(job) {
    await goneAnyway(dismissJob(job.id));
    forgetTries(job.id);
    this.#remove(job);
  }

  /** @param {Job} job */
  async delete(job) {
    await goneAnyway(deleteJob(job.id));
    this.#remove(job);
  }

  /**
   * Takes a deletion back; resolves once the job is shown.
   *
   * @param {Job} job
   */
  async restore(job) {
    await restoreJob(job.id);
    await this.#bringBack(job.id);
  }

  /**
   * Has the same video made again in a new job, which takes the place of a failed one.
   *
   * @param {Job} job
   */
  async again(job) {
    return this.add({ ...settingsOf(job), ...(await tryAgain(job)) });
  }
}

/**
 * What was to go, and is gone already, needs no refusal.
 *
 * @param {Promise<unknown>} act
 */
const goneAnyway = (act) => act.catch((error) => { if (!isGone(error)) throw error; });
