/** @import { Job } from "../jobs.js" */

import { title } from "../format.js";
import { stamp, t } from "../i18n.js";
import { isNewer } from "../live/ids.js";
import { part, slots } from "../slots.js";

const STAY = 8_000;
const MOST = 3;
const NAMED = 3; // of several

/** One that is told: by what event, of what, and what shows it. @typedef {{ eventId: string, name: string, show: () => void }} End */

/**
 * Short announcements that leave by themselves, unless one is at them. Each comes from `<template id="toast">`.
 *
 * @customElement rushes-toasts
 * @example
 *   <rushes-toasts aria-live="polite" role="region"></rushes-toasts>
 * @example
 *   toasts.add("notice", "Video deleted", "A fox", () => restore(), { label: "Undo" });
 * @example
 *   toasts.tell(job, () => card.scrollIntoView());
 */
export class RushesToasts extends HTMLElement {
  /** @type {Set<number>} */
  #timers = new Set();
  /** How long each still stays, in milliseconds. @type {WeakMap<Element, number>} */
  #left = new WeakMap();
  /** What there is to tell of ends, by their kind. @type {Map<string, { toast: HTMLElement, ends: End[] }>} */
  #ends = new Map();

  disconnectedCallback() {
    for (const timer of this.#timers) clearInterval(timer);
    this.#timers.clear();
  }

  /**
   * Announces that a job has ended, beside a button that calls `onShow`. Of several that are ready, or that have failed,
   * there is one announcement, whose button shows the newest.
   *
   * @param {Job} job
   * @param {() => void} onShow
   */
  tell(job, onShow) {
    const kind = job.state === "COMPLETED" ? "ready" : "failed";
    const end = { eventId: job.eventId, name: title(job), show: onShow };
    const told = this.#ends.get(kind);
    if (told?.toast.isConnected) return this.#tellMore(kind, told, end);
    const toast = this.add(kind, t(`toast.${kind}`), end.name, () => this.#ends.get(kind)?.ends[0].show());
    this.#ends.set(kind, { toast, ends: [end] });
  }

  /**
   * In its place: whoever is at it stays there. The one that ended last is the newest, not the one that was read last.
   *
   * @param {string} kind
   * @param {{ toast: HTMLElement, ends: End[] }} told
   * @param {End} end
   */
  #tellMore(kind, { toast, ends }, end) {
    const older = ends.findIndex(({ eventId }) => !isNewer(eventId, end.eventId));
    ends.splice(older < 0 ? ends.length : older, 0, end);
    const parts = slots(toast);
    parts.title.textContent = t(`toast.${kind}.several`, { count: ends.length });
    parts.text.textContent = ends.slice(0, NAMED).map(({ name }) => name).join(" · ");
    this.#left.set(toast, STAY);
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
   * Time runs only while the tab is shown, and nobody points at the toast or has focus in it.
   *
   * @param {HTMLElement} toast
   * @param {number} stay
   */
  #removeLater(toast, stay) {
    this.#left.set(toast, stay);
    const timer = setInterval(() => {
      const waits = document.hidden || toast.matches(":hover, :focus-within");
      const left = (this.#left.get(toast) ?? 0) - (waits ? 0 : 500);
      this.#left.set(toast, left);
      if (left > 0 && toast.isConnected) return;
      toast.remove();
      clearInterval(timer);
      this.#timers.delete(timer);
    }, 500);
    this.#timers.add(timer);
  }
}
