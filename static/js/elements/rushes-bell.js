/** @import { Job } from "../jobs.js" */

import { t } from "../i18n.js";
import { announce, arePossible, areWanted, leave, subscribe, unsubscribe, want } from "../notifications.js";
import { part } from "../slots.js";

/**
 * Asks for the right to notify when it is clicked, never by itself. Says what happened with "rushes:notice", and which
 * job somebody wants to see who clicked a notification with "rushes:reveal". It is hidden where there are no
 * notifications.
 *
 * @customElement rushes-bell
 * @example
 *   <rushes-bell hidden>
 *     <button type="button" aria-pressed="false"></button>
 *   </rushes-bell>
 * @example
 *   bell.notify(job);
 */
export class RushesBell extends HTMLElement {
  /** @type {HTMLElement} */
  #button;
  #listening = new AbortController();
  #subscribed = false; // in this page's life

  connectedCallback() {
    this.#button = part(this, "button");
    this.hidden = !arePossible;
    this.#render();
    if (!arePossible) return;
    this.#listening = new AbortController();
    const { signal } = this.#listening;
    this.#button.addEventListener("click", () => this.#toggle(), { signal });
    window.addEventListener("storage", () => this.#render(), { signal }); // turned on or off in another tab
    navigator.serviceWorker.addEventListener("message", ({ data }) => this.#onMessage(data), { signal });
  }

  disconnectedCallback() {
    this.#listening.abort();
  }

  /**
   * Shows that a job has ended, if the user wants to know. Also while this tab is shown: a window that others cover is
   * not hidden, and the user may look at another screen.
   *
   * @param {Job} job
   */
  async notify(job) {
    await announce(job);
  }

  /** Somebody is signed in: he is told while no page is open, too, if he wants to be. */
  async signedIn() {
    if (this.#subscribed || !areWanted()) return;
    this.#subscribed = true;
    this.#subscribed = await subscribe();
  }

  /** Nobody is: what comes is not for whoever sits here next. */
  async signedOut() {
    this.#subscribed = false;
    if (arePossible) await leave();
  }

  async #toggle() {
    const off = areWanted();
    if (off) want(false);
    else if ((await Notification.requestPermission()) === "granted") want(true);
    this.#render();
    if (off) return this.#leave();
    if (Notification.permission === "denied") return this.#say(t("bell.blocked"));
    if (!areWanted()) return;
    this.#subscribed = await subscribe();
    this.#say(t(this.#subscribed ? "bell.enabled-closed" : "bell.enabled"));
  }

  async #leave() {
    this.#subscribed = false;
    await unsubscribe();
  }

  #render() {
    const label = t(areWanted() ? "bell.off" : "bell.on");
    this.#button.setAttribute("aria-pressed", String(areWanted()));
    this.#button.setAttribute("aria-label", t("bell.on"));
    this.#button.title = label;
  }

  /** @param {{ reveal?: string }} message of the service worker */
  #onMessage({ reveal }) {
    if (reveal) this.dispatchEvent(new CustomEvent("rushes:reveal", { bubbles: true, detail: { id: reveal } }));
  }

  /** @param {string} text */
  #say(text) {
    this.dispatchEvent(new CustomEvent("rushes:notice", { bubbles: true, detail: { text } }));
  }
}
