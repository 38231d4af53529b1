// A video made again: pressed in several tabs, or again after no answer, also after a reload, it makes no second one.

/** @import { Job } from "./jobs.js" */

import { getJob, retryJob } from "./api.js";
import { applyDetails } from "./jobs.js";
import { forgetTries, keyOfTry, tryWasRefused } from "./keys.js";
import { isSettled, Refusal } from "./refusal.js";

/**
 * Has the same video made in a new job, of which it tells; throws a Refusal.
 *
 * @param {Job} job
 */
export async function tryAgain(job) {
  if (job.completed_at === undefined) applyDetails(job, await getJob(job.id)); // when it failed is part of the key
  const key = keyOfTry(job);
  try {
    const started = await retryJob(job.id, key);
    forgetTries(job.id);
    return started;
  } catch (error) {
    if (error instanceof Refusal && isSettled(error)) tryWasRefused(job, key);
    throw error;
  }
}
