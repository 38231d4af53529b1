// Where the reader was in a long gallery, for when he comes back: by a reload, or by going back.

import { Kept } from "./kept.js";

const NAME = "rushes.place";
const kept = new Kept(() => sessionStorage);
let returns = false;

/** The reader goes to sign in, and comes back by an address. */
export const willReturn = () => { returns = true; };

/**
 * How many cards there were, and which of them stood how many pixels from the top of the window, when all had arrived.
 *
 * @typedef {{ address: string, count: number, id: string, top: number, returns: boolean }} Place
 */

/**
 * Keeps where the reader is among these cards.
 *
 * @param {HTMLElement} grid
 */
export function keepPlace(grid) {
  const cards = /** @type {HTMLElement[]} */ ([...grid.children]);
  const card = cards.find((one) => one.getBoundingClientRect().bottom > 0);
  const id = card?.getAttribute("job-id");
  if (window.scrollY === 0 || !card || !id) return kept.remove(NAME);
  const top = card.offsetTop - window.scrollY;
  kept.set(NAME, JSON.stringify({ address: location.search, count: cards.length, id, top, returns }));
}

/**
 * The place that this page was left at, if this is a coming back; null for one who comes anew.
 *
 * @returns {Place | null}
 */
export function placeToRestore() {
  const [navigation] = /** @type {PerformanceNavigationTiming[]} */ (performance.getEntriesByType("navigation"));
  const isBack = navigation?.type === "reload" || navigation?.type === "back_forward";
  try {
    const place = JSON.parse(kept.get(NAME) ?? "null");
    return place?.address === location.search && (isBack || place.returns) ? place : null;
  } catch {
    return null;
  }
}

/**
 * Scrolls back, if that card is still there.
 *
 * @param {HTMLElement} grid
 * @param {Place} place
 */
export function restorePlace(grid, { id, top }) {
  /** @type {HTMLElement | null} */
  const card = grid.querySelector(`[job-id="${CSS.escape(id)}"]`);
  if (card) window.scrollTo({ top: card.offsetTop - top, behavior: "instant" });
}
