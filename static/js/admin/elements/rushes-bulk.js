import { many, t } from "../../i18n.js";
import { Refusal } from "../../refusal.js";
import { slots } from "../../slots.js";
import { discardWebhook, getWebhook, replayWebhook, summaryOf } from "../api.js";
import { confirmed } from "../confirm.js";
import { link, make } from "../dom.js";
import { number } from "../format.js";

/**
 * What can be done to the webhooks that are selected, one after the other, and what became of each. Dispatches
 * "rushes:acted" with a webhook that something was done to, and "rushes:unpick" when none is to be selected any more.
 *
 * @customElement rushes-bulk
 * @example
 *   <rushes-bulk hidden>
 *     <strong data-slot="count"></strong>
 *     <button data-act="replay"></button><button data-act="discard"></button><button data-act="unpick"></button>
 *     <p role="status" data-slot="said"></p><ul data-slot="results"></ul>
 *   </rushes-bulk>
 */
export class RushesBulk extends HTMLElement {
  /** @type {Record<string, HTMLElement>} */
  #slots;
  /** @type {string[]} */
  #ids = [];
  #acting = false;

  connectedCallback() {
    this.#slots = slots(this);
    this.addEventListener("click", this.#onClick);
  }

  disconnectedCallback() {
    this.removeEventListener("click", this.#onClick);
  }

  /** @param {string[]} ids those that are selected */
  show(ids) {
    this.#ids = ids;
    if (this.#acting) return;
    this.hidden = ids.length === 0;
    this.#slots.count.textContent = many("bulk.count", ids.length, { count: number(ids.length) });
    this.#slots.said.textContent = "";
    this.#slots.results.replaceChildren();
  }

  #onClick = (/** @type {MouseEvent} */ { target }) => {
    /** @type {HTMLElement | null} */
    const button = /** @type {Element} */ (target).closest("[data-act]");
    const act = button?.dataset.act;
    if (act === "unpick") this.#acting = false;
    if (act === "unpick") this.dispatchEvent(new CustomEvent("rushes:unpick", { bubbles: true, detail: null }));
    if (act === "replay" || act === "discard") this.#act(act);
  };

  /** @param {"replay" | "discard"} act */
  async #act(act) {
    const ids = [...this.#ids];
    if (this.#acting) return;
    const heading = many(`bulk.${act}`, ids.length, { count: number(ids.length) });
    if (!(await confirmed(heading, t(`act.${act}.lead`), t(`act.${act}`)))) return;
    this.#acting = true;
    this.#slots.results.replaceChildren();
    for (const [at, id] of ids.entries()) {
      if (!this.#acting) return; // it was told to stop
      this.#slots.said.textContent = t("bulk.at", { done: number(at), total: number(ids.length) });
      this.#slots.results.append(await this.#one(act, id));
    }
    this.#slots.said.textContent = t("bulk.at", { done: number(ids.length), total: number(ids.length) });
    this.#acting = false;
  }

  /**
   * Does it to one; what became of it.
   *
   * @param {"replay" | "discard"} act
   * @param {string} id
   */
  async #one(act, id) {
    const anchor = link(`?webhook=${id}`, id.slice(0, 14));
    try {
      const said = await (act === "replay" ? replayWebhook(id) : discardWebhook(id));
      const webhook = JSON.parse(await getWebhook(id));
      this.dispatchEvent(new CustomEvent("rushes:acted", { bubbles: true, detail: summaryOf(webhook) }));
      const became = t(said.changed ? "act.became" : "act.left", { outcome: t(`outcome.${said.outcome}`) });
      return make("li", "", anchor, ` ${became} ${said.error ?? ""}`);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      return make("li", "problem", anchor, ` ${error.message}`);
    }
  }
}
