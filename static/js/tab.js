// The page's tab, for whoever looks at another one: its title and icon tell of the job that is furthest.

/** @import { Job } from "./jobs.js" */

import { duration } from "./format.js";
import { t } from "./i18n.js";
import { nearest, onward, timeLeft } from "./timeleft.js";

const TITLE = document.title;
const icon = /** @type {HTMLLinkElement} */ (document.querySelector("link[rel=icon]"));
const ICON = icon.href;

/**
 * Tells of the jobs that go on; of none, nothing.
 *
 * @param {Job[]} jobs
 */
export function tellTab(jobs) {
  const job = nearest(jobs);
  const left = job && timeLeft(job, job.heardAt, Date.now());
  const percent = job && left && Math.floor(onward(job.shown, left.value));
  const wait = left?.late ? t("job.late") : left?.seconds ? `≈ ${duration(left.seconds)}` : "";
  const title = percent === undefined ? TITLE : [`${percent} %`, wait, TITLE].filter(Boolean).join(" · ");
  if (document.title !== title) document.title = title;
  const address = percent === undefined ? ICON : ring(percent);
  if (icon.href !== address) icon.href = address;
}

/** @param {number} percent */
function ring(percent) {
  const length = (2 * Math.PI * 11 * percent) / 100;
  const circle = 'cx="16" cy="16" r="11" fill="none" stroke-width="6"';
  return `data:image/svg+xml,${encodeURIComponent('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">'
    + '<rect width="32" height="32" rx="7" fill="#15171b"/>'
    + `<circle ${circle} stroke="#3a3e46"/>`
    + `<circle ${circle} stroke="#f0905f" stroke-dasharray="${length.toFixed(1)} 99" transform="rotate(-90 16 16)"/></svg>`)}`;
}
