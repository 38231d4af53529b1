import { safeUrl, title } from "../format.js";
import { stamp, t } from "../i18n.js";
import { slots } from "../slots.js";

const BETWEEN_REFRESHES = 60_000;

/**
 * `<rushes-video>`: the player of one file.
 *
 * Loads only when it comes near the screen. A file whose address no longer works (presigned URLs expire) asks for a
 * fresh one with "rushes:refresh", once a minute at most; until then what is being watched keeps its address, since
 * every answer of the API brings a new signature for the same file.
 */
export class RushesVideo extends HTMLElement {
  #player = null;
  #broken = null;
  #wanted = null;
  #resume = null;
  #refreshedAt = -Infinity;
  #observer = null;

  connectedCallback() {
    this.#prepare();
    this.#observer = new IntersectionObserver((entries) => {
      if (entries.some((entry) => entry.isIntersecting)) this.#load();
    }, { rootMargin: "400px" });
    this.#observer.observe(this);
  }

  disconnectedCallback() {
    this.#observer.disconnect();
    this.#player.pause();
  }

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
    this.#player = content.querySelector("video");
    this.#broken = slots(content).broken;
    this.append(content);
    this.#player.addEventListener("error", () => this.#onError());
    this.#player.addEventListener("loadedmetadata", () => this.#onLoaded());
    this.querySelector("[data-action=again]").addEventListener("click", () => this.#askForRefresh());
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

const withoutQuery = (address) => address.split(/[?#]/)[0];
