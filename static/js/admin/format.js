// Numbers, times and lengths of time as operators read them.

import { lang } from "../i18n.js";

const numbers = new Intl.NumberFormat(lang, { maximumFractionDigits: 1 });
const significant = new Intl.NumberFormat(lang, { maximumSignificantDigits: 3 });
const percents = new Intl.NumberFormat(lang, { style: "percent", maximumFractionDigits: 1 });
const clock = new Intl.DateTimeFormat(lang, { timeStyle: "medium" });
const dayAndClock = new Intl.DateTimeFormat(lang, {
  day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit",
});
const whole = new Intl.DateTimeFormat(lang, {
  dateStyle: "medium", timeStyle: "long",
});

/** @param {number} value */
export const number = (value) => numbers.format(value);

/** @param {number} share */
export const percent = (share) => percents.format(share);

/**
 * Milliseconds as "3.1 ms" or "2.5 s".
 *
 * @param {number} ms
 */
export const milliseconds = (ms) => (ms < 1000 ? `${significant.format(ms)} ms` : `${significant.format(ms / 1000)} s`);

/**
 * The time of day, and the day where it is not today.
 *
 * @param {string} time
 */
export function shortTime(time) {
  const at = new Date(time);
  const today = at.toDateString() === new Date().toDateString();
  return (today ? clock : dayAndClock).format(at);
}

/**
 * With its day and zone.
 *
 * @param {string} time
 */
export const wholeTime = (time) => whole.format(new Date(time));
