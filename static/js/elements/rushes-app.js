/** @import { Job } from "../jobs.js" */
/** @import { LiveState } from "../live/connection.js" */
/** @import { Act, RushesJob } from "./rushes-job.js" */
/** @import { RushesTrouble } from "./rushes-trouble.js" */

import { Browse } from "../browse.js";
import { Cards } from "../cards.js";
import { title } from "../format.js";
import { Gallery } from "../gallery.js";
import { switchLanguage, t } from "../i18n.js";
import { willReturn } from "../place.js";
import { Refusal } from "../refusal.js";
import { takesOrders } from "../server.js";
import { isInSight } from "../sight.js";
import { part, slots } from "../slots.js";
import { tellTab } from "../tab.js";
import { interrupted, leadToSignIn } from "./rushes-trouble.js";

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
 *     <rushes-trouble class="banner" hidden>…</rushes-trouble>
 *     <rushes-prompt>…</rushes-prompt>
 *     <section id="gallery" tabindex="-1">
 *       <p data-slot="count"></p>
 *       <div data-slot="strip" hidden></div>
 *       <button type="button" data-action="news" data-slot="news" hidden></button>
 *       <rushes-trouble class="problem" hidden>…</rushes-trouble>
 *       <div data-slot="grid"></div>
 *       <button type="button" data-action="more" data-slot="more" hidden></button>
 *     </section>
 *     <rushes-toasts aria-live="polite"></rushes-toasts>
 *   </rushes-app>
 */
export class RushesApp extends HTMLElement {
  /** @type {Record<string, HTMLElement>} */
  #slots;
  /** @type {Cards} */
  #cards;
  /** @type {Browse} */
  #browse;
  /** @type {number | undefined} */
  #clock;
  /** @type {number | undefined} */
  #second;
  /** @type {Set<string>} */
  #acting = new Set(); // jobs to which something is being done
  #listening = new AbortController();
  #gallery = new Gallery({
    show: (job, live) => this.#cards.show(job, live),
    remove: (job) => this.#remove(job),
    hear: (event) => this.#browse.results.hear(event),
    refresh: () => this.#updateView(),
    announce: (job) => this.#announce(job),
    connection: (state) => this.#onConnection(state),
    failed: (refusal, retryIn) => this.#onLoadFailed(refusal, retryIn),
    signedOut: () => this.#onSignedOut(),
    read: () => this.#onRead(),
  });

  connectedCallback() {
    this.#slots = slots(this);
    this.#cards = new Cards(this.#slots.strip, this.#slots.grid);
    this.#browse = new Browse(this, this.#slots, this.#gallery, (refusal) => this.#onPageRefused(refusal));
    if (!takesOrders) Object.assign(part(this, "#gallery-title"), { role: "heading", ariaLevel: "1" }); // the first one
    this.#listen();
    this.#clock = setInterval(() => this.#refreshTimes(), 30_000);
    this.#second = setInterval(() => this.#tellTab(), 1_000);
    this.#open();
  }

  disconnectedCallback() {
    this.#listening.abort();
    this.#browse.close();
    clearInterval(this.#clock);
    clearInterval(this.#second);
    this.#gallery.close();
  }

  async #open() {
    await this.#browse.load();
    await this.#browse.restore();
    const { query } = this.#search;
    if (query) await this.#browse.search(query);
  }

  #listen() {
    this.#listening = new AbortController();
    const { signal } = this.#listening;
    window.addEventListener("focus", () => this.#onFocus(), { signal });
    this.addEventListener("rushes:generated", ({ detail }) => this.#onGenerated(detail), { signal });
    this.addEventListener("rushes:act", ({ target, detail }) => this.#act(cardOf(target), detail), { signal });
    this.addEventListener("rushes:refresh", ({ target }) => this.#refreshFiles(cardOf(target)), { signal });
    this.addEventListener("rushes:search", ({ detail }) => this.#browse.search(detail), { signal });
    for (const left of ["pagehide", "visibilitychange"]) {
      window.addEventListener(left, () => this.#browse.leave(), { signal });
    }
    this.addEventListener("rushes:notice", ({ detail }) => this.#toasts.add("notice", detail.text), { signal });
    this.addEventListener("rushes:reveal", ({ detail }) => this.#revealId(detail.id), { signal });
    this.addEventListener("click", (event) => this.#onClick(event), { signal });
    // Media events do not bubble.
    this.addEventListener("play", ({ target }) => this.#onPlay(target), { signal, capture: true });
  }

  get #prompt() {
    return part(this, "rushes-prompt");
  }

  get #banner() {
    return /** @type {RushesTrouble} */ (part(this, ".banner"));
  }

  get #problem() {
    return /** @type {RushesTrouble} */ (part(this, "#gallery > .problem"));
  }

  get #search() {
    return part(this, "rushes-search");
  }

  get #toasts() {
    return part(this, "rushes-toasts");
  }

  // -- What the gallery tells

  /**
   * Where the focus was in the card, it goes to the one that takes its place.
   *
   * @param {Job} job
   */
  #remove(job) {
    this.#browse.results.remove(job.id);
    const card = this.#cards.get(job.id);
    if (!card) return;
    const focused = card.contains(document.activeElement);
    const next = card.nextElementSibling ?? card.previousElementSibling;
    this.#cards.remove(job);
    if (focused) part(next ?? this, next ? "article" : "#gallery").focus();
  }

  /** @param {Job} job */
  #announce(job) {
    if (!this.isConnected) return;
    if (!isInSight(this.#cards.get(job.id))) this.#toasts.tell(job, () => this.#reveal(job));
    part(this, "rushes-bell").notify(job);
  }

  /** @param {string} id */
  #revealId(id) {
    const card = this.#cards.get(id);
    if (card) this.#reveal(card.job);
    else location.assign(`/jobs/${encodeURIComponent(id)}`); // of a page that was not read
  }

  /** @param {Job} job */
  #reveal(job) {
    this.#search.clear();
    const card = this.#cards.get(job.id);
    if (!card) return;
    card.scrollIntoView({ block: "center" });
    card.handle.focus({ preventScroll: true });
  }

  /** @param {LiveState} state */
  #onConnection({ state, error, retryIn }) {
    this.#showConnection(state === "over" ? "offline" : state);
    if (state === "live") this.#banner.hide();
    else if (error) this.#banner.show(interrupted(error), { retryIn, signIn: error.status === 401 });
    else if (state === "offline" && !navigator.onLine) this.#banner.show(t("problem.offline"));
  }

  /** @param {"connecting" | "live" | "offline"} state */
  #showConnection(state) {
    part(this, "rushes-connection").setAttribute("state", state);
    this.toggleAttribute("unheard", state === "offline");
  }

  /**
   * @param {Refusal} refusal
   * @param {number} retryIn
   */
  #onLoadFailed(refusal, retryIn) {
    this.#showConnection("offline");
    const isSignedOut = refusal.status === 401;
    const what = isSignedOut ? t("problem.signed-out") : `${t("problem.gallery")}\n${refusal.message}`;
    this.#problem.show(what, { retryIn, signIn: isSignedOut });
    if (this.getAttribute("view") === "loading") this.setAttribute("view", "problem");
  }

  #onRead() {
    this.#problem.hide();
    part(this, "rushes-bell").signedIn();
  }

  #onSignedOut() {
    part(this, "rushes-bell").signedOut();
    this.#showConnection("offline");
    this.setAttribute("view", "signed-out");
    leadToSignIn(/** @type {HTMLAnchorElement} */ (part(this, ".signed-out a")), true);
    this.#problem.hide();
  }

  #updateView() {
    const { size, unfinished: { length: count } } = this.#gallery;
    this.setAttribute("view", size === 0 ? "empty" : "filled");
    this.#slots.count.textContent = count === 0 ? "" : t("gallery.active", { count });
    this.#browse.update();
    this.#showNews();
    this.#tellTab();
  }

  // While nothing is heard, nothing is known of how far they are.
  #tellTab() {
    if (!this.hasAttribute("unheard")) tellTab(this.#gallery.unfinished);
  }

  #showNews() {
    const { length: count } = this.#cards.fresh;
    this.#slots.news.hidden = count === 0;
    this.#slots.news.textContent = t(count === 1 ? "gallery.news.one" : "gallery.news", { count });
  }

  #refreshTimes() {
    for (const card of this.#cards.all()) card.refreshFacts();
  }

  // -- What the user does

  // Who comes back from signing in elsewhere wants to see the page at once.
  #onFocus() {
    if (this.getAttribute("view") === "signed-out") this.#gallery.load();
  }

  /** @param {HTMLElementEventMap["rushes:generated"]["detail"]} started */
  #onGenerated(started) {
    const job = this.#gallery.add(started);
    this.#search.clear();
    this.#cards.get(job.id)?.scrollIntoView({ block: "nearest" });
  }

  /**
   * @param {RushesJob} card
   * @param {{ act: Act, byKeyboard: boolean }} what
   */
  #act({ job }, { act, byKeyboard }) {
    if (act === "reuse") this.#prompt.reuse(job);
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
    const pressed = /** @type {Element} */ (target);
    /** @type {HTMLElement | null} */
    const button = pressed.closest("[data-action]");
    const text = button?.textContent ?? "";
    /** @type {Record<string, () => void>} */
    const actions = {
      reload: () => this.#gallery.load(),
      more: () => this.#browse.more(),
      news: () => this.#showFresh(),
      clear: () => this.#search.clear(),
      language: switchLanguage,
      idea: () => this.#prompt.propose({ prompt: text }),
    };
    actions[button?.dataset.action ?? ""]?.();
    if (pressed.closest("[data-slot=sign-in]")) willReturn();
  }

  #showFresh() {
    const newest = this.#cards.admit();
    this.#updateView();
    if (newest) this.#reveal(newest.job);
  }

  /** @param {Refusal} refusal */
  #onPageRefused({ message }) {
    this.#toasts.add("failed", t("problem.gallery"), message);
  }

  /** @param {RushesJob} card */
  async #refreshFiles(card) {
    await this.#gallery.refreshFiles(card.job);
    card.update();
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
