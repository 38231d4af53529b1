// How far a job is and how long it still takes, between two events. Pure: no DOM, no clock but the one passed in.

/** @import { Job } from "./jobs.js" */

import { isUnfinished } from "./jobs.js";

// Where stages begin. What is shown creeps most of the way to the next one, and waits there for it to be told.
const STAGES = [0, 25, 50, 75, 95, 100];
const WAITS_AT = 0.9;

/**
 * @typedef {object} TimeLeft
 * @property {number} value percent to show
 * @property {number | null} seconds that half of all such jobs still take; null where that is not known, or passed
 * @property {number | null} usually the seconds that nine of ten do not exceed, null likewise
 * @property {boolean} late it takes longer than nearly all others did
 */

/**
 * What to show of a job that goes on, whose newest word was heard at `heardAt`. Both times are in milliseconds.
 *
 * @param {Pick<Job, "progress" | "eta_seconds" | "eta_p90_seconds">} job
 * @param {number} heardAt
 * @param {number} now
 * @returns {TimeLeft}
 */
export function timeLeft({ progress, eta_seconds: eta, eta_p90_seconds: p90 }, heardAt, now) {
  const told = Math.min(100, Math.max(0, progress));
  if (eta === null) return { value: told, seconds: null, usually: null, late: false };
  const passed = Math.max(0, (now - heardAt) / 1000);
  const usually = (p90 ?? eta) - passed;
  return {
    value: creep(told, eta, passed),
    seconds: eta - passed >= 1 ? eta - passed : null,
    usually: usually >= 1 ? usually : null,
    late: usually < 1,
  };
}

/**
 * @param {number} told
 * @param {number} eta
 * @param {number} passed
 */
function creep(told, eta, passed) {
  const next = STAGES.find((stage) => stage > told) ?? 100;
  const share = eta > 0 ? Math.min(1, passed / eta) : 1;
  return told + Math.min(WAITS_AT * (next - told), share * (100 - told));
}

/**
 * The percent to show after `before`, or on a first look at a job that is null: what is shown never goes back.
 *
 * @param {number | null} before
 * @param {number} value
 */
export const onward = (before, value) => Math.max(before ?? 0, value);

/**
 * The job that is to be looked forward to in the tab's title: of those that go on the one that is furthest.
 *
 * @param {Job[]} jobs
 * @returns {Job | undefined}
 */
export function nearest(jobs) {
  return jobs.filter(isUnfinished).toSorted((one, other) => other.progress - one.progress)[0];
}
