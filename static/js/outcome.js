// What is said of a job that has failed, or has brought fewer videos than were asked for.

/** @import { Job } from "./jobs.js" */

import { t } from "./i18n.js";
import { partialOf } from "./jobs.js";

/**
 * Of a failure: what to do about it comes first, the reason is in the sender's words. Of what was cancelled no reason is
 * told, which would say what the title does.
 *
 * @param {Job} job
 */
export function failureWords({ failure, error }) {
  const cancelled = failure?.kind === "cancelled";
  const title = t(cancelled ? "job.cancelled" : "job.failed");
  return { title, advice: failure?.advice ?? "", reason: cancelled ? null : error ?? "" };
}

/**
 * How many came, and what became of the others; null where all did.
 *
 * @param {Job} job
 */
export function partialWords(job) {
  const found = partialOf(job);
  if (found === null) return null;
  const { filtered, ...counts } = found;
  const said = t(`partial.${filtered ? "filtered" : "missing"}${found.missing === 1 ? ".one" : ""}`, counts);
  return [said, job.failure?.advice].filter(Boolean).join(" ");
}
