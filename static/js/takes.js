// The takes of a job: a button for each, and the link by which the one that is shown is saved.

/** @import { File, Job } from "./jobs.js" */

import { downloadUrl } from "./api.js";
import { safeUrl } from "./format.js";
import { t } from "./i18n.js";

/**
 * Shows a button for each take, its number in `data-take`; none where there is one take alone.
 *
 * @param {HTMLElement} takes
 * @param {number} count
 * @param {number} current
 */
export function showTakes(takes, count, current) {
  takes.hidden = count < 2;
  while (takes.children.length > count) takes.lastElementChild?.remove();
  while (takes.children.length < count) takes.append(newTake(takes.children.length));
  [...takes.children].forEach((button, index) => button.setAttribute("aria-pressed", String(index === current)));
}

/** @param {number} index */
function newTake(index) {
  const button = document.createElement("button");
  button.type = "button";
  button.dataset.take = String(index);
  button.textContent = String(index + 1);
  button.setAttribute("aria-label", t("job.take", { number: index + 1 }));
  return button;
}

/**
 * Has a link save a file; hides it where there is none to be had.
 *
 * @param {HTMLAnchorElement} link
 * @param {Job} job
 * @param {File} [file]
 */
export function offerDownload(link, job, file) {
  const address = safeUrl(file?.file_url);
  link.hidden = address === null;
  if (file === undefined || address === null) return;
  const { origin, searchParams } = new URL(address);
  const own = origin === location.origin;
  link.href = own ? address : downloadUrl(job.id, file.id);
  // That attribute does nothing for another origin. What is signed for comes as an attachment; other files must not
  // replace this page.
  if (own) link.download = file.filename ?? "";
  else link.removeAttribute("download");
  link.target = own || searchParams.has("X-Amz-Signature") ? "" : "_blank";
  link.rel = "noopener";
}
