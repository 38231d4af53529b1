// How far the reader has looked: earlier pages, what is looked for, and his place when he comes back.

/** @import { Query } from "./api.js" */
/** @import { Gallery } from "./gallery.js" */
/** @import { Job } from "./jobs.js" */

import { PAGE_MAX } from "./api.js";
import { putInOrder } from "./cards.js";
import { t } from "./i18n.js";
import { keepPlace, placeToRestore, restorePlace } from "./place.js";
import { Refusal } from "./refusal.js";
import { Results } from "./results.js";

const AHEAD = "1200px"; // of the end of the list, when the next page is asked for

/** The list that is shown: the gallery's, or what was found. */
export class Browse {
  #root;
  #slots;
  #gallery;
  #refused;
  #place = placeToRestore();
  #results = new Results((job) => this.#show(job), (job) => this.#cardOf(job)?.remove());
  #observer = new IntersectionObserver((entries) => {
    if (entries.some((entry) => entry.isIntersecting)) this.more();
  }, { rootMargin: AHEAD });

  /**
   * @param {HTMLElement} root whose attribute `searching` says that what was found is shown
   * @param {Record<string, HTMLElement>} slots grid, found, none, searched, more
   * @param {Gallery} gallery
   * @param {(refusal: Refusal) => void} refused tells that a page could not be read
   */
  constructor(root, slots, gallery, refused) {
    this.#root = root;
    this.#slots = slots;
    this.#gallery = gallery;
    this.#refused = refused;
    history.scrollRestoration = "manual"; // the browser knows no place in a list that is not there yet
    this.#observer.observe(slots.more);
  }

  /** Reads the gallery, as far as it was read when the reader left. */
  load() {
    return this.#gallery.load(this.#place?.count);
  }

  close() {
    this.#observer.disconnect();
  }

  get results() {
    return this.#results;
  }

  /** The gallery was read, or one page more of it. */
  async restore() {
    const place = this.#place;
    this.#place = null;
    if (place === null) return;
    const { grid } = this.#slots;
    while (this.#gallery.hasMore && grid.childElementCount < place.count) {
      const read = await this.#tried(() => this.#gallery.more(Math.min(PAGE_MAX, place.count)));
      if (!read) break;
    }
    restorePlace(grid, place);
  }

  /** Remembers where the reader is. */
  leave() {
    if (!this.#results.areAsked) keepPlace(this.#slots.grid);
  }

  /** @param {Query | null} query null where all videos are wanted */
  async search(query) {
    if (query === null) this.#results.clear();
    else if (!await this.#tried(() => this.#results.search(query))) return;
    this.update();
  }

  /** Shows whether there is more, and what is said of what was found. */
  update() {
    const { areAsked, searched, size } = this.#results;
    const { more, none, searched: note } = this.#slots;
    this.#root.toggleAttribute("searching", areAsked);
    none.hidden = !areAsked || size > 0;
    note.textContent = areAsked && searched !== null ? t("search.searched", { count: searched }) : "";
    more.hidden = !(areAsked ? this.#results : this.#gallery).hasMore;
  }

  /** Reads one page more, and goes on while its end is near the screen. After a refusal that is for the reader to say. */
  async more() {
    const { more } = this.#slots;
    if (more.getAttribute("aria-disabled") === "true") return;
    this.#setBusy(true);
    const list = this.#results.areAsked ? this.#results : this.#gallery;
    const read = await this.#tried(() => list.more());
    this.#setBusy(false);
    this.#observer.unobserve(more);
    if (!read) return;
    this.update();
    this.#observer.observe(more); // which tells where it is now
  }

  /**
   * Whether it was done.
   *
   * @param {() => Promise<unknown>} read
   */
  async #tried(read) {
    try {
      return await read() !== false;
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.#refused(error);
      return false;
    }
  }

  /** @param {boolean} yes */
  #setBusy(yes) {
    this.#slots.more.setAttribute("aria-disabled", String(yes));
    this.#slots.more.textContent = t(yes ? "gallery.more-loading" : "gallery.more");
  }

  /** @param {Job} job */
  #cardOf(job) {
    return this.#slots.found.querySelector(`rushes-job[job-id="${CSS.escape(job.id)}"]`);
  }

  /** @param {Job} job */
  #show(job) {
    const known = /** @type {import("./elements/rushes-job.js").RushesJob | null} */ (this.#cardOf(job));
    if (known) return known.update();
    const card = document.createElement("rushes-job");
    card.job = job;
    putInOrder(this.#slots.found, card);
  }
}
