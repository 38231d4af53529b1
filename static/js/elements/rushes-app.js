/** @import { Job } from "../jobs.js" */
/** @import { LiveState } from "../live/connection.js" */
/** @import { Place } from "../gallery.js" */
/** @import { Act, RushesJob } from "./rushes-job.js" */

import { duration, title } from "../format.js";
import { Gallery } from "../gallery.js";
import { t } from "../i18n.js";
import { settingsOf } from "../jobs.js";
import { Refusal } from "../refusal.js";
import { part, slots } from "../slots.js";
import { tellTab } from "../tab.js";

const UNDO = 10_000;

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
  /** @type {Set<string>} */
  #acting = new Set(); // jobs to which something is being done
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
    this.addEventListener("rushes:act", ({ target, detail }) => this.#act(cardOf(target), detail), { signal });
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
   * @param {Place} place
   */
  #show(job, place) {
    const card = this.#cards.get(job.id);
    if (card) card.update();
    else this.#addCard(job, place);
  }

  /**
   * @param {Job} job
   * @param {Place} place
   */
  #addCard(job, place) {
    const card = document.createElement("rushes-job");
    card.job = job;
    this.#cards.set(job.id, card);
    if (place === "among") this.#slots.grid.insertBefore(card, this.#olderThan(job));
    else this.#slots.grid[place](card);
  }

  /** @param {Job} job */
  #olderThan({ state, created_at: created }) {
    const cards = /** @type {RushesJob[]} */ ([...this.#slots.grid.children]);
    return cards.find(({ job }) => job.state === state && String(job.created_at) < String(created)) ?? null;
  }

  /**
   * Where the focus was in the card, it goes to the one that takes its place.
   *
   * @param {Job} job
   */
  #remove(job) {
    const card = this.#cards.get(job.id);
    if (!card) return;
    const focused = card.contains(document.activeElement);
    const next = card.nextElementSibling ?? card.previousElementSibling;
    card.remove();
    this.#cards.delete(job.id);
    if (focused) part(next ?? this, next ? ".prompt" : "#gallery").focus();
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

  /**
   * @param {RushesJob} card
   * @param {{ act: Act, byKeyboard: boolean }} what
   */
  #act({ job }, { act, byKeyboard }) {
    if (act === "reuse") this.#prompt.propose(settingsOf(job));
    if (act === "cancel") this.#try(job, t("problem.cancel"), () => this.#gallery.cancel(job));
    if (act === "dismiss") this.#try(job, t("problem.dismiss"), () => this.#gallery.dismiss(job));
    if (act === "delete") this.#try(job, t("problem.delete"), () => this.#delete(job, byKeyboard));
    if (act === "again") this.#try(job, t("problem.again"), () => this.#again(job));
  }

  /**
   * Does it, unless something is being done to this job already, and says so where it is refused.
   *
   * @param {Job} job
   * @param {string} problem
   * @param {() => Promise<void>} act
   */
  async #try(job, problem, act) {
    if (this.#acting.has(job.id)) return;
    this.#acting.add(job.id);
    try {
      await act();
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.#toasts.add("failed", problem, error.message);
    } finally {
      this.#acting.delete(job.id);
    }
  }

  /**
   * Who works with the keyboard finds the way back under the fingers: the toast is far from the card, and leaves soon.
   *
   * @param {Job} job
   * @param {boolean} byKeyboard
   */
  async #delete(job, byKeyboard) {
    await this.#gallery.delete(job);
    const undo = () => this.#try(job, t("problem.restore"), () => this.#restore(job));
    const toast = this.#toasts.add("notice", t("toast.deleted"), title(job), undo, { label: t("toast.undo"), stay: UNDO });
    if (byKeyboard) part(toast, "[data-action=show]").focus();
  }

  /** @param {Job} job */
  async #restore(job) {
    await this.#gallery.restore(job);
    this.#reveal(job);
  }

  /** @param {Job} job */
  async #again(job) {
    const next = await this.#gallery.again(job);
    this.#reveal(next);
    // It was read, and acted upon. Where that is refused, it stays to be dismissed.
    if (job.state === "FAILED") await this.#gallery.dismiss(job).catch(() => {});
  }

  /** @param {MouseEvent} event */
  #onClick({ target }) {
    /** @type {HTMLElement | null} */
    const button = /** @type {Element} */ (target).closest("[data-action]");
    if (button?.dataset.action === "reload") this.#gallery.load();
    if (button?.dataset.action === "more") this.#loadMore();
    if (button?.dataset.action === "idea") this.#prompt.propose({ prompt: button.textContent });
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
