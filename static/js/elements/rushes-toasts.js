import { stamp, t } from "../i18n.js";
import { part, slots } from "../slots.js";

const STAY = 8_000;
const MOST = 3;

/**
 * Short announcements that leave by themselves, unless one is at them. Each comes from `<template id="toast">`.
 *
 * @customElement rushes-toasts
 * @example
 *   <rushes-toasts aria-live="polite" role="region"></rushes-toasts>
 * @example
 *   toasts.add("ready", "Video ready", "A fox", () => card.scrollIntoView());
 */
export class RushesToasts extends HTMLElement {
  /** @type {Set<number>} */
  #timers = new Set();

  disconnectedCallback() {
    for (const timer of this.#timers) clearInterval(timer);
    this.#timers.clear();
  }

  /**
   * Announces something; with `onShow`, beside a button that calls it. Returns what it shows.
   *
   * @param {"ready" | "failed" | "notice"} kind
   * @param {string} heading
   * @param {string} [text]
   * @param {(() => void) | null} [onShow]
   * @param {{ label?: string, stay?: number }} [how] the words of the button, and milliseconds
   */
  add(kind, heading, text = "", onShow = null, { label = t("toast.show"), stay = STAY } = {}) {
    const content = stamp("toast");
    const parts = slots(content);
    const toast = part(content, ".toast");
    toast.dataset.kind = kind;
    parts.title.textContent = heading;
    parts.text.textContent = text;
    part(toast, "[data-action=close]").addEventListener("click", () => toast.remove());
    this.#wireShow(toast, onShow);
    part(toast, "[data-action=show]").textContent = label;
    this.append(content);
    while (this.children.length > MOST) this.firstElementChild?.remove();
    this.#removeLater(toast, stay);
    return toast;
  }

  /**
   * @param {HTMLElement} toast
   * @param {(() => void) | null} onShow
   */
  #wireShow(toast, onShow) {
    const button = part(toast, "[data-action=show]");
    button.hidden = onShow === null;
    button.addEventListener("click", () => {
      toast.remove();
      onShow?.();
    });
  }

  /**
   * Time runs only while nobody points at the toast or has focus in it.
   *
   * @param {HTMLElement} toast
   * @param {number} stay
   */
  #removeLater(toast, stay) {
    let left = stay;
    const timer = setInterval(() => {
      if (!toast.matches(":hover, :focus-within")) left -= 500;
      if (left > 0 && toast.isConnected) return;
      toast.remove();
      clearInterval(timer);
      this.#timers.delete(timer);
    }, 500);
    this.#timers.add(timer);
  }
}
