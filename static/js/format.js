// Numbers, times and addresses as people read them.

/** @import { Job } from "./jobs.js" */

import { lang, t } from "./i18n.js";

const relative = new Intl.RelativeTimeFormat(lang, { numeric: "auto" });
const absolute = new Intl.DateTimeFormat(lang, { dateStyle: "long", timeStyle: "short" });
const counts = new Intl.NumberFormat(lang);
const sizes = ["byte", "kilobyte", "megabyte", "gigabyte"].map((unit) =>
  new Intl.NumberFormat(lang, { style: "unit", unit, unitDisplay: "short", maximumFractionDigits: 1 }));
/** @type {[number, Intl.RelativeTimeFormatUnit, number][]} */
const STEPS = [[60, "second", 1], [3600, "minute", 60], [86400, "hour", 3600], [7 * 86400, "day", 86400],
  [30 * 86400, "week", 7 * 86400], [365 * 86400, "month", 30 * 86400], [Infinity, "year", 365 * 86400]];

/** @param {number} number */
const two = (number) => String(number).padStart(2, "0");

/**
 * Seconds as "45 s", "1 min 01 s" or "1 h 02 min".
 *
 * @param {number} seconds
 */
export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} min`;
}

/**
 * Seconds as a player shows them: "0:03", "1:02".
 *
 * @param {number} seconds
 */
export const clock = (seconds) => `${Math.floor(seconds / 60)}:${two(Math.floor(seconds % 60))}`;

/**
 * Bytes as "4.8 MB" (fr: "4,8 Mo").
 *
 * @param {number} bytes
 */
export function fileSize(bytes) {
  const power = bytes < 1000 ? 0 : Math.min(3, Math.floor(Math.log10(bytes) / 3));
  return sizes[power].format(bytes / 1000 ** power);
}

/**
 * "3 minutes ago", "yesterday"; a clock that is a little behind the server's must not say "in 2 seconds".
 *
 * @param {string} time
 */
export function ago(time) {
  const seconds = (Date.now() - Date.parse(time)) / 1000;
  if (seconds < 45) return relative.format(0, "second");
  const [, unit, size] = STEPS.find(([limit]) => seconds < limit) ?? STEPS[0];
  return relative.format(-Math.floor(seconds / size), unit);
}

/**
 * "10,000" (fr: "10 000").
 *
 * @param {number} number
 */
export const whole = (number) => counts.format(number);

/** @param {string} time */
export const fullTime = (time) => absolute.format(new Date(time));

/**
 * "veo-2.0-generate-001" as "Veo 2.0"; other models as they are.
 *
 * @param {string} model
 */
export function modelName(model) {
  const [, number] = /^veo-([\d.]+)/.exec(model) ?? [];
  return number ? `Veo ${number}` : model;
}

/**
 * The address of a file if it is one a browser may fetch (http, https, relative), else null: never `javascript:`.
 *
 * @param {unknown} address
 */
export function safeUrl(address) {
  if (typeof address !== "string" || address === "") return null;
  try {
    const url = new URL(address, document.baseURI);
    return url.protocol === "https:" || url.protocol === "http:" ? url.href : null;
  } catch {
    return null;
  }
}

/** @param {Job} job */
export const title = (job) => job.prompt ?? t("job.untitled", { id: job.id });
