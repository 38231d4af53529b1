/** @import { File, Job } from "../jobs.js" */
/** @import { RushesVideo } from "./rushes-video.js" */

import { factsOf, putFacts } from "../facts.js";
import { ago, duration, fullTime, modelName, safeUrl, title } from "../format.js";
import { stamp, t } from "../i18n.js";
import { isUnfinished, newJob } from "../jobs.js";
import { opens } from "../menu.js";
import { failureWords, partialWords } from "../outcome.js";
import { takesOrders } from "../server.js";
import { part, slots } from "../slots.js";
import { offerDownload, showTakes } from "../takes.js";
import { toolbar } from "../toolbar.js";
import { Twice } from "../twice.js";

// Whether a prompt is cut depends on its width alone.
const widths = new ResizeObserver((entries) => {
  for (const { target } of entries) /** @type {RushesJob | null} */ (target.closest("rushes-job"))?.offerWhole();
});

/** @typedef {"again" | "cancel" | "delete" | "dismiss" | "reuse"} Act */

/**
 * One job, from its first moment to its video, in one card whose frame and caption keep their places. Set `job`, then
 * call `update()` whenever it has changed; the attributes `job-id`, `state` and `ratio` follow. `state` is the API's.
 * Dispatches "rushes:act" with what the user wants done. What is inside comes from `<template id="job">`.
 *
 * @customElement rushes-job
 * @example
 *   const card = document.createElement("rushes-job");
 *   card.job = newJob("cm123abc456");
 *   grid.prepend(card); // <rushes-job job-id="cm123abc456" state="PENDING" ratio="16:9">
 *   applyEvent(card.job, event);
 *   card.update();
 */
export class RushesJob extends HTMLElement {
  job = newJob("");
  /** @type {Record<string, HTMLElement>} */
  #slots;
  #take = 0;
  /** @type {{ refresh: () => void }} */
  #toolbar;
  /** @type {Twice} */
  #cancel;

  connectedCallback() {
    if (this.#slots) return;
    const content = stamp("job");
    this.#slots = slots(content);
    this.append(content);
    this.#toolbar = toolbar(this.#slots.actions);
    const { cancel, menu, opener, said } = this.#slots;
    opens(/** @type {HTMLButtonElement} */ (opener), menu, () => this.#renderMenu());
    const tell = (/** @type {boolean} */ byKeyboard) => this.#tell("cancel", byKeyboard);
    this.#cancel = new Twice(cancel, (text) => { said.textContent = text; }, tell);
    widths.observe(this.#slots.prompt);
    this.addEventListener("click", (event) => this.#onClick(event));
    this.update();
  }

  disconnectedCallback() {
    this.#cancel?.forget();
  }

  update() {
    if (!this.#slots) return;
    const { job } = this;
    const focused = this.#slots.actions.contains(document.activeElement) ? document.activeElement : null;
    this.setAttribute("job-id", job.id);
    this.setAttribute("state", job.state);
    this.setAttribute("ratio", job.aspect_ratio ?? "16:9");
    this.#renderPrompt();
    this.#renderFrame();
    this.refreshFacts();
    this.#renderActions();
    if (focused?.closest("[hidden]")) part(this, "article").focus();
  }

  /** Renders the line of facts alone; called from time to time, as "3 minutes ago" grows old. */
  refreshFacts() {
    this.#slots.facts.replaceChildren(...shortFactsOf(this.job, this.#file));
  }

  /** Shows a button for the rest of the prompt where it is cut. */
  offerWhole() {
    const { prompt, expand } = this.#slots;
    const isOpen = expand.getAttribute("aria-expanded") === "true";
    expand.hidden = !isOpen && prompt.scrollHeight <= prompt.clientHeight + 1;
  }

  /** Where the focus goes that is meant for this job: its player, if there is one. */
  get handle() {
    const player = /** @type {RushesVideo | null} */ (this.querySelector("rushes-video:not([hidden])"));
    return player?.handle ?? part(this, "article");
  }

  get isPlaying() {
    return [...this.querySelectorAll("video")].some((video) => !video.paused);
  }

  get #file() {
    return this.job.state === "COMPLETED" ? this.job.videos[this.#take] ?? this.job.videos[0] : undefined;
  }

  #renderPrompt() {
    const text = title(this.job);
    part(this, "article").setAttribute("aria-label", text);
    const changed = this.#slots.prompt.textContent !== text;
    this.#slots.prompt.textContent = text;
    if (changed) this.offerWhole();
    this.toggleAttribute("unnamed", this.job.prompt === null);
  }

  #renderFrame() {
    const { job } = this;
    const done = job.state === "COMPLETED";
    const progress = part(this, "rushes-progress");
    progress.hidden = !isUnfinished(job);
    progress.show(job);
    this.#renderFailure();
    this.#renderPartial();
    this.#slots.missing.hidden = !(done && safeUrl(this.#file?.file_url) === null);
    this.#renderVideos(done ? job.videos : []);
  }

  #renderFailure() {
    const { failure, failed, advice, reason } = this.#slots;
    const said = failureWords(this.job);
    failure.hidden = this.job.state !== "FAILED";
    failed.textContent = said.title;
    advice.textContent = said.advice;
    reason.textContent = said.reason === "" && said.advice === "" ? t("job.no-reason") : said.reason;
  }

  #renderPartial() {
    const said = partialWords(this.job);
    this.#slots.partial.hidden = said === null;
    this.#slots.partial.textContent = said;
  }

  /**
   * One player a file, kept in place by the file's id: a new address or one more file disturbs none of the others.
   *
   * @param {File[]} files
   */
  #renderVideos(files) {
    const { videos } = this.#slots;
    const players = /** @type {RushesVideo[]} */ ([...videos.children]);
    const known = new Map(players.map((video) => [video.dataset.id, video]));
    this.#take = Math.min(this.#take, Math.max(0, files.length - 1));
    files.forEach((file, index) => {
      const video = known.get(file.id) ?? newVideo(file.id);
      known.delete(file.id);
      if (videos.children[index] !== video) videos.insertBefore(video, videos.children[index] ?? null);
      video.hidden = index !== this.#take || safeUrl(file.file_url) === null;
      if (video.hidden) video.pause();
      video.show(file, this.job);
    });
    for (const video of known.values()) video.remove();
    showTakes(this.#slots.takes, files.length, this.#take);
  }

  #renderActions() {
    const { again, cancel, download, dismiss, edit, erase, link, page, reuse } = this.#slots;
    const { state, prompt, failure } = this.job;
    const failed = state === "FAILED";
    /** @type {HTMLAnchorElement} */ (page).href = `/jobs/${encodeURIComponent(this.job.id)}`;
    dismiss.hidden = !failed;
    again.hidden = !(takesOrders && failed && failure?.retryable);
    edit.hidden = !takesOrders || !failed || prompt === null;
    reuse.hidden = !takesOrders || state !== "COMPLETED" || prompt === null;
    erase.hidden = link.hidden = state !== "COMPLETED";
    link.setAttribute("href", `/jobs/${encodeURIComponent(this.job.id)}`);
    cancel.hidden = !isUnfinished(this.job);
    if (cancel.hidden) this.#cancel.forget();
    offerDownload(/** @type {HTMLAnchorElement} */ (download), this.job, this.#file);
    this.#toolbar.refresh();
    if (this.#slots.menu.matches(":popover-open")) this.#renderMenu();
  }

  #renderMenu() {
    this.#slots.whole.textContent = title(this.job);
    const facts = factsOf(this.job, this.#file);
    if (this.job.state === "FAILED" && this.job.error) facts.push([t("fact.reason"), this.job.error]);
    putFacts(this.#slots.known, facts);
  }

  /** @param {MouseEvent} event */
  #onClick(event) {
    const { target, detail } = event;
    /** @type {HTMLElement | null} */
    const button = /** @type {Element} */ (target).closest("[data-action], [data-act], [data-take]");
    if (!button) return;
    if (button.dataset.take) this.#showTake(Number(button.dataset.take));
    if (button.dataset.action === "expand") this.#toggleExpanded(button);
    if (button.dataset.action === "cancel") this.#cancel.press(detail);
    if (button.dataset.action === "link") this.#copyLink(event);
    if (button.dataset.act) this.#tell(/** @type {Act} */ (button.dataset.act), detail === 0);
  }

  /** @param {number} index */
  #showTake(index) {
    this.#take = index;
    this.update();
  }

  /** @param {HTMLElement} button */
  #toggleExpanded(button) {
    const isOpen = button.getAttribute("aria-expanded") === "false";
    button.setAttribute("aria-expanded", String(isOpen));
    button.textContent = t(isOpen ? "job.collapse" : "job.expand");
  }

  // As a link it can be opened in another tab, too; where nothing can be copied, it leads there.
  async #copyLink(/** @type {MouseEvent} */ event) {
    if (event.ctrlKey || event.metaKey || event.shiftKey || !navigator.clipboard) return;
    event.preventDefault();
    const { href } = /** @type {HTMLAnchorElement} */ (this.#slots.link);
    const copied = await navigator.clipboard.writeText(href).then(() => true, () => false);
    if (!copied) return location.assign(href);
    this.dispatchEvent(new CustomEvent("rushes:notice", { bubbles: true, detail: { text: t("job.link-copied") } }));
  }

  /**
   * @param {Act} act
   * @param {boolean} byKeyboard
   */
  #tell(act, byKeyboard) {
    if (this.#slots.menu.matches(":popover-open")) this.#slots.menu.hidePopover();
    this.dispatchEvent(new CustomEvent("rushes:act", { bubbles: true, detail: { act, byKeyboard } }));
  }
}

/** @param {string} id */
function newVideo(id) {
  const video = document.createElement("rushes-video");
  video.dataset.id = id;
  return video;
}

/**
 * What tells one card from the next, for one line; its menu has all.
 *
 * @param {Job} job
 * @param {File} [file]
 */
function shortFactsOf(job, file) {
  const { width, height } = file?.dimensions ?? {};
  const others = file ? [
    fact(t("fact.duration"), file.duration_seconds && duration(file.duration_seconds)),
    fact(t("fact.dimensions"), width && height && `${width} × ${height}`),
    fact(t("fact.model"), job.model && modelName(job.model)),
  ] : [fact(t("fact.ratio"), job.aspect_ratio)];
  return [createdFact(job), ...others].filter((node) => node !== null);
}

/** @param {Job} job */
function createdFact(job) {
  if (!job.created_at) return null;
  const time = document.createElement("time");
  time.dateTime = job.created_at;
  time.textContent = ago(job.created_at);
  time.title = fullTime(job.created_at);
  return time;
}

/**
 * @param {string} label
 * @param {string | number | null | undefined} text none where it is empty, or 0
 */
function fact(label, text) {
  if (!text) return null;
  const span = document.createElement("span");
  span.title = label;
  span.textContent = String(text);
  return span;
}
