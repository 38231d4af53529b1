/** @import { State } from "../jobs.js" */

import { duration } from "../format.js";
import { stamp, t } from "../i18n.js";
import { slots } from "../slots.js";

/**
 * An unfinished job's state, bar and remaining time, counted down between events. What is inside comes from
 * `<template id="progress">`.
 *
 * @customElement rushes-progress
 * @example
 *   <rushes-progress></rushes-progress>
 * @example
 *   progress.show({ state: "PROCESSING", progress: 50, message: "Generating", eta_seconds: 12 });
 */
export class RushesProgress extends HTMLElement {
  /** @type {Record<string, HTMLElement>} */
  #slots;
  /** @type {number | null} */
  #readyAt = null;
  /** @type {number | undefined} */
  #tick;

  connectedCallback() {
    this.#prepare();
    this.#tick = setInterval(() => this.#renderEta(), 1000);
  }

  disconnectedCallback() {
    clearInterval(this.#tick);
  }

  /**
   * Shows where a job stands; `eta_seconds` counts from now.
   *
   * @param {Pick<State, "progress" | "state" | "message" | "eta_seconds">} job
   */
  show({ progress, state, message, eta_seconds: eta }) {
    this.#prepare();
    const { bar, number } = this.#slots;
    const value = String(Math.min(100, Math.max(0, Math.round(progress))));
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
