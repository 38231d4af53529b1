/** @import { File, Job } from "../jobs.js" */

import { safeUrl, title } from "../format.js";
import { stamp, t } from "../i18n.js";
import { part, slots } from "../slots.js";

const BETWEEN_REFRESHES = 60_000;

/**
 * The player of one file. What is inside comes from `<template id="video">`.
 *
 * Loads only when it comes near the screen. A file whose address no longer works (presigned URLs expire) asks for a
 * fresh one with "rushes:refresh", once a minute at most; until then what is being watched keeps its address, since
 * every answer of the API brings a new signature for the same file.
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
  /** @type {string | null} */
  #wanted = null;
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
    this.#wanted = safeUrl(file.file_url);
    if (this.#player.hasAttribute("src") && this.#needsNewAddress()) this.#load();
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
    part(this, "[data-action=again]").addEventListener("click", () => this.#askForRefresh());
  }

  #needsNewAddress() {
    if (this.#player.error) return true;
    return this.#wanted !== null && withoutQuery(this.#wanted) !== withoutQuery(this.#player.src);
  }

  #load() {
    if (this.#wanted === null || !this.#needsNewAddress()) return;
    // With a time in the address, phones show the first picture instead of black.
    this.#player.src = `${this.#wanted.split("#")[0]}#t=0.001`;
    this.#broken.hidden = true;
  }

  #onError() {
    this.#resume ??= { time: this.#player.currentTime, playing: !this.#player.paused };
    if (Date.now() - this.#refreshedAt > BETWEEN_REFRESHES) this.#askForRefresh();
    else this.#broken.hidden = false;
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
