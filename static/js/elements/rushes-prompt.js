/** @import { Order } from "../api.js" */
/** @import { Job } from "../jobs.js" */

import { generate, getImage, getJob } from "../api.js";
import { takeDrops } from "../drops.js";
import { draft, keepDraft, keepSettings, settings, toComposeFrom } from "../draft.js";
import { duration, whole } from "../format.js";
import { t } from "../i18n.js";
import { settingsOf } from "../jobs.js";
import { keyOfOrder, orderIsSettled } from "../keys.js";
import { isGone, isSettled, Refusal } from "../refusal.js";
import { part, slots } from "../slots.js";
import { leadToSignIn } from "./rushes-trouble.js";

const HINT = 8_000;
const FILLED = Promise.resolve(true);
const SETTINGS = /** @type {const} */ (["aspect_ratio", "duration_seconds", "number_of_videos", "person_generation"]);
const COMMAND = /Mac|iP(hone|ad)/.test(navigator.platform);

/**
 * The form. Dispatches "rushes:generated" with the answer and what was asked for. `open` says that it is being used, and
 * shows all of it also where it is a line above the videos.
 *
 * @customElement rushes-prompt
 * @example
 *   <rushes-prompt>
 *     <form novalidate>
 *       <textarea name="prompt" required maxlength="10000"></textarea>
 *       <select name="aspect_ratio">…</select>
 *       <select name="duration_seconds">…</select>
 *       <select name="number_of_videos">…</select>
 *       <select name="person_generation">…</select>
 *       <rushes-image>…</rushes-image>
 *       <span data-slot="counter"></span>
 *       <button type="submit"><span data-slot="submit"></span><kbd data-slot="keys"></kbd></button>
 *       <p class="problem" role="alert" hidden></p>
 *       <p class="hint" role="status"></p>
 *     </form>
 *   </rushes-prompt>
 */
export class RushesPrompt extends HTMLElement {
  /** @type {HTMLFormElement} */
  #form;
  /** @type {Record<string, HTMLElement>} */
  #slots;
  #sending = false;
  /** Whether all that is to be in the form is there, once it is known. */
  #filling = FILLED;
  /** What the user has chosen since an order was put into the form. @type {Set<string>} */
  #touched = new Set();
  /** @type {number | undefined} */
  #hintEnds;
  #listening = new AbortController();

  connectedCallback() {
    this.#form = part(this, "form");
    this.#slots = slots(this.#form);
    this.#listening = new AbortController();
    const { signal } = this.#listening;
    const form = this.#form;
    form.addEventListener("submit", (event) => this.#onSubmit(event), { signal });
    form.addEventListener("keydown", (event) => this.#onKey(event), { signal });
    form.addEventListener("input", ({ target }) => this.#onInput(target), { signal });
    form.addEventListener("focusin", () => this.#open(), { signal });
    form.addEventListener("paste", (event) => this.#onBrought(event, event.clipboardData), { signal });
    takeDrops({
      show: (over) => this.toggleAttribute("dropping", over),
      take: (event) => this.#onBrought(event, event.dataTransfer),
      signal,
    });
    form.addEventListener("rushes:image", ({ detail }) => this.#onImage(detail), { signal });
    document.addEventListener("pointerdown", ({ target }) => this.#onPress(target), { signal });
    for (const [name, value] of settings()) this.#choose(name, value);
    this.#prompt.value = draft();
    this.#slots.keys.textContent = COMMAND ? "⌘ ⏎" : "Ctrl ⏎";
    this.#count();
    const id = toComposeFrom();
    if (id !== null) this.#complete(id, { prompt: draft() });
  }

  disconnectedCallback() {
    this.#listening.abort();
    clearTimeout(this.#hintEnds);
  }

  get #prompt() {
    return part(this.#form, "textarea");
  }

  get #image() {
    return part(this.#form, "rushes-image");
  }

  /**
   * Puts an order into the form, for the user to change and send. What it does not say, or the form does not offer,
   * stays as it is.
   *
   * @param {Partial<Order>} order
   */
  propose({ prompt: text = "", ...chosen }) {
    const prompt = this.#prompt;
    this.#touched = new Set();
    this.#filling = FILLED;
    prompt.value = text;
    for (const [name, value] of Object.entries(chosen)) this.#choose(name, String(value));
    this.#onInput(prompt);
    this.#open();
    prompt.focus();
    prompt.setSelectionRange(text.length, text.length);
  }

  /**
   * Puts into the form what a job was ordered with: what is known of it at once, its persons and its image once they are
   * read. What the user chooses meanwhile stays, and what he sends meanwhile waits.
   *
   * @param {Job} job
   */
  reuse(job) {
    this.#complete(job.id, settingsOf(job));
  }

  /**
   * @param {string} id
   * @param {Partial<Order>} order what is known of it
   */
  #complete(id, order) {
    this.#image.clear();
    this.propose(order);
    this.#filling = this.#fill(id, this.#touched);
  }

  /**
   * Says what is wrong where it cannot be done: then nothing that waits for it is sent.
   *
   * @param {string} id
   * @param {Set<string>} touched that of another order, once there is one
   */
  async #fill(id, touched) {
    let problem = "reuse.unread";
    try {
      const read = await getJob(id);
      if (touched !== this.#touched) return true;
      for (const name of SETTINGS) if (read[name] != null && !touched.has(name)) this.#choose(name, String(read[name]));
      problem = "reuse.image-unread";
      if (!read.input_image || await this.#image.takeWhenRead(getImage(id))) return true;
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      if (touched !== this.#touched) return true;
      const isKept = problem !== "reuse.image-unread" || !isGone(error);
      this.#showProblem(isKept ? `${t(problem)}\n${error.message}` : t("reuse.no-image"));
    }
    this.#filling = FILLED;
    return false;
  }

  /**
   * @param {string} name
   * @param {string} value
   */
  #choose(name, value) {
    const select = this.#form.elements.namedItem(name);
    if (!(select instanceof HTMLSelectElement)) return;
    if ([...select.options].some((option) => option.value === value)) select.value = value;
  }

  #open() {
    this.setAttribute("open", "");
  }

  // Who has begun to write, and looks at a video meanwhile, finds it open.
  #close() {
    if (this.#prompt.value.trim() === "" && this.#image.value === null) this.removeAttribute("open");
  }

  /** @param {EventTarget | null} target */
  #onPress(target) {
    if (!this.contains(/** @type {Node} */ (target))) this.#close();
  }

  /** @param {SubmitEvent} event */
  #onSubmit(event) {
    event.preventDefault();
    if (!this.#sending) this.#send();
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.#form.requestSubmit();
    if (event.key === "Escape") this.#close();
  }

  /** @param {EventTarget | null} target */
  #onInput(target) {
    this.#open();
    if (target === this.#prompt) keepDraft(this.#prompt.value);
    else keepSettings(this.#chosen());
    if (target instanceof HTMLSelectElement) this.#touched.add(target.name);
    this.#showProblem(null);
    this.#hint("");
    this.#count();
  }

  /**
   * @param {Event} event
   * @param {DataTransfer | null} brought
   */
  #onBrought(event, brought) {
    if (!this.#image.takeFrom(brought)) return;
    event.preventDefault();
    this.#open();
  }

  /** @param {string | null} problem */
  #onImage(problem) {
    this.#showProblem(problem);
    this.#hint("");
  }

  #count() {
    const { value: { length }, maxLength } = this.#prompt;
    this.#slots.counter.textContent = length === 0 ? "" : `${whole(length)} / ${whole(maxLength)}`;
  }

  /** @returns {Record<string, string>} */
  #chosen() {
    const selects = [...this.#form.elements].filter((node) => node instanceof HTMLSelectElement);
    return Object.fromEntries(selects.map(({ name, value }) => [name, value]));
  }

  /** @returns {Order} */
  #asked() {
    const chosen = this.#chosen();
    const image = this.#image.value;
    return {
      prompt: this.#prompt.value.trim(),
      aspect_ratio: chosen.aspect_ratio,
      duration_seconds: Number(chosen.duration_seconds),
      number_of_videos: Number(chosen.number_of_videos),
      person_generation: chosen.person_generation,
      ...(image !== null && { input_image_base64: image }),
    };
  }

  async #send() {
    if (this.#prompt.value.trim() === "") {
      this.#showProblem(t("prompt.empty"));
      this.#prompt.focus();
      return;
    }
    this.#busy(true);
    try {
      if (!(await this.#filling)) return;
      const asked = this.#asked();
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
    if (this.#image.value === (detail.input_image_base64 ?? null)) this.#image.clear();
    if (this.#prompt.value.trim() === detail.prompt) this.#prompt.value = "";
    keepDraft(this.#prompt.value);
    this.#count();
    this.#showProblem(null);
    this.#hint(t("prompt.sent"));
    this.#close();
    this.dispatchEvent(new CustomEvent("rushes:generated", { bubbles: true, detail }));
  }

  /** @param {Refusal} refusal */
  #onRefused(refusal) {
    const { message: reason, details, retryAfter } = refusal;
    if (isSettled(refusal)) orderIsSettled();
    const lines = [reason, ...details.map(({ field }) => t("refusal.field", { field }))];
    if (retryAfter) lines.push(t("prompt.wait", { time: duration(retryAfter) }));
    this.#showProblem(lines.join("\n"));
    leadToSignIn(/** @type {HTMLAnchorElement} */ (this.#slots["sign-in"]), refusal.status === 401);
  }

  /** @param {boolean} yes */
  #busy(yes) {
    this.#sending = yes;
    const button = part(this.#form, "[type=submit]");
    button.setAttribute("aria-disabled", String(yes)); // "disabled" would take the focus away
    this.#slots.submit.textContent = t(yes ? "prompt.sending" : "prompt.submit");
    if (yes) this.#hint("");
  }

  /** @param {string | null} text */
  #showProblem(text) {
    const problem = part(this, ".problem");
    problem.textContent = text ?? "";
    problem.hidden = text === null;
    this.#slots["sign-in"].hidden = true;
    this.#prompt.setAttribute("aria-invalid", String(text !== null));
  }

  /** @param {string} text */
  #hint(text) {
    clearTimeout(this.#hintEnds);
    part(this, ".hint").textContent = text;
    if (text !== "") this.#hintEnds = setTimeout(() => this.#hint(""), HINT);
  }
}
