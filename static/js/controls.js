// The player's own controls: a picture that plays when it is pressed, or looked at with a mouse, and a scrubber.

/** @import { RushesVideo } from "./elements/rushes-video.js" */

import { clock } from "./format.js";
import { t } from "./i18n.js";

const HOVER = 150; // ms that a mouse rests before it means to look
const STEP = 1; // seconds, by an arrow
const calm = window.matchMedia("(prefers-reduced-motion: reduce)");

/**
 * Plays and pauses one video, muted until its user wants sound. `engaged` on the root says that he has started it, and
 * `playing` that it moves: only then has it more than one stop for the Tab key.
 */
export class Controls {
  #root;
  #video;
  #slots;
  #title = "";
  /** @type {number | undefined} */
  #hover;
  #previewing = false;

  /**
   * @param {RushesVideo} root
   * @param {HTMLVideoElement} video
   * @param {Record<string, HTMLElement>} slots play, scrubber, time, sound, full
   */
  constructor(root, video, slots) {
    this.#root = root;
    this.#video = video;
    this.#slots = slots;
    root.addEventListener("pointerenter", (event) => this.#onEnter(event));
    root.addEventListener("pointerleave", () => this.#onLeave());
    root.addEventListener("keydown", (event) => this.#onKey(event));
    slots.play.addEventListener("click", () => this.toggle());
    slots.sound.addEventListener("click", () => this.#toggleSound());
    slots.full.addEventListener("click", () => this.#toggleFull());
    this.#scrubber.addEventListener("input", () => this.#seek(Number(this.#scrubber.value)));
    for (const type of ["play", "pause", "volumechange"]) video.addEventListener(type, () => this.#render());
    for (const type of ["timeupdate", "durationchange", "seeking", "emptied"]) {
      video.addEventListener(type, () => this.#renderTime());
    }
    this.#renderTime();
  }

  get #scrubber() {
    return /** @type {HTMLInputElement} */ (this.#slots.scrubber);
  }

  /** @param {string} title of what is shown */
  name(title) {
    this.#title = title;
    this.#video.setAttribute("aria-label", t("video.label", { prompt: title }));
    this.#render();
  }

  /** Stops what was only looked at, and shows as little as at first. */
  rest() {
    clearTimeout(this.#hover);
    this.#previewing = false;
    this.#root.removeAttribute("engaged");
  }

  /** As by a press on the picture: what plays because a mouse is on it goes on when that leaves. */
  toggle() {
    clearTimeout(this.#hover);
    const goesOn = this.#previewing;
    this.#previewing = false;
    this.#root.setAttribute("engaged", "");
    if (goesOn) return;
    if (this.#video.paused) this.#play();
    else this.#video.pause();
  }

  #play() {
    this.#video.play().catch(() => {}); // it says so by its error, or was paused meanwhile
  }

  /** @param {PointerEvent} event */
  #onEnter({ pointerType }) {
    if (pointerType !== "mouse" || calm.matches || !this.#video.paused || this.#root.hasAttribute("engaged")) return;
    this.#hover = setTimeout(() => {
      this.#previewing = true;
      this.#video.muted = true;
      this.#play();
    }, HOVER);
  }

  #onLeave() {
    clearTimeout(this.#hover);
    if (this.#previewing) this.#video.pause();
    this.#previewing = false;
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    const { key, target, ctrlKey, metaKey, altKey } = event;
    if (ctrlKey || metaKey || altKey || target === this.#scrubber) return;
    const { currentTime } = this.#video;
    /** @type {Record<string, () => void>} */
    const keys = {
      ArrowLeft: () => this.#seek(currentTime - STEP),
      ArrowRight: () => this.#seek(currentTime + STEP),
      m: () => this.#toggleSound(),
      f: () => this.#toggleFull(),
    };
    if (!(key in keys)) return;
    event.preventDefault();
    keys[key]();
  }

  /** @param {number} seconds */
  #seek(seconds) {
    const { duration } = this.#video;
    if (Number.isFinite(duration)) this.#video.currentTime = Math.min(duration, Math.max(0, seconds));
  }

  #toggleSound() {
    this.#video.muted = !this.#video.muted;
    this.#root.setAttribute("engaged", "");
    this.#previewing = false;
  }

  #toggleFull() {
    if (document.fullscreenElement) document.exitFullscreen();
    else if (this.#root.requestFullscreen) this.#root.requestFullscreen().catch(() => {});
    else /** @type {any} */ (this.#video).webkitEnterFullscreen?.(); // phones that know no other
  }

  #render() {
    const { paused, muted } = this.#video;
    this.#root.toggleAttribute("playing", !paused);
    this.#root.toggleAttribute("muted", muted);
    this.#slots.play.setAttribute("aria-label", t(paused ? "video.play" : "video.pause", { prompt: this.#title }));
    this.#slots.sound.setAttribute("aria-pressed", String(!muted));
  }

  #renderTime() {
    const { currentTime, duration } = this.#video;
    const whole = Number.isFinite(duration) ? duration : 0;
    this.#scrubber.max = String(whole || 1);
    this.#scrubber.value = String(currentTime);
    const said = `${clock(currentTime)} / ${clock(whole)}`;
    this.#scrubber.setAttribute("aria-valuetext", said);
    this.#root.style.setProperty("--played", String(whole ? currentTime / whole : 0));
    this.#slots.time.textContent = said;
  }
}
