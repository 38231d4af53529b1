import { t } from "../i18n.js";
import { part } from "../slots.js";

const MUTED = "rushes.muted";

/**
 * Asks for the right to notify when it is clicked, never by itself. Says what happened with "rushes:notice". It is
 * hidden where there are no notifications.
 *
 * @customElement rushes-bell
 * @example
 *   <rushes-bell hidden>
 *     <button type="button" aria-pressed="false"></button>
 *   </rushes-bell>
 * @example
 *   bell.notify("Video ready", { body: "A fox", tag: "cm123abc456", onClick: () => card.scrollIntoView() });
 */
export class RushesBell extends HTMLElement {
  /** @type {HTMLElement} */
  #button;
  #onClick = () => this.#toggle();

  connectedCallback() {
    this.#button = part(this, "button");
    this.#button.addEventListener("click", this.#onClick);
    this.hidden = !("Notification" in window);
    this.#render();
  }

  disconnectedCallback() {
    this.#button.removeEventListener("click", this.#onClick);
  }

  /**
   * Shows a notification if the user wants them.
   *
   * @param {string} heading
   * @param {object} what
   * @param {string} what.body
   * @param {string} what.tag a later one of the same tag replaces this one
   * @param {() => void} what.onClick
   */
  notify(heading, { body, tag, onClick }) {
    // Also while this tab is shown: a window that others cover is not hidden, and the user may look at another screen.
    if (!this.#on) return;
    try {
      // The tag makes all open tabs show one notification: each replaces that of another without a new alert.
      const notification = new Notification(heading, { body, tag, icon: "/static/favicon.svg" });
      notification.onclick = () => {
        window.focus();
        notification.close();
        onClick();
      };
    } catch {
      // Chrome on Android allows notifications from service workers only; the page itself still shows everything.
    }
  }

  get #on() {
    return "Notification" in window && Notification.permission === "granted" && !muted();
  }

  async #toggle() {
    if (this.#on) mute(true);
    else if ((await Notification.requestPermission()) === "granted") mute(false);
    this.#render();
    const blocked = Notification.permission === "denied";
    if (blocked || this.#on) this.#say(t(blocked ? "bell.blocked" : "bell.enabled"));
  }

  #render() {
    const label = t(this.#on ? "bell.off" : "bell.on");
    this.#button.setAttribute("aria-pressed", String(this.#on));
    this.#button.setAttribute("aria-label", t("bell.on"));
    this.#button.title = label;
  }

  /** @param {string} text */
  #say(text) {
    this.dispatchEvent(new CustomEvent("rushes:notice", { bubbles: true, detail: { text } }));
  }
}

function muted() {
  try {
    return localStorage.getItem(MUTED) === "yes";
  } catch {
    return false;
  }
}

/** @param {boolean} yes */
function mute(yes) {
  try {
    if (yes) localStorage.setItem(MUTED, "yes");
    else localStorage.removeItem(MUTED);
  } catch {
    // Storage is switched off: the browser's own setting is the only switch then.
  }
}
