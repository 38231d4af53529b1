/** @import { Order } from "../api.js" */

import { generate } from "../api.js";
import { duration } from "../format.js";
import { t } from "../i18n.js";
import { keyOfOrder, orderIsSettled } from "../keys.js";
import { isSettled, Refusal } from "../refusal.js";
import { part } from "../slots.js";

/**
 * The form. Dispatches "rushes:generated" with the answer and what was asked for.
 *
 * @customElement rushes-prompt
 * @example
 *   <rushes-prompt>
 *     <form novalidate>
 *       <textarea name="prompt" required></textarea>
 *       <select name="aspect_ratio">…</select>
 *       <select name="duration_seconds">…</select>
 *       <select name="number_of_videos">…</select>
 *       <button type="submit"></button>
 *     </form>
 *     <p class="problem" role="alert" hidden></p>
 *     <p class="hint" role="status"></p>
 *   </rushes-prompt>
 */
export class RushesPrompt extends HTMLElement {
  /** @type {HTMLFormElement} */
  #form;
  #sending = false;

  connectedCallback() {
    this.#form = part(this, "form");
    this.#form.addEventListener("submit", this.#onSubmit);
    this.#form.addEventListener("keydown", this.#onKey);
    this.#form.addEventListener("input", this.#onInput);
  }

  disconnectedCallback() {
    this.#form.removeEventListener("submit", this.#onSubmit);
    this.#form.removeEventListener("keydown", this.#onKey);
    this.#form.removeEventListener("input", this.#onInput);
  }

  get #prompt() {
    return part(this.#form, "textarea");
  }

  /**
   * Puts an order into the form, for the user to change and send. What it does not say, or the form does not offer,
   * stays as it is.
   *
   * @param {Partial<Order>} order
   */
  propose({ prompt: text = "", ...settings }) {
    const prompt = this.#prompt;
    prompt.value = text;
    for (const [name, value] of Object.entries(settings)) this.#choose(name, String(value));
    this.#showProblem(null);
    prompt.focus();
    prompt.setSelectionRange(text.length, text.length);
  }

  /**
   * @param {string} name
   * @param {string} value
   */
  #choose(name, value) {
    const select = /** @type {HTMLSelectElement | null} */ (this.#form.elements.namedItem(name));
    if (select && [...select.options].some((option) => option.value === value)) select.value = value;
  }

  #onSubmit = (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    if (!this.#sending) this.#send(this.#asked());
  };

  #onKey = (/** @type {KeyboardEvent} */ event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.#form.requestSubmit();
  };

  #onInput = () => {
    this.#showProblem(null);
    this.#hint("");
  };

  #asked() {
    const chosen = (/** @type {string} */ name) =>
      /** @type {HTMLSelectElement} */ (this.#form.elements.namedItem(name)).value;
    return {
      prompt: this.#prompt.value.trim(),
      aspect_ratio: chosen("aspect_ratio"),
      duration_seconds: Number(chosen("duration_seconds")),
      number_of_videos: Number(chosen("number_of_videos")),
    };
  }

  /** @param {Order} asked */
  async #send(asked) {
    if (asked.prompt === "") {
      this.#showProblem(t("prompt.empty"));
      this.#prompt.focus();
      return;
    }
    this.#busy(true);
    try {
      const answer = await generate(asked, keyOfOrder(JSON.stringify(asked)));
      this.#onSent({ ...asked, ...answer });
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.#onRefused(error);
    } finally {
      this.#busy(false);
    }
  }

  /** @param {HTMLElementEventMap["rushes:generated"]["detail"]} detail */
  #onSent(detail) {
    orderIsSettled();
    if (this.#prompt.value.trim() === detail.prompt) this.#prompt.value = "";
    this.#showProblem(null);
    this.#hint(t("prompt.sent"));
    this.dispatchEvent(new CustomEvent("rushes:generated", { bubbles: true, detail }));
  }

  /** @param {Refusal} refusal */
  #onRefused(refusal) {
    const { message: reason, details, retryAfter } = refusal;
    if (isSettled(refusal)) orderIsSettled();
    const lines = [reason, ...details.map(({ field, message }) => `${field} – ${message}`)];
    if (retryAfter) lines.push(t("prompt.wait", { time: duration(retryAfter) }));
    this.#showProblem(lines.join("\n"));
  }

  /** @param {boolean} yes */
  #busy(yes) {
    this.#sending = yes;
    const button = part(this.#form, "[type=submit]");
    button.setAttribute("aria-disabled", String(yes)); // "disabled" would take the focus away
    button.textContent = t(yes ? "prompt.sending" : "prompt.submit");
    if (yes) this.#hint("");
  }

  /** @param {string | null} text */
  #showProblem(text) {
    const problem = part(this, ".problem");
    problem.textContent = text ?? "";
    problem.hidden = text === null;
    this.#prompt.setAttribute("aria-invalid", String(text !== null));
  }

  /** @param {string} text */
  #hint(text) {
    part(this, ".hint").textContent = text;
  }
}
