// Where each card stands: in the strip what goes on, has failed, or has just become a video; in the grid the videos.

/** @import { Job } from "./jobs.js" */
/** @import { RushesJob } from "./elements/rushes-job.js" */

/**
 * Cards, newest first in both places, so a reload shows the same. A card that becomes a video stays where it is until
 * `admit` is called: nothing moves under somebody who reads, or watches.
 */
export class Cards {
  #strip;
  #grid;
  /** @type {Map<string, RushesJob>} */
  #cards = new Map();

  /**
   * @param {HTMLElement} strip
   * @param {HTMLElement} grid
   */
  constructor(strip, grid) {
    this.#strip = strip;
    this.#grid = grid;
  }

  /** @param {string} id */
  get(id) {
    return this.#cards.get(id);
  }

  all() {
    return this.#cards.values();
  }

  /** The videos that wait in the strip. */
  get fresh() {
    return cardsIn(this.#strip).filter(({ job }) => job.state === "COMPLETED");
  }

  /**
   * Shows a job that is new or has changed. One that is `live` came before the reader's eyes, not by a list.
   *
   * @param {Job} job
   * @param {boolean} live
   */
  show(job, live) {
    const card = this.#cards.get(job.id) ?? document.createElement("rushes-job");
    const isNew = card.job !== job;
    card.job = job;
    this.#cards.set(job.id, card);
    this.#keepPlace(() => this.#put(card, this.#placeOf(card, live)));
    if (!isNew) card.update();
  }

  /** @param {Job} job */
  remove(job) {
    this.#keepPlace(() => this.#cards.get(job.id)?.remove());
    this.#cards.delete(job.id);
  }

  /** Puts the videos that wait into the grid; the newest of them, if there is any. */
  admit() {
    const { fresh } = this;
    for (const card of fresh) this.#put(card, this.#grid);
    this.#strip.hidden = this.#strip.childElementCount === 0;
    return fresh[0];
  }

  /**
   * @param {RushesJob} card
   * @param {boolean} live
   */
  #placeOf(card, live) {
    if (card.job.state !== "COMPLETED") return this.#strip;
    if (!card.isConnected) return live ? this.#strip : this.#grid;
    if (card.parentElement !== this.#strip) return this.#grid;
    // The first video, with nothing beside it that could move, nor anybody in it: moved, it closes its menu and has no focus.
    const alone = this.#strip.childElementCount === 1 && this.#grid.childElementCount === 0;
    const used = card.matches(":focus-within, :has(:popover-open)");
    return alone && !used ? this.#grid : this.#strip;
  }

  /**
   * Only where it does not stand there yet: a video that is moved begins anew.
   *
   * @param {RushesJob} card
   * @param {HTMLElement} place
   */
  #put(card, place) {
    if (card.parentElement !== place || !isInOrder(card)) putInOrder(place, card);
  }

  /**
   * Changes the strip without moving the grid under somebody who reads it, or watches one of its videos.
   *
   * @param {() => void} change
   */
  #keepPlace(change) {
    const { childElementCount: count } = this.#strip;
    if (count > 1) return change(); // it stays open, and is as high as it was
    const top = this.#grid.getBoundingClientRect().top;
    change();
    const empty = this.#strip.childElementCount === 0;
    this.#strip.hidden = empty;
    if (empty === (count === 0)) return;
    const watched = cardsIn(this.#grid).some((card) => card.isPlaying);
    const moved = this.#grid.getBoundingClientRect().top - top;
    if (watched || top < 0) window.scrollBy({ top: moved, behavior: "instant" });
  }
}

/**
 * @param {HTMLElement} place whose cards are newest first
 * @param {RushesJob} card
 */
export function putInOrder(place, card) {
  const older = cardsIn(place).find((other) => other !== card && isNewer(card.job, other.job));
  place.insertBefore(card, older ?? null);
}

/** @param {HTMLElement} place */
const cardsIn = (place) => /** @type {RushesJob[]} */ ([...place.children]);

/** @param {RushesJob} card */
function isInOrder(card) {
  const [before, after] = /** @type {(RushesJob | null)[]} */ ([card.previousElementSibling, card.nextElementSibling]);
  return !(before && isNewer(card.job, before.job)) && !(after && isNewer(after.job, card.job));
}

/**
 * As the server's lists have them. Times of one form are in the order of their texts.
 *
 * @param {Job} one
 * @param {Job} other
 */
function isNewer({ id, created_at: created }, { id: otherId, created_at: other }) {
  if (created !== other) return (created ?? "9") > (other ?? "9");
  return id > otherId;
}
