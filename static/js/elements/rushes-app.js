import { getGallery, getJob } from "../api.js";
import { forgetFailure, rememberFailure, rememberedFailures } from "../failures.js";
import { duration, title } from "../format.js";
import { t } from "../i18n.js";
import { applyDetails, applyEvent, applyItem, isUnfinished, newJob } from "../jobs.js";
import { NONE } from "../live/ids.js";
import { Backoff } from "../live/backoff.js";
import { subscribe } from "../live.js";
import { isGone, Refusal } from "../refusal.js";
import { slots } from "../slots.js";

const SIGN_IN_WAIT = 30_000;
const CALM = 60_000;

/**
 * `<rushes-app>`: joins the gallery's first page, the live stream that continues from it, and the cards.
 *
 * The page is always read while no stream is open, and the stream starts where the page was read. So a page and an
 * event never compete: what the stream brings is newer than what was fetched.
 */
export class RushesApp extends HTMLElement {
  #slots = null;
  #cards = new Map();
  #unsubscribe = () => {};
  #cursor = null;
  #loads = 0;
  #backoff = new Backoff(CALM);
  #retry = null;
  #clock = null;
  #listening = null;

  connectedCallback() {
    this.#slots = slots(this);
    this.#listen();
    this.#clock = setInterval(() => this.#refreshTimes(), 30_000);
    this.#load();
  }

  disconnectedCallback() {
    this.#listening.abort();
    clearInterval(this.#clock);
    clearTimeout(this.#retry);
    this.#loads += 1;
    this.#unsubscribe();
  }

  #listen() {
    this.#listening = new AbortController();
    const { signal } = this.#listening;
    const on = (target, type, run, options = {}) => target.addEventListener(type, run, { signal, ...options });
    on(window, "focus", () => this.#onFocus());
    on(this, "rushes:generated", ({ detail }) => this.#onGenerated(detail));
    on(this, "rushes:dismiss", ({ target }) => this.#dismiss(target));
    on(this, "rushes:reuse", ({ target }) => this.#prompt.propose(target.job.prompt));
    on(this, "rushes:refresh", ({ target }) => this.#refreshFiles(target.closest("rushes-job").job));
    on(this, "rushes:notice", ({ detail }) => this.#toasts.add("notice", detail.text));
    on(this, "click", (event) => this.#onClick(event));
    on(this, "play", (event) => this.#onPlay(event.target), { capture: true }); // media events do not bubble
  }

  get #prompt() {
    return this.querySelector("rushes-prompt");
  }

  get #toasts() {
    return this.querySelector("rushes-toasts");
  }

  // -- The page: read first, and again whenever the log cannot be continued

  async #load() {
    const load = ++this.#loads;
    clearTimeout(this.#retry);
    this.#unsubscribe();
    try {
      const page = await getGallery();
      if (load !== this.#loads) return;
      const unlisted = this.#showPage(page);
      this.#showProblem(null);
      this.#follow(page, unlisted);
      this.#backoff.succeeded();
    } catch (error) {
      if (load !== this.#loads) return;
      if (!(error instanceof Refusal)) throw error;
      this.#onLoadFailed(error);
    }
  }

  #follow({ last_event_id: lastEventId, channel, active }, unlisted) {
    this.#unsubscribe = subscribe(null, {
      lastEventId,
      channel,
      active: [...active, ...unlisted.map((id) => ({ id }))],
      onEvent: (event) => this.#onEvent(event),
      onReset: () => this.#onReset(),
      onState: (state) => this.#onConnection(state),
    });
  }

  #onLoadFailed(error) {
    this.#setConnection("offline");
    if (error.status === 401 && this.#cards.size === 0) return this.#waitForSignIn();
    const wait = this.#backoff.after(error);
    const reason = error.status === 401 ? t("problem.signed-out") : `${t("problem.gallery")}\n${error.message}`;
    this.#showProblem(`${reason}\n${t("retry.in", { time: duration(Math.ceil(wait / 1000)) })}`);
    this.#retry = setTimeout(() => this.#load(), wait);
  }

  // Mostly in another tab: who comes back from there wants to see the page at once.
  #waitForSignIn() {
    this.setAttribute("view", "signed-out");
    this.#showProblem(null);
    this.#retry = setTimeout(() => this.#load(), SIGN_IN_WAIT);
  }

  #onFocus() {
    if (this.getAttribute("view") === "signed-out") this.#load();
  }

  // A server that answers "reset" again and again must not be asked in a tight loop.
  #onReset() {
    const wait = Math.max(0, this.#backoff.after() - 1_000);
    this.#retry = setTimeout(() => this.#load(), wait + Math.random() * 500);
  }

  /** Makes the cards what a reload would show, keeping those that are there, and the failures still to be read. Returns
   *  the ids of those that go on, as far as is known, and are not listed: of many the page lists the newest. */
  #showPage(page) {
    const items = [...page.active, ...page.generations];
    const listed = new Set(items.map((item) => item.id));
    const gone = [...this.#cards.values()].filter((card) => !listed.has(card.job.id));
    for (const card of gone) if (card.job.state === "COMPLETED") this.#removeCard(card);
    for (const item of items.toReversed()) this.#showItem(item, "prepend");
    this.#cursor = page.next_cursor;
    const unlisted = gone.filter((card) => isUnfinished(card.job)).map((card) => card.job.id);
    this.#recoverAll([...new Set([...unlisted, ...rememberedFailures()])].filter((id) => !listed.has(id)));
    this.#updateView();
    return unlisted;
  }

  #showItem(item, place) {
    const card = this.#cards.get(item.id) ?? this.#addCard(newJob(item.id), place);
    applyItem(card.job, item);
    card.update();
    if (card.job.state !== "FAILED") forgetFailure(item.id);
  }

  /** One after the other: there may be hundreds. */
  async #recoverAll(ids) {
    const load = this.#loads;
    for (const id of ids) {
      await this.#recover(id);
      if (load !== this.#loads) return; // the page was read again, and begins anew
    }
  }

  /** Shows a job that the first page does not list: one that goes on among many, one that ended meanwhile, or failed before this page was opened. */
  async #recover(id) {
    const before = this.#cards.get(id)?.job.eventId;
    const item = await getJob(id).catch((error) => error);
    const card = this.#cards.get(id);
    if (card?.job.eventId !== before) return; // an event was faster
    if (isGone(item)) {
      if (card) this.#removeCard(card);
      forgetFailure(id);
    } else if (!(item instanceof Refusal)) {
      if (card || item.state === "FAILED") this.#showItem(item, "prepend");
      else forgetFailure(id);
    }
    this.#updateView();
  }

  async #loadMore() {
    const { more } = this.#slots;
    if (more.getAttribute("aria-disabled") === "true") return;
    this.#setMoreBusy(true);
    const load = this.#loads;
    try {
      const page = await getGallery(this.#cursor);
      if (load !== this.#loads) return; // the first page was read again meanwhile, and its cursor with it
      for (const item of page.generations) if (!this.#cards.has(item.id)) this.#showItem(item, "append");
      this.#cursor = page.next_cursor;
      this.#showProblem(null);
    } catch (error) {
      this.#toasts.add("failed", t("problem.gallery"), error.message);
    } finally {
      this.#setMoreBusy(false);
      this.#updateView();
    }
  }

  #setMoreBusy(yes) {
    this.#slots.more.setAttribute("aria-disabled", String(yes));
    this.#slots.more.textContent = t(yes ? "gallery.more-loading" : "gallery.more");
  }

  // -- Events

  #onEvent(event) {
    const { job_id: id } = event.data;
    const known = this.#cards.get(id);
    const card = known ?? this.#addCard(newJob(id), "prepend");
    const before = card.job.state;
    if (!applyEvent(card.job, event)) return;
    card.update();
    this.#updateView();
    const { state } = card.job;
    if (state === "FAILED") rememberFailure(id);
    else forgetFailure(id);
    const ended = state !== before && !isUnfinished(card.job);
    this.#settle(card, { fetch: !known || state === "COMPLETED", announce: ended });
  }

  /** Fetches what the event did not say, then announces the end of a job, by its prompt. */
  async #settle(card, { fetch, announce }) {
    if (fetch) await this.#fetchDetails(card);
    if (announce && card.isConnected) this.#announce(card);
  }

  async #fetchDetails(card) {
    try {
      applyDetails(card.job, await getJob(card.job.id));
      card.update();
    } catch {
      // The events go on without: the card shows the job's id and its state.
    }
  }

  #announce(card) {
    const ready = card.job.state === "COMPLETED";
    if (isUnfinished(card.job)) return; // tried again meanwhile
    const heading = t(ready ? "toast.ready" : "toast.failed");
    const text = ready ? title(card.job) : card.job.error || title(card.job);
    const show = () => this.#reveal(card);
    this.#toasts.add(ready ? "ready" : "failed", heading, text, show);
    this.querySelector("rushes-bell").notify(heading, { body: text, tag: card.job.id, onClick: show });
  }

  #reveal(card) {
    card.scrollIntoView({ block: "center" });
    (card.querySelector("rushes-video:not([hidden]) video") ?? card.querySelector(".prompt")).focus({ preventScroll: true });
  }

  async #refreshFiles(job) {
    const item = await getJob(job.id).catch(() => null);
    const card = this.#cards.get(job.id);
    if (!card) return;
    for (const file of item?.videos ?? []) {
      const known = job.videos.find((other) => other.id === file.id);
      if (known) known.file_url = file.file_url;
    }
    card.update();
  }

  #onGenerated(detail) {
    const card = this.#cards.get(detail.job_id) ?? this.#addCard(newJob(detail.job_id), "prepend");
    applyDetails(card.job, detail);
    if (card.job.eventId === NONE) card.job.message = detail.message ?? "";
    card.update();
    this.#updateView();
    card.scrollIntoView({ block: "nearest" });
  }

  // -- The connection

  #onConnection({ state, error, retryIn }) {
    this.#setConnection(state);
    const { banner } = this.#slots;
    if (state === "live") banner.hidden = true;
    if (!error) return;
    const known = { 401: t("problem.signed-out"), 429: t("problem.connections") };
    const reason = known[error.status] ?? `${t("problem.stream")}\n${error.message}`;
    const again = retryIn === null ? "" : `\n${t("retry.in", { time: duration(Math.ceil(retryIn / 1000)) })}`;
    banner.textContent = `${reason}${again}`;
    banner.hidden = false;
  }

  #setConnection(state) {
    this.querySelector("rushes-connection").setAttribute("state", state);
  }

  // -- Cards

  #addCard(job, place) {
    const card = document.createElement("rushes-job");
    card.job = job;
    this.#cards.set(job.id, card);
    this.#slots.grid[place](card);
    return card;
  }

  #removeCard(card) {
    this.#cards.delete(card.job.id);
    card.remove();
  }

  #dismiss(card) {
    const next = card.nextElementSibling ?? card.previousElementSibling;
    forgetFailure(card.job.id);
    this.#removeCard(card);
    this.#updateView();
    (next?.querySelector(".prompt") ?? this.querySelector("#gallery")).focus();
  }

  #onClick(event) {
    const button = event.target.closest("[data-action]");
    if (button?.dataset.action === "reload") this.#load();
    if (button?.dataset.action === "more") this.#loadMore();
    if (button?.dataset.action === "idea") this.#prompt.propose(button.textContent);
  }

  #onPlay(player) {
    for (const other of this.querySelectorAll("video")) if (other !== player) other.pause();
  }

  #refreshTimes() {
    for (const card of this.#cards.values()) card.refreshFacts();
  }

  #showProblem(text) {
    const { problem } = this.#slots;
    problem.hidden = text === null;
    problem.querySelector("p").textContent = text ?? "";
    if (text !== null && this.getAttribute("view") === "loading") this.setAttribute("view", "problem");
  }

  #updateView() {
    this.setAttribute("view", this.#cards.size === 0 ? "empty" : "filled");
    const count = [...this.#cards.values()].filter((card) => isUnfinished(card.job)).length;
    this.#slots.count.textContent = count === 0 ? "" : t("gallery.active", { count });
    this.#slots.more.hidden = this.#cursor === null;
  }
}
