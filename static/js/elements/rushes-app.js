/** @import { Job } from "../jobs.js" */
/** @import { LiveState } from "../live/connection.js" */
/** @import { RushesJob } from "./rushes-job.js" */

import { duration, title } from "../format.js";
import { Gallery } from "../gallery.js";
import { t } from "../i18n.js";
import { Refusal } from "../refusal.js";
import { part, slots } from "../slots.js";
import { tellTab } from "../tab.js";

/**
 * The whole page: shows a gallery in cards, and joins it with the elements inside it. `view` is "loading", "filled",
 * "empty", "problem" or "signed-out".
 *
 * @customElement rushes-app
 * @example
 *   <rushes-app view="loading">
 *     <rushes-connection state="connecting"><span class="connection-text"></span></rushes-connection>
 *     <rushes-bell hidden><button type="button" aria-pressed="false"></button></rushes-bell>
 *     <p role="status" data-slot="banner" hidden></p>
 *     <rushes-prompt>…</rushes-prompt>
 *     <section id="gallery" tabindex="-1">
 *       <p data-slot="count"></p>
 *       <div role="alert" data-slot="problem" hidden><p></p><button data-action="reload"></button></div>
 *       <div data-slot="grid"></div>
 *       <button type="button" data-action="more" data-slot="more" hidden></button>
 *     </section>
 *     <rushes-toasts aria-live="polite"></rushes-toasts>
 *   </rushes-app>
 */
export class RushesApp extends HTMLElement {
  /** @type {Record<string, HTMLElement>} */
  #slots;
  /** @type {Map<string, RushesJob>} */
  #cards = new Map();
  /** @type {number | undefined} */
  #clock;
  /** @type {number | undefined} */
  #second;
  #listening = new AbortController();
  #gallery = new Gallery({
    show: (job, place) => this.#show(job, place),
    remove: (job) => this.#remove(job),
    refresh: () => this.#updateView(),
    announce: (job) => this.#announce(job),
    connection: (state) => this.#onConnection(state),
    failed: (refusal, retryIn) => this.#onLoadFailed(refusal, retryIn),
    signedOut: () => this.#onSignedOut(),
    read: () => this.#showProblem(null),
  });

  connectedCallback() {
    this.#slots = slots(this);
    this.#listen();
    this.#clock = setInterval(() => this.#refreshTimes(), 30_000);
    this.#second = setInterval(() => tellTab(this.#gallery.unfinished), 1_000);
    this.#gallery.load();
  }

  disconnectedCallback() {
    this.#listening.abort();
    clearInterval(this.#clock);
    clearInterval(this.#second);
    this.#gallery.close();
  }

  #listen() {
    this.#listening = new AbortController();
    const { signal } = this.#listening;
    window.addEventListener("focus", () => this.#onFocus(), { signal });
    this.addEventListener("rushes:generated", ({ detail }) => this.#onGenerated(detail), { signal });
    this.addEventListener("rushes:dismiss", ({ target }) => this.#dismiss(cardOf(target)), { signal });
    this.addEventListener("rushes:reuse", ({ target }) => this.#reuse(cardOf(target)), { signal });
    this.addEventListener("rushes:refresh", ({ target }) => this.#gallery.refreshFiles(cardOf(target).job), { signal });
    this.addEventListener("rushes:notice", ({ detail }) => this.#toasts.add("notice", detail.text), { signal });
    this.addEventListener("click", (event) => this.#onClick(event), { signal });
    // Media events do not bubble.
    this.addEventListener("play", ({ target }) => this.#onPlay(target), { signal, capture: true });
  }

  get #prompt() {
    return part(this, "rushes-prompt");
  }

  get #toasts() {
    return part(this, "rushes-toasts");
  }

  // -- What the gallery tells

  /**
   * @param {Job} job
   * @param {"prepend" | "append"} place
   */
  #show(job, place) {
    const card = this.#cards.get(job.id);
    if (card) card.update();
    else this.#addCard(job, place);
  }

  /**
   * @param {Job} job
   * @param {"prepend" | "append"} place
   */
  #addCard(job, place) {
    const card = document.createElement("rushes-job");
    card.job = job;
    this.#cards.set(job.id, card);
    this.#slots.grid[place](card);
  }

  /** @param {Job} job */
  #remove(job) {
    this.#cards.get(job.id)?.remove();
    this.#cards.delete(job.id);
  }

  /** @param {Job} job */
  #announce(job) {
    if (!this.isConnected) return;
    const ready = job.state === "COMPLETED";
    const heading = t(ready ? "toast.ready" : "toast.failed");
    const text = ready ? title(job) : job.error || title(job);
    const show = () => this.#reveal(job);
    this.#toasts.add(ready ? "ready" : "failed", heading, text, show);
    part(this, "rushes-bell").notify(heading, { body: text, tag: job.id, onClick: show });
  }

  /** @param {Job} job */
  #reveal(job) {
    const card = this.#cards.get(job.id);
    if (!card) return;
    card.scrollIntoView({ block: "center" });
    const player = /** @type {HTMLElement | null} */ (card.querySelector("rushes-video:not([hidden]) video"));
    (player ?? part(card, ".prompt")).focus({ preventScroll: true });
  }

  /** @param {LiveState} state */
  #onConnection({ state, error, retryIn }) {
    part(this, "rushes-connection").setAttribute("state", state);
    const { banner } = this.#slots;
    if (state === "live") banner.hidden = true;
    if (!error) return;
    const again = retryIn === null ? "" : `\n${retryingIn(retryIn)}`;
    banner.textContent = `${interrupted(error)}${again}`;
    banner.hidden = false;
  }

  /**
   * @param {Refusal} refusal
   * @param {number} retryIn
   */
  #onLoadFailed(refusal, retryIn) {
    part(this, "rushes-connection").setAttribute("state", "offline");
    const unread = `${t("problem.gallery")}\n${refusal.message}`;
    const reason = refusal.status === 401 ? t("problem.signed-out") : unread;
    this.#showProblem(`${reason}\n${retryingIn(retryIn)}`);
  }

  #onSignedOut() {
    part(this, "rushes-connection").setAttribute("state", "offline");
    this.setAttribute("view", "signed-out");
    this.#showProblem(null);
  }

  /** @param {string | null} text */
  #showProblem(text) {
    const { problem } = this.#slots;
    problem.hidden = text === null;
    part(problem, "p").textContent = text ?? "";
    if (text !== null && this.getAttribute("view") === "loading") this.setAttribute("view", "problem");
  }

  #updateView() {
    const { size, unfinished: { length: count }, hasMore } = this.#gallery;
    this.setAttribute("view", size === 0 ? "empty" : "filled");
    this.#slots.count.textContent = count === 0 ? "" : t("gallery.active", { count });
    this.#slots.more.hidden = !hasMore;
    tellTab(this.#gallery.unfinished);
  }

  #refreshTimes() {
    for (const card of this.#cards.values()) card.refreshFacts();
  }

  // -- What the user does

  // Who comes back from signing in elsewhere wants to see the page at once.
  #onFocus() {
    if (this.getAttribute("view") === "signed-out") this.#gallery.load();
  }

  /** @param {HTMLElementEventMap["rushes:generated"]["detail"]} started */
  #onGenerated(started) {
    const job = this.#gallery.add(started);
    this.#cards.get(job.id)?.scrollIntoView({ block: "nearest" });
  }

  /** @param {RushesJob} card */
  #dismiss(card) {
    const next = card.nextElementSibling ?? card.previousElementSibling;
    this.#gallery.dismiss(card.job);
    part(next ?? this, next ? ".prompt" : "#gallery").focus();
  }

  /** @param {RushesJob} card */
  #reuse({ job }) {
    if (job.prompt !== null) this.#prompt.propose(job.prompt);
  }

  /** @param {MouseEvent} event */
  #onClick({ target }) {
    /** @type {HTMLElement | null} */
    const button = /** @type {Element} */ (target).closest("[data-action]");
    if (button?.dataset.action === "reload") this.#gallery.load();
    if (button?.dataset.action === "more") this.#loadMore();
    if (button?.dataset.action === "idea") this.#prompt.propose(button.textContent);
  }

  async #loadMore() {
    if (this.#slots.more.getAttribute("aria-disabled") === "true") return;
    this.#setMoreBusy(true);
    try {
      await this.#gallery.more();
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.#toasts.add("failed", t("problem.gallery"), error.message);
    } finally {
      this.#setMoreBusy(false);
      this.#updateView();
    }
  }

  /** @param {boolean} yes */
  #setMoreBusy(yes) {
    this.#slots.more.setAttribute("aria-disabled", String(yes));
    this.#slots.more.textContent = t(yes ? "gallery.more-loading" : "gallery.more");
  }

  /** @param {EventTarget | null} player */
  #onPlay(player) {
    for (const other of this.querySelectorAll("video")) if (other !== player) other.pause();
  }
}

/**
 * The card in which something happened.
 *
 * @param {EventTarget | null} target
 */
function cardOf(target) {
  return /** @type {RushesJob} */ (/** @type {Element} */ (target).closest("rushes-job"));
}

/** @param {number} milliseconds */
const retryingIn = (milliseconds) => t("retry.in", { time: duration(Math.ceil(milliseconds / 1000)) });

/**
 * Why the page is not live.
 *
 * @param {Pick<Refusal, "status" | "message">} refusal
 */
function interrupted({ status, message }) {
  if (status === 401) return t("problem.signed-out");
  if (status === 429) return t("problem.connections");
  return `${t("problem.stream")}\n${message}`;
}
