/** @import { File, Job } from "../jobs.js" */
/** @import { RushesVideo } from "./rushes-video.js" */

import { downloadUrl } from "../api.js";
import { ago, duration, fileSize, fullTime, modelName, safeUrl, title } from "../format.js";
import { stamp, t } from "../i18n.js";
import { isUnfinished, newJob, partialOf } from "../jobs.js";
import { part, slots } from "../slots.js";

const CONFIRM = 5_000;

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
  /** @type {number | undefined} */
  #armed;

  connectedCallback() {
    if (this.#slots) return;
    const content = stamp("job");
    this.#slots = slots(content);
    this.append(content);
    this.addEventListener("click", (event) => this.#onClick(event));
    this.update();
  }

  disconnectedCallback() {
    this.#disarm();
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
    if (focused?.closest("[hidden]")) part(this, ".prompt").focus();
  }

  /** Renders the line of facts alone; called from time to time, as "3 minutes ago" grows old. */
  refreshFacts() {
    this.#slots.facts.replaceChildren(...factsOf(this.job, this.#file));
  }

  get #file() {
    return this.job.state === "COMPLETED" ? this.job.videos[this.#take] ?? this.job.videos[0] : undefined;
  }

  #renderPrompt() {
    const text = title(this.job);
    part(this, "article").setAttribute("aria-label", text);
    this.#slots.prompt.textContent = text;
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

  // What to do about it comes first; the reason is in the sender's words.
  #renderFailure() {
    const { state, failure, error } = this.job;
    const advice = failure?.advice ?? "";
    const cancelled = failure?.kind === "cancelled";
    this.#slots.failure.hidden = state !== "FAILED";
    this.#slots.failed.textContent = t(cancelled ? "job.cancelled" : "job.failed");
    this.#slots.advice.textContent = advice;
    const reason = cancelled ? "" : error; // it says what the title does
    this.#slots.reason.textContent = reason || (advice ? "" : t("job.no-reason"));
  }

  #renderPartial() {
    const { partial } = this.#slots;
    const found = partialOf(this.job);
    partial.hidden = found === null;
    if (found === null) return;
    const { filtered, ...counts } = found;
    const said = t(`partial.${filtered ? "filtered" : "missing"}${found.missing === 1 ? ".one" : ""}`, counts);
    partial.textContent = [said, this.job.failure?.advice].filter(Boolean).join(" ");
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
    this.#renderTakes(files.length);
  }

  /** @param {number} count */
  #renderTakes(count) {
    const { takes } = this.#slots;
    takes.hidden = count < 2;
    while (takes.children.length > count) takes.lastElementChild?.remove();
    while (takes.children.length < count) takes.append(newTake(takes.children.length));
    [...takes.children].forEach((button, index) => button.setAttribute("aria-pressed", String(index === this.#take)));
  }

  #renderActions() {
    const { again, cancel, download, dismiss, edit, erase, reuse } = this.#slots;
    const { state, prompt, failure } = this.job;
    const failed = state === "FAILED";
    dismiss.hidden = !failed;
    again.hidden = !(failed && failure?.retryable);
    edit.hidden = !failed || prompt === null;
    reuse.hidden = state !== "COMPLETED" || prompt === null;
    erase.hidden = state !== "COMPLETED";
    cancel.hidden = !isUnfinished(this.job);
    if (cancel.hidden) this.#disarm();
    this.#renderDownload(/** @type {HTMLAnchorElement} */ (download));
  }

  /** @param {HTMLAnchorElement} download */
  #renderDownload(download) {
    const file = this.#file;
    const address = safeUrl(file?.file_url);
    download.hidden = address === null;
    if (file === undefined || address === null) return;
    const { origin, searchParams } = new URL(address);
    const own = origin === location.origin;
    download.href = own ? address : downloadUrl(this.job.id, file.id);
    // That attribute does nothing for another origin. What is signed for comes as an attachment; other files must not
    // replace this page.
    if (own) download.download = file.filename ?? "";
    else download.removeAttribute("download");
    download.target = own || searchParams.has("X-Amz-Signature") ? "" : "_blank";
    download.rel = "noopener";
  }

  /** @param {MouseEvent} event */
  #onClick({ target, detail }) {
    /** @type {HTMLElement | null} */
    const button = /** @type {Element} */ (target).closest("[data-action], [data-act], [data-take]");
    if (!button) return;
    if (button.dataset.take) this.#showTake(Number(button.dataset.take));
    if (button.dataset.action === "expand") this.#toggleExpanded(button);
    if (button.dataset.action === "cancel") this.#confirm(detail);
    if (button.dataset.act) this.#tell(/** @type {Act} */ (button.dataset.act), detail === 0);
  }

  /**
   * The first press asks, the second one, within some seconds, does it; a double click is one press.
   *
   * @param {number} clicks in a row; 0 by keyboard
   */
  #confirm(clicks) {
    if (clicks > 1) return;
    if (this.#armed !== undefined) {
      this.#disarm();
      this.#tell("cancel", clicks === 0);
      return;
    }
    this.#armed = setTimeout(() => {
      this.#disarm();
      this.#slots.said.textContent = t("job.cancel-kept");
    }, CONFIRM);
    this.#slots.cancel.textContent = t("job.cancel-sure");
    this.#slots.said.textContent = t("job.cancel-hint", { time: duration(CONFIRM / 1000) });
  }

  #disarm() {
    if (this.#armed === undefined) return;
    clearTimeout(this.#armed);
    this.#armed = undefined;
    this.#slots.cancel.textContent = t("job.cancel");
    this.#slots.said.textContent = "";
  }

  /** @param {number} index */
  #showTake(index) {
    this.#take = index;
    this.update();
  }

  /** @param {HTMLElement} button */
  #toggleExpanded(button) {
    button.setAttribute("aria-expanded", String(button.getAttribute("aria-expanded") === "false"));
  }

  /**
   * @param {Act} act
   * @param {boolean} byKeyboard
   */
  #tell(act, byKeyboard) {
    this.dispatchEvent(new CustomEvent("rushes:act", { bubbles: true, detail: { act, byKeyboard } }));
  }
}

/** @param {string} id */
function newVideo(id) {
  const video = document.createElement("rushes-video");
  video.dataset.id = id;
  return video;
}

/** @param {number} index */
function newTake(index) {
  const button = document.createElement("button");
  button.type = "button";
  button.dataset.take = String(index);
  button.textContent = String(index + 1);
  button.setAttribute("aria-label", t("job.take", { number: index + 1 }));
  return button;
}

/**
 * @param {Job} job
 * @param {File} [file]
 */
function factsOf(job, file) {
  const created = createdFact(job);
  const others = file ? factsOfFile(job, file) : [fact(t("fact.ratio"), job.aspect_ratio)];
  return [created, ...others].filter((node) => node !== null);
}

/**
 * @param {Job} job
 * @param {File} file
 */
function factsOfFile(job, file) {
  const { width, height } = file.dimensions ?? {};
  return [
    fact([t("fact.model"), job.model, job.model_version].filter(Boolean).join(" "), job.model && modelName(job.model)),
    fact(t("fact.duration"), file.duration_seconds && duration(file.duration_seconds)),
    fact(t("fact.dimensions"), width && height && `${width} × ${height}`),
    fact(t("fact.size"), file.file_size && fileSize(file.file_size)),
    fact(timesOf(job), job.processing_time && t("fact.took", { time: duration(job.processing_time) })),
  ];
}

/** @param {Job} job */
function timesOf(job) {
  const shown = (/** @type {number | undefined} */ seconds) => (seconds == null ? "–" : duration(seconds));
  return t("fact.times", {
    generation: shown(job.generation_time),
    download: shown(job.download_time),
    total: shown(job.processing_time),
  });
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
