// What a list does with news of its rows: pure. A row that is shown changes in its place, and one that is new waits to be
// asked for, so that nothing moves under the hand. While the list is paused nothing changes at all.

const WAITING_MAX = 500;

/** @typedef {{ id: string }} Row ids are in the order of receipt */

/**
 * @template {Row} R
 * @typedef {object} View
 * @property {(row: R) => void} patch a row that is shown has changed
 * @property {(count: number, more: boolean) => void} waiting so many wait now; `more`: and others, which only reading
 *   the list again tells
 */

/** @template {Row} R */
export class Tail {
  #view;
  /** @type {Map<string, string>} */
  #shown = new Map();
  /** @type {Map<string, R>} */
  #waiting = new Map();
  /** @type {Map<string, R>} */
  #held = new Map();
  #paused = false;
  #more = false;

  /** @param {View<R>} view */
  constructor(view) {
    this.#view = view;
  }

  /** Whether more came than is kept: the list is read again instead of added to. */
  get more() {
    return this.#more;
  }

  /**
   * These are shown, and nothing waits.
   *
   * @param {R[]} rows
   */
  begin(rows) {
    this.#shown.clear();
    this.#waiting.clear();
    this.#held.clear();
    this.#more = false;
    this.add(rows);
    this.#view.waiting(0, false);
  }

  /**
   * These are shown too.
   *
   * @param {R[]} rows
   */
  add(rows) {
    for (const row of rows) this.#shown.set(row.id, JSON.stringify(row));
  }

  /**
   * A row is new, or has changed, or neither.
   *
   * @param {R} row
   */
  hear(row) {
    if (this.#paused) return this.#keep(this.#held, row);
    const shown = this.#shown.get(row.id);
    if (shown === undefined) {
      this.#keep(this.#waiting, row);
      this.#view.waiting(this.#waiting.size, this.#more);
    } else if (shown !== JSON.stringify(row)) {
      this.add([row]);
      this.#view.patch(row);
    }
  }

  /**
   * One that is not shown is meant no more.
   *
   * @param {string} id
   */
  drop(id) {
    this.#held.delete(id);
    if (this.#waiting.delete(id)) this.#view.waiting(this.#waiting.size, this.#more);
  }

  /** Something may have been missed: the list is read again when its reader wants that. */
  lose() {
    this.#more = true;
    if (!this.#paused) this.#view.waiting(this.#waiting.size, true);
  }

  /** @param {boolean} yes */
  pause(yes) {
    this.#paused = yes;
    if (yes) return;
    const held = [...this.#held.values()];
    this.#held.clear();
    for (const row of held) this.hear(row);
    if (this.#more) this.#view.waiting(this.#waiting.size, true);
  }

  /** Those that wait, newest first: they are shown from now on. */
  take() {
    const rows = [...this.#waiting.values()].sort((a, b) => (a.id < b.id ? 1 : -1));
    this.add(rows);
    this.#waiting.clear();
    this.#view.waiting(0, false);
    return rows;
  }

  /**
   * @param {Map<string, R>} rows
   * @param {R} row
   */
  #keep(rows, row) {
    if (rows.size < WAITING_MAX || rows.has(row.id)) rows.set(row.id, row);
    else this.#more = true;
  }
}
