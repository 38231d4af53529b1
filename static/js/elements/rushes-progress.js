import { duration } from "../format.js";
import { stamp, t } from "../i18n.js";
import { slots } from "../slots.js";

/** `<rushes-progress>`: an unfinished job's state, bar and remaining time, counted down between events. */
export class RushesProgress extends HTMLElement {
  #slots = null;
  #readyAt = null;
  #tick = null;

  connectedCallback() {
    this.#prepare();
    this.#tick = setInterval(() => this.#renderEta(), 1000);
  }

  disconnectedCallback() {
    clearInterval(this.#tick);
  }

  /** Shows `progress` (0–100), `state`, `message` and, counted from now, `eta_seconds` (or null). */
  show({ progress, state, message, eta_seconds: eta }) {
    this.#prepare();
    const { bar, number } = this.#slots;
    const value = Math.min(100, Math.max(0, Math.round(progress)));
    this.style.setProperty("--value", value);
    number.textContent = value;
    this.#slots.state.textContent = t(`state.${state === "PENDING" ? state : "PROCESSING"}`);
    this.#slots.message.textContent = message;
    bar.setAttribute("aria-valuenow", value);
    bar.setAttribute("aria-valuetext", message ? `${value} % – ${message}` : `${value} %`);
    this.#readyAt = eta === null ? null : Date.now() + eta * 1000;
    this.#renderEta();
  }

  #prepare() {
    if (this.#slots) return;
    const content = stamp("progress");
    this.#slots = slots(content);
    this.append(content);
  }

  #renderEta() {
    const left = this.#readyAt === null ? null : (this.#readyAt - Date.now()) / 1000;
    this.#slots.eta.textContent = left === null ? "" : left < 1 ? t("job.soon") : `≈ ${duration(left)}`;
  }
}
