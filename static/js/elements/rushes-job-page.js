/** @import { File } from "../jobs.js" */
/** @import { LiveState } from "../live/connection.js" */
/** @import { RushesTrouble } from "./rushes-trouble.js" */
/** @import { RushesVideo } from "./rushes-video.js" */

import { composeFrom } from "../draft.js";
import { factsOf, putFacts } from "../facts.js";
import { safeUrl, title } from "../format.js";
import { switchLanguage, t } from "../i18n.js";
import { isUnfinished, settingsOf } from "../jobs.js";
import { announce } from "../notifications.js";
import { OneJob } from "../one-job.js";
import { failureWords, partialWords } from "../outcome.js";
import { Refusal } from "../refusal.js";
import { takesOrders } from "../server.js";
import { part, slots } from "../slots.js";
import { tellTab } from "../tab.js";
import { offerDownload, showTakes } from "../takes.js";
import { stepElement } from "../timeline.js";
import { Twice } from "../twice.js";
import { interrupted } from "./rushes-trouble.js";

const TITLE_MAX = 80;

/**
 * The page of one job, by the id in the page's address: player, prompt, facts, timeline, and what can be done. `view` is
 * "loading", "job" or "notice"; `state` and `ratio` are the job's.
 *
 * @customElement rushes-job-page
 * @example
 *   <rushes-job-page view="loading">
 *     <rushes-connection state="connecting"><span class="connection-text"></span></rushes-connection>
 *     <rushes-trouble class="banner" hidden>…</rushes-trouble>
 *     <rushes-trouble class="notice" hidden>…</rushes-trouble>
 *     <article data-slot="job" hidden>…</article>
 *     <rushes-toasts aria-live="polite"></rushes-toasts>
 *   </rushes-job-page>
 */
export class RushesJobPage extends HTMLElement {
  /** @type {Record<string, HTMLElement>} */
  #slots;
  /** @type {OneJob} */
  #model;
  #take = 0;
  #acting = false;
  #waitsForSignIn = false;
  /** @type {Twice} */
  #cancel;
  /** @type {number | undefined} */
  #second;
  #listening = new AbortController();

  connectedCallback() {
    this.#slots = slots(this);
    this.#cancel = new Twice(this.#slots.cancel, (text) => this.#say(text),
      () => this.#try(t("problem.cancel"), () => this.#model.cancel()));
    this.#model = new OneJob(idOf(location.pathname), {
      show: () => this.#show(),
      ended: () => this.#onEnded(),
      gone: (why) => this.#onGone(why),
      failed: (refusal, retryIn) => this.#onLoadFailed(refusal, retryIn),
      connection: (state) => this.#onConnection(state),
    });
    this.#listening = new AbortController();
    const { signal } = this.#listening;
    this.addEventListener("click", (event) => this.#onClick(event), { signal });
    this.addEventListener("rushes:refresh", () => this.#model.refreshFiles(), { signal });
    window.addEventListener("focus", () => this.#onFocus(), { signal });
    this.#second = setInterval(() => this.#tellTab(), 1_000);
    this.#model.load();
  }

  disconnectedCallback() {
    this.#listening.abort();
    clearInterval(this.#second);
    this.#cancel.forget();
    this.#model.close();
  }

  get #job() {
    return this.#model.job;
  }

  get #file() {
    return this.#job.state === "COMPLETED" ? this.#job.videos[this.#take] ?? this.#job.videos[0] : undefined;
  }

  get #banner() {
    return /** @type {RushesTrouble} */ (part(this, ".banner"));
  }

  get #notice() {
    return /** @type {RushesTrouble} */ (part(this, ".notice"));
  }

  get #toasts() {
    return part(this, "rushes-toasts");
  }

  // -- What is shown

  #show() {
    const job = this.#job;
    this.setAttribute("view", "job");
    this.setAttribute("state", job.state);
    this.setAttribute("ratio", job.aspect_ratio ?? "16:9");
    this.#notice.hide();
    this.#slots.job.hidden = false;
    this.#slots.title.textContent = shortened(title(job));
    this.#slots.prompt.textContent = title(job);
    this.#showFrame();
    this.#showWords();
    showTakes(this.#slots.takes, job.state === "COMPLETED" ? job.videos.length : 0, this.#take);
    this.#showActions();
    putFacts(this.#slots.facts, factsOf(job, this.#file));
    this.#slots.steps.replaceChildren(...this.#model.steps.map(stepElement));
    this.#tellTab();
  }

  #showFrame() {
    const job = this.#job;
    const progress = part(this, "rushes-progress");
    progress.hidden = !isUnfinished(job);
    progress.show(job);
    const address = safeUrl(this.#file?.file_url);
    this.#slots.missing.hidden = !(job.state === "COMPLETED" && address === null);
    this.#showVideo(address === null ? undefined : this.#file);
  }

  /** Players stay with their files: who goes back to a take finds it where it was left. @param {File | undefined} file */
  #showVideo(file) {
    const { videos } = this.#slots;
    const players = /** @type {RushesVideo[]} */ ([...videos.children]);
    const known = new Set(this.#job.videos.map(({ id }) => id));
    for (const player of players) {
      player.hidden = player.dataset.id !== file?.id;
      if (player.hidden) player.pause();
      if (!known.has(player.dataset.id ?? "")) player.remove();
    }
    if (file === undefined) return;
    const player = players.find(({ dataset }) => dataset.id === file.id) ?? document.createElement("rushes-video");
    player.dataset.id = file.id;
    if (!player.isConnected) videos.append(player);
    player.show(file, this.#job);
  }

  #showWords() {
    const failed = this.#job.state === "FAILED";
    const { title: heading, advice, reason } = failureWords(this.#job);
    this.#slots.failure.hidden = !failed;
    this.#slots.failed.textContent = heading;
    this.#slots.advice.textContent = advice;
    this.#slots.reason.hidden = !failed || reason === null;
    this.#slots.error.textContent = reason || t("job.no-reason");
    const partial = partialWords(this.#job);
    this.#slots.partial.hidden = partial === null;
    this.#slots.partial.textContent = partial;
  }

  #showActions() {
    const { again, cancel, erase, copy, reuse, actions } = this.#slots;
    const focused = actions.contains(document.activeElement) ? document.activeElement : null;
    const { state, failure } = this.#job;
    const mine = this.#model.mayAct;
    reuse.hidden = !takesOrders || this.#job.prompt === null;
    again.hidden = !(takesOrders && mine && state === "FAILED" && failure?.retryable);
    cancel.hidden = !(mine && isUnfinished(this.#job));
    erase.hidden = !(mine && !isUnfinished(this.#job));
    if (cancel.hidden) this.#cancel.forget();
    offerDownload(/** @type {HTMLAnchorElement} */ (this.#slots.download), this.#job, this.#file);
    if (focused?.closest("[hidden]")) copy.focus();
  }

  #tellTab() {
    const job = this.#job;
    const shown = this.getAttribute("view") === "job";
    if (!shown || !this.hasAttribute("unheard")) tellTab(shown && isUnfinished(job) ? [job] : []);
    if (shown && !isUnfinished(job)) document.title = `${shortened(title(job))} · rushes`;
  }

  // -- What the model tells

  /** @param {LiveState} state */
  #onConnection({ state, error, retryIn }) {
    const connection = part(this, "rushes-connection");
    connection.hidden = state === "over";
    connection.setAttribute("state", state);
    this.toggleAttribute("unheard", state === "offline"); // nothing is known of how far it is
    if (state === "live" || state === "over") this.#banner.hide();
    else if (error) this.#banner.show(interrupted(error), { retryIn, signIn: error.status === 401 });
    else if (state === "offline" && !navigator.onLine) this.#banner.show(t("problem.offline"));
  }

  #onEnded() {
    const { state, failure } = this.#job;
    this.#say(t(state === "COMPLETED" ? "toast.ready" : "toast.failed"));
    if (failure?.kind !== "cancelled") announce(this.#job); // who looks at another tab, without the gallery
  }

  /** @param {"missing" | "deleted"} why */
  #onGone(why) {
    const undo = why === "deleted" && this.#model.mayAct;
    this.#tell(t(`page.${why}.title`), undo ? shortened(title(this.#job)) : t(`page.${why}.text`));
    this.#slots.restore.hidden = !undo;
    if (undo) this.#slots.restore.focus();
  }

  /**
   * What was shown stays.
   *
   * @param {Refusal} refusal
   * @param {number} retryIn
   */
  #onLoadFailed(refusal, retryIn) {
    const { status, message } = refusal;
    if (this.getAttribute("view") === "job") {
      return this.#onConnection({ state: "offline", via: null, error: refusal, retryIn });
    }
    this.#waitsForSignIn = status === 401;
    if (status === 401) this.#tell(t("page.signed-out.title"), t("signed-out.lead"), { signIn: true });
    else if (status === 403) this.#tell(t("page.forbidden.title"), message);
    else this.#tell(t("page.unread.title"), message, { retryIn });
    this.#slots.reload.hidden = false;
  }

  /**
   * In place of the job.
   *
   * @param {string} heading
   * @param {string} text
   * @param {Parameters<RushesTrouble["show"]>[1]} [how]
   */
  #tell(heading, text, how) {
    this.setAttribute("view", "notice");
    this.#slots["notice-title"].textContent = heading;
    this.#slots.job.hidden = true;
    this.#banner.hide();
    for (const button of [this.#slots.restore, this.#slots.reload]) button.hidden = true;
    for (const player of this.querySelectorAll("video")) player.pause();
    this.#notice.show(text, how);
    this.#say(heading);
    this.#tellTab();
  }

  /** @param {string} text */
  #say(text) {
    this.#slots.said.textContent = text;
  }

  // -- What the user does

  // Who comes back from signing in elsewhere wants to see the page at once.
  #onFocus() {
    if (this.#waitsForSignIn && this.getAttribute("view") === "notice") this.#model.load();
  }

  /** @param {MouseEvent} event */
  #onClick({ target, detail }) {
    /** @type {HTMLElement | null} */
    const button = /** @type {Element} */ (target).closest("[data-action], [data-take]");
    if (!button) return;
    const { action, take } = button.dataset;
    if (take) this.#showTake(Number(take));
    if (action === "language") switchLanguage();
    if (action === "reload") this.#model.load();
    if (action === "copy") this.#copy();
    if (action === "reuse") location.assign(composeFrom(this.#job.id, settingsOf(this.#job)));
    if (action === "cancel") this.#cancel.press(detail);
    if (action === "again") this.#try(t("problem.again"), () => this.#again());
    if (action === "delete") this.#try(t("problem.delete"), () => this.#model.delete());
    if (action === "restore") this.#try(t("problem.restore"), () => this.#restore());
  }

  /** @param {number} index */
  #showTake(index) {
    this.#take = index;
    this.#show();
  }

  async #copy() {
    const address = location.origin + location.pathname;
    try {
      await navigator.clipboard.writeText(address);
      this.#toasts.add("notice", t("page.copied"));
    } catch {
      this.#toasts.add("notice", t("page.not-copied"), address); // not everywhere may a page do so
    }
  }

  async #again() {
    location.assign(`/jobs/${encodeURIComponent(await this.#model.again())}`);
  }

  async #restore() {
    await this.#model.restore();
    part(this, "#job-page").focus();
  }

  /**
   * Does it, unless something is being done already, and says so where it is refused.
   *
   * @param {string} problem
   * @param {() => Promise<void>} act
   */
  async #try(problem, act) {
    if (this.#acting) return;
    this.#acting = true;
    try {
      await act();
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.#toasts.add("failed", problem, error.message);
    } finally {
      this.#acting = false;
    }
  }
}

/**
 * The job that an address of a page is about; empty where that is none.
 *
 * @param {string} path
 */
function idOf(path) {
  try {
    return decodeURIComponent(path.split("/")[2] ?? "");
  } catch {
    return "";
  }
}

/** @param {string} text */
const shortened = (text) => (text.length > TITLE_MAX ? `${text.slice(0, TITLE_MAX).trimEnd()}…` : text);
