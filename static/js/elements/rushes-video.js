/** @import { File, Job } from "../jobs.js" */

import { addressOf, lifeOf, mayHaveExpired, withoutQuery } from "../addresses.js";
import { Controls } from "../controls.js";
import { title } from "../format.js";
import { stamp } from "../i18n.js";
import { part, slots } from "../slots.js";

/** @import { Address } from "../addresses.js" */

const NEAR = "400px"; // of the screen, within which a video is loaded
const BETWEEN_REFRESHES = 60_000; // at most; less where an address lives shorter
const STANDS_STILL = 5_000;
const BEGINNING = 0.001; // seconds: with a time in the address, phones show the first picture instead of black

/**
 * The player of one file. What is inside comes from `<template id="video">`.
 *
 * Has the file only while it is near the screen: a browser has few decoders. A file whose address no longer works
 * (presigned URLs expire) asks for a fresh one with "rushes:refresh"; while it is paused it does so before that is
 * needed. What is being watched keeps its address until then, since every answer of the API brings a new signature for
 * the same file, and goes on where it was. It does not wait for the player's error where an address may have expired: of
 * a refusal from another origin Chromium sees no answer, and tries again for half a minute, and WebKit says nothing at
 * all. `broken` says that there is no file to be had.
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
  /** @type {Controls} */
  #controls;
  /** @type {Record<string, HTMLElement>} */
  #slots;
  /** @type {Address | null} */
  #wanted = null;
  /** @type {Address | null} */
  #loaded = null;
  #near = false;
  #stale = false; // what is loaded did not bring what is watched
  #asked = false; // for another address; an old one that is told again is read anew
  #playing = false; // or would be, if it could: with its error, Chromium's is paused
  /** @type {{ time: number, playing: boolean } | null} */
  #resume = null;
  #refreshedAt = -Infinity;
  /** @type {number | undefined} */
  #renewal;
  /** @type {number | undefined} */
  #still;
  #observer = new IntersectionObserver((entries) => this.#onNear(entries.at(-1)?.isIntersecting ?? false), {
    rootMargin: NEAR,
  });

  connectedCallback() {
    this.#prepare();
    this.#observer.observe(this);
  }

  disconnectedCallback() {
    this.#observer.disconnect();
    this.#drop();
  }

  /**
   * @param {File} file
   * @param {Job} job
   */
  show(file, job) {
    this.#prepare();
    this.#controls.name(title(job));
    this.#wanted = addressOf(file.file_url, this.#wanted);
    if (this.#near) this.#load();
  }

  pause() {
    this.#player.pause();
  }

  /** Where the focus goes that is meant for the video. */
  get handle() {
    return this.#slots[this.hasAttribute("broken") ? "again" : "play"];
  }

  #prepare() {
    if (this.#player) return;
    const content = stamp("video");
    this.#player = part(content, "video");
    this.#slots = slots(content);
    this.append(content);
    this.#controls = new Controls(this, this.#player, this.#slots);
    this.#player.addEventListener("error", () => this.#onError());
    this.#player.addEventListener("loadedmetadata", () => this.#onLoaded());
    this.#player.addEventListener("play", () => { this.#playing = true; });
    this.#player.addEventListener("pause", () => this.#onPause());
    this.#player.addEventListener("seeking", () => this.#onSeek());
    for (const type of ["waiting", "seeking", "stalled"]) this.#player.addEventListener(type, () => this.#onLack());
    for (const type of ["playing", "seeked", "timeupdate", "pause", "emptied"]) {
      this.#player.addEventListener(type, () => clearTimeout(this.#still));
    }
    this.#slots.again.addEventListener("click", () => this.#askForRefresh());
  }

  /** @param {boolean} near */
  #onNear(near) {
    this.#near = near;
    if (near) this.#load();
    else if (document.fullscreenElement !== this) this.#drop();
  }

  // The browser lets go of the decoder, and of what it has buffered.
  #drop() {
    clearTimeout(this.#renewal);
    clearTimeout(this.#still);
    if (this.#loaded === null) return;
    this.#player.pause();
    this.#playing = false;
    this.#keepPlace();
    this.#loaded = null;
    this.#player.removeAttribute("src");
    this.#player.load();
    this.#controls.rest();
  }

  #needsNewAddress() {
    if (this.#wanted === null) return false;
    if (this.#player.error || this.#loaded === null) return true;
    const renews = this.#player.paused && mayHaveExpired(this.#loaded, Date.now());
    if (this.#stale && this.#asked) return true;
    if (this.#stale || renews) return this.#wanted !== this.#loaded;
    return withoutQuery(this.#wanted.url) !== withoutQuery(this.#loaded.url);
  }

  #load() {
    if (this.#wanted === null || !this.#needsNewAddress()) return;
    if (mayHaveExpired(this.#wanted, Date.now()) && this.#mayAsk) return this.#askForRefresh();
    if (this.#loaded !== null) this.#keepPlace();
    this.#loaded = this.#wanted;
    this.#stale = this.#asked = false;
    this.#player.src = `${this.#wanted.url.split("#")[0]}#t=${BEGINNING}`;
    this.#setBroken(false);
    this.#renewLater();
  }

  // A paused video has a fresh address before the one it has ends, so that it plays at once.
  #renewLater() {
    clearTimeout(this.#renewal);
    const life = this.#loaded && lifeOf(this.#loaded);
    if (this.#loaded === null || !life) return;
    const wait = Math.max(0, this.#loaded.since + life - Date.now()) + 50;
    this.#renewal = setTimeout(() => {
      if (this.#player.paused && !this.hasAttribute("broken") && this.#mayAsk) this.#askForRefresh();
    }, Math.min(wait, 2 ** 31 - 1));
  }

  #onPause() {
    if (this.#player.error === null) this.#playing = false;
    this.#renewLater();
  }

  #onError() {
    if (this.#loaded === null) return;
    this.#keepPlace();
    if (this.#mayAsk) this.#askForRefresh();
    else this.#setBroken(true);
  }

  // What is waited for goes on where its user has gone meanwhile.
  #onSeek() {
    const time = this.#player.currentTime;
    if (this.#resume && time > BEGINNING) this.#resume.time = time;
  }

  // There is no picture yet at the place that is watched.
  #onLack() {
    const { buffered, currentTime } = this.#player;
    if (this.#loaded === null || covers(buffered, currentTime)) return;
    clearTimeout(this.#still);
    if (mayHaveExpired(this.#loaded, Date.now())) return this.#goOnFromFresh();
    this.#still = setTimeout(() => this.#goOnFromFresh(), STANDS_STILL);
  }

  #goOnFromFresh() {
    this.#keepPlace();
    this.#stale = true;
    if (this.#wanted && !mayHaveExpired(this.#wanted, Date.now()) && this.#needsNewAddress()) this.#load();
    else if (this.#mayAsk) this.#askForRefresh();
  }

  get #mayAsk() {
    const life = this.#wanted && lifeOf(this.#wanted);
    return Date.now() - this.#refreshedAt > Math.min(BETWEEN_REFRESHES, life || BETWEEN_REFRESHES);
  }

  #keepPlace() {
    this.#resume ??= { time: this.#player.currentTime, playing: this.#playing };
  }

  #onLoaded() {
    const { time, playing } = this.#resume ?? { time: 0, playing: false };
    this.#resume = null;
    // Whoever has chosen another place meanwhile is there, or on the way.
    if (time > 0 && this.#player.currentTime <= BEGINNING) this.#player.currentTime = time;
    if (playing) this.#player.play().catch(() => {}); // the browser may want a click first
  }

  /** @param {boolean} yes */
  #setBroken(yes) {
    this.toggleAttribute("broken", yes);
    this.#slots.broken.hidden = !yes;
    this.#slots.play.hidden = this.#slots.controls.hidden = yes;
  }

  #askForRefresh() {
    this.#refreshedAt = Date.now();
    this.#asked = true;
    this.dispatchEvent(new CustomEvent("rushes:refresh", { bubbles: true }));
  }
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
