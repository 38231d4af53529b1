/** @import { Ended } from "../api.js" */

import { many, t } from "../../i18n.js";
import { Refusal } from "../../refusal.js";
import { part, slots } from "../../slots.js";
import { getGenerations } from "../api.js";
import { foreign, link, make, timeNode } from "../dom.js";
import { addressOf } from "../filter.js";
import { milliseconds, number, wholeTime } from "../format.js";
import { duration } from "../../format.js";

const FIELDS = ["ended", "timed", "from", "to"];

/**
 * Generations that ended in the time that the address names, the last one first: what a figure counts. It is always
 * under a figure, so it has no form of its own.
 *
 * @customElement rushes-generations
 * @example
 *   <rushes-generations>
 *     <strong data-slot="count"></strong><span data-slot="meant"></span>
 *     <div data-slot="problem" hidden><p></p></div>
 *     <table data-slot="table"><tbody data-slot="rows"></tbody></table>
 *     <p data-slot="empty" hidden></p><button data-slot="more" hidden></button>
 *   </rushes-generations>
 */
export class RushesGenerations extends HTMLElement {
  /** @type {Record<string, HTMLElement>} */
  #slots;
  #listening = new AbortController();
  #query = new URLSearchParams();
  /** @type {string | null} */
  #cursor = null;
  #reads = 0;

  connectedCallback() {
    this.#slots = slots(this);
    this.#listening = new AbortController();
    const { signal } = this.#listening;
    this.#slots.more.addEventListener("click", () => this.#read(this.#cursor), { signal });
  }

  disconnectedCallback() {
    this.#listening.abort();
    this.close();
  }

  /** @param {URLSearchParams} params the address */
  open(params) {
    this.#query = new URLSearchParams(FIELDS.map((name) => [name, params.get(name) ?? ""]).filter(([, value]) => value));
    this.#slots.rows.replaceChildren();
    this.#slots.count.textContent = t("list.loading");
    this.#slots.meant.textContent = "";
    this.#read(null);
  }

  /** Ends whatever was to come. */
  close() {
    this.#reads += 1;
  }

  /** @param {string | null} cursor */
  async #read(cursor) {
    const read = ++this.#reads;
    try {
      const { generations, next_cursor: next, filter, count } = await getGenerations(this.#query, cursor);
      if (read !== this.#reads) return;
      this.#slots.problem.hidden = true;
      if (count !== undefined) this.#showHead(filter, count);
      this.#show(generations, next);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      if (read !== this.#reads) return;
      this.#slots.count.textContent = "";
      this.#slots.problem.hidden = false;
      part(this.#slots.problem, "p").textContent = error.message;
    }
  }

  /**
   * @param {{ ended: string | null, from: string, to: string }} filter
   * @param {number} count
   */
  #showHead({ ended, from, to }, count) {
    this.#slots.count.textContent = many("generations.count", count, { count: number(count) });
    const how = ended === null ? t("generations.any") : howOf(ended);
    const window = Date.parse(from) === 0 ? "window.until" : "window.between";
    this.#slots.meant.textContent = `${how} · ${t(window, { from: wholeTime(from), to: wholeTime(to) })}`;
  }

  /**
   * @param {Ended[]} generations
   * @param {string | null} next
   */
  #show(generations, next) {
    this.#slots.rows.append(...generations.map(rowOf));
    const none = this.#slots.rows.children.length === 0;
    this.#slots.table.hidden = none;
    this.#slots.empty.hidden = !none;
    this.#cursor = next;
    this.#slots.more.hidden = next === null;
  }
}

/** Of many. @param {string} ended */
const howOf = (ended) => (["completed", "failed"].includes(ended) ? t(`generations.${ended}`)
  : t("generations.failed-by", { why: known(`failure.${ended}`, ended) }));

/** Of one. @param {string} ended */
const howOne = (ended) => (ended === "completed" ? t("ended.completed")
  : t("ended.failed", { why: known(`failure.${ended}`, ended) }));

/** @param {string} key @param {string} otherwise */
const known = (key, otherwise) => (t(key) === key ? otherwise : t(key));

/** @param {Ended} generation */
function rowOf({ job_id: job, ended, ended_at: at, seconds }) {
  const anchor = link(`/jobs/${encodeURIComponent(job)}`, "");
  anchor.append(foreign(job));
  const took = seconds === null ? "–" : seconds >= 120 ? duration(seconds) : milliseconds(seconds * 1000);
  return make("tr", "", make("td", "when", timeNode(at)), make("td", "", howOne(ended)), make("td", "", anchor),
    make("td", "", link(addressOf({ job_id: job }), t("generations.webhooks"))), make("td", "number", took));
}
