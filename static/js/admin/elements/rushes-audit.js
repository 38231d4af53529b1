/** @import { Audited } from "../api.js" */

import { t } from "../../i18n.js";
import { Refusal } from "../../refusal.js";
import { part, slots } from "../../slots.js";
import { getAudit } from "../api.js";
import { entryRow } from "../entry.js";

const ACTS = ["replay", "discard", "replay_many", "abort", "cancel", "dismiss", "delete", "restore", "register", "retry",
  "ask", "purge", "rollups"];
const FIELDS = ["act", "who", "job_id", "webhook_id"];

/**
 * Who did what, newest first. Dispatches "rushes:go" with the address of a filter.
 *
 * @customElement rushes-audit
 * @example
 *   <rushes-audit>
 *     <form>
 *       <select name="act"></select><input name="who"><input name="job_id"><input name="webhook_id"><button></button>
 *     </form>
 *     <div data-slot="problem" hidden><p></p></div>
 *     <table data-slot="table"><tbody data-slot="rows"></tbody></table>
 *     <p data-slot="empty" hidden></p><button data-action="more" data-slot="more" hidden></button>
 *   </rushes-audit>
 */
export class RushesAudit extends HTMLElement {
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
    const any = new Option(t("filter.any.status"), "");
    this.#field("act").replaceChildren(any, ...ACTS.map((act) => new Option(t(`audit.act.${act}`), act)));
    this.#form.addEventListener("submit", (event) => this.#onSubmit(event), { signal });
    this.#field("act").addEventListener("change", () => this.#form.requestSubmit(), { signal });
    this.#slots.more.addEventListener("click", () => this.#read(this.#cursor), { signal });
  }

  disconnectedCallback() {
    this.#listening.abort();
    this.close();
  }

  get #form() {
    return /** @type {HTMLFormElement} */ (part(this, "form"));
  }

  /** @param {URLSearchParams} params the address */
  open(params) {
    this.#query = new URLSearchParams(FIELDS.map((name) => [name, params.get(name) ?? ""]).filter(([, value]) => value));
    for (const name of FIELDS) this.#field(name).value = params.get(name) ?? "";
    this.#slots.rows.replaceChildren();
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
      const { audit, next_cursor: next } = await getAudit(this.#query, cursor);
      if (read !== this.#reads) return;
      this.#slots.problem.hidden = true;
      this.#show(audit, next);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      if (read !== this.#reads) return;
      this.#slots.problem.hidden = false;
      part(this.#slots.problem, "p").textContent = error.message;
    }
  }

  /**
   * @param {Audited[]} audit
   * @param {string | null} next
   */
  #show(audit, next) {
    this.#slots.rows.append(...audit.map(entryRow));
    const none = this.#slots.rows.children.length === 0;
    this.#slots.table.hidden = none;
    this.#slots.empty.hidden = !none;
    this.#cursor = next;
    this.#slots.more.hidden = next === null;
  }

  /** @param {SubmitEvent} event */
  #onSubmit(event) {
    event.preventDefault();
    const said = FIELDS.map((name) => [name, this.#field(name).value.trim()]).filter(([, value]) => value);
    const detail = `?${new URLSearchParams([["view", "audit"], ...said])}`;
    this.dispatchEvent(new CustomEvent("rushes:go", { bubbles: true, detail }));
  }

  /** @param {string} name */
  #field(name) {
    return /** @type {HTMLInputElement | HTMLSelectElement} */ (this.#form.elements.namedItem(name));
  }
}
