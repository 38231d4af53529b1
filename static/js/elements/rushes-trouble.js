/** @import { Refusal } from "../refusal.js" */

import { duration } from "../format.js";
import { lang, t } from "../i18n.js";
import { signInUrl } from "../server.js";
import { slots } from "../slots.js";
import { wordsOf } from "../texts.js";

/**
 * What is wrong, and when it is tried again, counted down: for the eyes alone, since who hears the page has heard it
 * once. Where it is over by signing in, it leads there.
 *
 * @customElement rushes-trouble
 * @example
 *   <rushes-trouble hidden>
 *     <p role="status" data-slot="what"></p>
 *     <p data-slot="when" aria-hidden="true"></p>
 *     <a data-slot="sign-in" hidden></a>
 *   </rushes-trouble>
 */
export class RushesTrouble extends HTMLElement {
  /** @type {number | undefined} */
  #tick;
  #until = 0;

  disconnectedCallback() {
    clearInterval(this.#tick);
  }

  /**
   * @param {string} what
   * @param {object} [how]
   * @param {number | null} [how.retryIn] in ms; null where it is not tried again
   * @param {boolean} [how.signIn] whether signing in helps
   */
  show(what, { retryIn = null, signIn = false } = {}) {
    clearInterval(this.#tick);
    const parts = slots(this);
    if (parts.what.textContent !== what) parts.what.textContent = what; // or it would be read out again
    leadToSignIn(/** @type {HTMLAnchorElement} */ (parts["sign-in"]), signIn);
    parts.when.textContent = "";
    this.hidden = false;
    if (retryIn === null) return;
    this.#until = Date.now() + retryIn;
    this.#tick = setInterval(() => this.#count(), 250);
    this.#count();
  }

  hide() {
    clearInterval(this.#tick);
    this.hidden = true;
    slots(this).what.textContent = "";
  }

  #count() {
    const left = Math.ceil((this.#until - Date.now()) / 1000);
    const text = left > 0 ? t("retry.in", { time: duration(left) }) : t("retry.now");
    const { when } = slots(this);
    if (when.textContent !== text) when.textContent = text;
  }
}

/**
 * @param {HTMLAnchorElement} link
 * @param {boolean} shown
 */
export function leadToSignIn(link, shown) {
  const address = signInUrl();
  link.hidden = !shown || address === null;
  if (address !== null) link.href = address;
}

/**
 * Why a page is not live.
 *
 * @param {Pick<Refusal, "status" | "code" | "message">} refusal
 */
export function interrupted(refusal) {
  if (refusal.status === 401) return t("problem.signed-out");
  if (refusal.status === 429) return t("problem.connections");
  return `${t("problem.stream")}\n${wordsOf(lang, refusal)}`;
}
