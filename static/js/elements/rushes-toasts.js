import { stamp } from "../i18n.js";
import { slots } from "../slots.js";

const STAY = 8_000;
const MOST = 3;

/** `<rushes-toasts aria-live="polite">`: short announcements that leave by themselves, unless one is at them. */
export class RushesToasts extends HTMLElement {
  #timers = new Set();

  disconnectedCallback() {
    for (const timer of this.#timers) clearInterval(timer);
    this.#timers.clear();
  }

  /** `kind` is "ready", "failed" or "notice"; with `onShow` the toast has a button that calls it. */
  add(kind, heading, text = "", onShow = null) {
    const content = stamp("toast");
    const parts = slots(content);
    const toast = content.firstElementChild;
    toast.dataset.kind = kind;
    parts.title.textContent = heading;
    parts.text.textContent = text;
    toast.querySelector("[data-action=close]").addEventListener("click", () => toast.remove());
    this.#wireShow(toast, onShow);
    this.append(content);
    while (this.children.length > MOST) this.firstElementChild.remove();
    this.#removeLater(toast);
  }

  #wireShow(toast, onShow) {
    const button = toast.querySelector("[data-action=show]");
    button.hidden = onShow === null;
    button.addEventListener("click", () => {
      toast.remove();
      onShow();
    });
  }

  // Time runs only while nobody points at the toast or has focus in it.
  #removeLater(toast) {
    let left = STAY;
    const timer = setInterval(() => {
      if (!toast.matches(":hover, :focus-within")) left -= 500;
      if (left > 0 && toast.isConnected) return;
      toast.remove();
      clearInterval(timer);
      this.#timers.delete(timer);
    }, 500);
    this.#timers.add(timer);
  }
}
