/** @import { Job } from "../jobs.js" */

import { duration } from "../format.js";
import { lang, stamp, t } from "../i18n.js";
import { newJob } from "../jobs.js";
import { slots } from "../slots.js";
import { messageIn } from "../texts.js";
import { onward, timeLeft } from "../timeleft.js";

/**
 * An unfinished job's state, bar and remaining time. Between events the bar creeps on and the time counts down; whoever
 * hears the page is told of stages only. What is inside comes from `<template id="progress">`.
 *
 * @customElement rushes-progress
 * @example
 *   <rushes-progress></rushes-progress>
 * @example
 *   applyEvent(job, event);
 *   progress.show(job);
 */
export class RushesProgress extends HTMLElement {
  /** @type {Record<string, HTMLElement>} */
  #slots;
  #job = newJob("");
  /** @type {number | undefined} */
  #tick;

  connectedCallback() {
    this.#prepare();
    this.#tick = setInterval(() => this.#tell(), 1000);
  }

  disconnectedCallback() {
    clearInterval(this.#tick);
  }

  /**
   * Shows where a job stands.
   *
   * @param {Job} job
   */
  show(job) {
    this.#prepare();
    this.#job = job;
    const { progress, state } = job;
    const message = messageIn(lang, job.message);
    const { bar } = this.#slots;
    const value = String(Math.min(100, Math.max(0, Math.round(progress))));
    this.#slots.state.textContent = t(`state.${state === "PENDING" ? state : "PROCESSING"}`);
    this.#slots.message.textContent = message;
    bar.setAttribute("aria-valuenow", value);
    bar.setAttribute("aria-valuetext", message ? `${value} % – ${message}` : `${value} %`);
    this.#tell();
  }

  #prepare() {
    if (this.#slots) return;
    const content = stamp("progress");
    this.#slots = slots(content);
    this.append(content);
  }

  #tell() {
    if (this.closest("[unheard]")) return this.#stop();
    const job = this.#job;
    const { value, seconds, usually, late } = timeLeft(job, job.heardAt, Date.now());
    job.shown = onward(job.shown, value);
    const shown = String(Math.floor(job.shown));
    this.style.setProperty("--value", job.shown.toFixed(1));
    this.#slots.number.textContent = shown;
    this.#slots.eta.textContent = late ? t("job.late") : inWords(seconds, usually);
    this.#slots.eta.title = usually === null ? "" : t("job.usually", { time: duration(usually) });
  }

  // While nothing is heard, it may have ended long ago.
  #stop() {
    this.#slots.eta.textContent = this.#slots.eta.title = "";
  }
}

/**
 * @param {number | null} seconds
 * @param {number | null} usually
 */
function inWords(seconds, usually) {
  if (seconds !== null) return `≈ ${duration(seconds)}`;
  return usually === null ? "" : t("job.usually", { time: duration(usually) });
}
