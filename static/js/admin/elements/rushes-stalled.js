/** @import { AskedNow, StalledJob } from "../api.js" */

import { many, t } from "../../i18n.js";
import { Refusal } from "../../refusal.js";
import { slots } from "../../slots.js";
import { askNow, getStalled } from "../api.js";
import { foreign, link, make, timeNode } from "../dom.js";
import { addressOf } from "../filter.js";
import { number } from "../format.js";

/**
 * The jobs that nobody reports on, read when it is opened; for each the generation backend can be asked now.
 *
 * @customElement rushes-stalled
 * @example
 *   <rushes-stalled>
 *     <details data-slot="whole">
 *       <summary></summary><p role="status" data-slot="said"></p>
 *       <table data-slot="table"><tbody data-slot="rows"></tbody></table><p data-slot="note"></p>
 *     </details>
 *   </rushes-stalled>
 */
export class RushesStalled extends HTMLElement {
  /** @type {Record<string, HTMLElement>} */
  #slots;
  #listening = new AbortController();
  #reads = 0;
  #asking = false;

  connectedCallback() {
    this.#slots = slots(this);
    this.#listening = new AbortController();
    const { signal } = this.#listening;
    this.#slots.whole.addEventListener("toggle", () => this.#onToggle(), { signal });
    this.#slots.rows.addEventListener("click", (event) => this.#onClick(event), { signal });
  }

  disconnectedCallback() {
    this.#listening.abort();
    this.#reads += 1;
  }

  #onToggle() {
    this.#slots.said.textContent = "";
    if (/** @type {HTMLDetailsElement} */ (this.#slots.whole).open) this.#read();
  }

  async #read() {
    const read = ++this.#reads;
    try {
      const { jobs, more } = await getStalled();
      if (read !== this.#reads) return;
      this.#slots.rows.replaceChildren(...jobs.map(row));
      this.#slots.table.hidden = jobs.length === 0;
      this.#slots.note.textContent = jobs.length === 0 ? t("stalled.none") : more ? t("stalled.more", { count: jobs.length }) : "";
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      if (read === this.#reads) this.#slots.note.textContent = error.message;
    }
  }

  /** @param {MouseEvent} event */
  async #onClick({ target }) {
    /** @type {HTMLButtonElement | null} */
    const button = /** @type {Element} */ (target).closest("button[data-job]");
    if (button === null || this.#asking) return;
    const job = button.dataset.job ?? "";
    this.#asking = true;
    this.#say(job, t("stalled.asking"));
    try {
      this.#say(job, ...answerOf(await askNow(job)));
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.#say(job, error.message);
    } finally {
      this.#asking = false;
    }
    const focused = this.contains(document.activeElement);
    await this.#read();
    if (focused && !this.contains(document.activeElement)) this.#slots.said.focus();
  }

  /**
   * @param {string} job
   * @param {...(string | Node)} said
   */
  #say(job, ...said) {
    this.#slots.said.replaceChildren(foreign(job), " · ", ...said);
  }
}

/**
 * What the backend said, and what came of it.
 *
 * @param {AskedNow} answer
 */
function answerOf({ said, status, outcome, error }) {
  const words = said === "status" && status !== null ? foreign(status) : t(`stalled.${said}`);
  const became = outcome === null ? t("stalled.nothing-new") : t(`outcome.${outcome}`);
  return [words, error === null ? "" : " ", error === null ? "" : foreign(error), " → ", became];
}

/** @param {StalledJob} job */
function row({ job_id: id, status, moved_at: moved, tries, unanswered, due_at: due }) {
  const button = make("button", "quiet", t("stalled.ask"));
  button.type = "button";
  button.dataset.job = id;
  const anchor = link(addressOf({ job_id: id }), "");
  anchor.append(foreign(id));
  const asked = [tries === 0 ? t("stalled.never") : many("stalled.tries", tries, { count: number(tries) })];
  if (unanswered > 0) asked.push(many("stalled.vain", unanswered, { count: number(unanswered) }));
  return make("tr", "", make("td", "", anchor), make("td", "", foreign(status)), make("td", "", timeNode(moved)),
    make("td", "", asked.join(", ")), make("td", "", timeNode(due)), make("td", "", button));
}
