/** @import { File, Job } from "../jobs.js" */

import { safeUrl, title } from "../format.js";
import { stamp, t } from "../i18n.js";
import { part, slots } from "../slots.js";

const BETWEEN_REFRESHES = 60_000;

/** @typedef {{ url: string, since: number }} Address with the moment in which it was first heard of */

/**
 * The player of one file. What is inside comes from `<template id="video">`.
 *
 * Loads only when it comes near the screen. A file whose address no longer works (presigned URLs expire) asks for a
 * fresh one with "rushes:refresh", once a minute at most; until then what is being watched keeps its address, since
 * every answer of the API brings a new signature for the same file. Where an address may have expired, it does not wait
 * for the player's error: of a refusal from another origin Chromium sees no answer, and tries again for half a minute.
 *
 * @customElement rushes-video
 * @example
 *   const player = document.createElement("rushes-video");
 *   frame.append(player);
 *   player.show(job.videos[0], job);
 */
export class RushesVideo extends HTMLElement {
  /** @type {HTMLVideoElement} */
  #player;
  /** @type {HTMLElement} */
  #broken;
  /** @type {Address | null} */
  #wanted = null;
  /** @type {Address | null} */
  #loaded = null;
  #stale = false; // what is loaded did not bring what is watched
  /** @type {{ time: number, playing: boolean } | null} */
  #resume = null;
  #refreshedAt = -Infinity;
  #observer = new IntersectionObserver((entries) => {
    if (entries.some((entry) => entry.isIntersecting)) this.#load();
  }, { rootMargin: "400px" });

  connectedCallback() {
    this.#prepare();
    this.#observer.observe(this);
  }

  disconnectedCallback() {
    this.#observer.disconnect();
    this.#player.pause();
  }

  /**
   * @param {File} file
   * @param {Job} job
   */
  show(file, job) {
    this.#prepare();
    this.#player.setAttribute("aria-label", t("video.label", { prompt: title(job) }));
    const url = safeUrl(file.file_url);
    if (url !== this.#wanted?.url) this.#wanted = url === null ? null : { url, since: Date.now() };
    if (this.#loaded !== null) this.#load();
  }

  pause() {
    this.#player.pause();
  }

  #prepare() {
    if (this.#player) return;
    const content = stamp("video");
    this.#player = part(content, "video");
    this.#broken = slots(content).broken;
    this.append(content);
    this.#player.addEventListener("error", () => this.#onError());
    this.#player.addEventListener("loadedmetadata", () => this.#onLoaded());
    for (const type of ["waiting", "seeking"]) this.#player.addEventListener(type, () => this.#onLack());
    part(this, "[data-action=again]").addEventListener("click", () => this.#askForRefresh());
  }

  #needsNewAddress() {
    if (this.#wanted === null) return false;
    if (this.#player.error || this.#loaded === null) return true;
    if (this.#stale) return this.#wanted !== this.#loaded;
    return withoutQuery(this.#wanted.url) !== withoutQuery(this.#loaded.url);
  }

  #load() {
    if (this.#wanted === null || !this.#needsNewAddress()) return;
    this.#loaded = this.#wanted;
    this.#stale = false;
    // With a time in the address, phones show the first picture instead of black.
    this.#player.src = `${this.#wanted.url.split("#")[0]}#t=0.001`;
    this.#broken.hidden = true;
  }

  #onError() {
    this.#keepPlace();
    if (this.#mayAsk) this.#askForRefresh();
    else this.#broken.hidden = false;
  }

  // There is no picture yet at the place that is watched.
  #onLack() {
    const { buffered, currentTime } = this.#player;
    if (this.#loaded === null || covers(buffered, currentTime) || !mayHaveExpired(this.#loaded)) return;
    this.#keepPlace();
    this.#stale = true;
    if (this.#needsNewAddress()) this.#load();
    else if (this.#mayAsk) this.#askForRefresh();
  }

  get #mayAsk() {
    return Date.now() - this.#refreshedAt > BETWEEN_REFRESHES;
  }

  #keepPlace() {
    const { currentTime: time, paused } = this.#player;
    this.#resume ??= { time, playing: !paused };
  }

  #onLoaded() {
    const { time, playing } = this.#resume ?? { time: 0, playing: false };
    this.#resume = null;
    if (time > 0) this.#player.currentTime = time;
    if (playing) this.#player.play().catch(() => {}); // the browser may want a click first
  }

  #askForRefresh() {
    this.#refreshedAt = Date.now();
    this.dispatchEvent(new CustomEvent("rushes:refresh", { bubbles: true }));
  }
}

/** @param {string} address */
const withoutQuery = (address) => address.split(/[?#]/)[0];

/**
 * Whether the address of a file in S3 is older than it is sure to be good for: half of its life at least is left when
 * the server tells it. By the clock of this machine alone, whatever that says.
 *
 * @param {Address} address
 */
function mayHaveExpired({ url, since }) {
  const seconds = Number(new URL(url, location.href).searchParams.get("X-Amz-Expires"));
  return seconds > 0 && Date.now() - since > (seconds / 2) * 1000;
}

/**
 * @param {TimeRanges} ranges
 * @param {number} time
 */
function covers(ranges, time) {
  for (let index = 0; index < ranges.length; index++) {
    if (ranges.start(index) <= time && time < ranges.end(index)) return true;
  }
  return false;
}
