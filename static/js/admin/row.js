// One received webhook as a row of the list.

/** @import { Webhook } from "./api.js" */

import { many, stamp, t } from "../i18n.js";
import { part } from "../slots.js";
import { foreign, make, timeNode } from "./dom.js";
import { milliseconds, shortTime } from "./format.js";

const ERROR_SHOWN = 300;

/**
 * A new row, to be filled.
 *
 * @returns {HTMLTableRowElement}
 */
export const newRow = () => part(stamp("webhook"), "tr");

/**
 * Shows a webhook in a row that is there; the focus stays where it is.
 *
 * @param {HTMLTableRowElement} row
 * @param {Webhook} webhook
 * @param {string} href of its detail
 */
export function fillRow(row, webhook, href) {
  const { id, received_at: received, outcome, status, job_id: job, version, origin, attempts } = webhook;
  row.dataset.id = id;
  const anchor = part(row, "a");
  anchor.href = href;
  anchor.replaceChildren(timeNode(received));
  part(row, "input").setAttribute("aria-label", t("list.select", { time: shortTime(received) }));
  part(row, ".outcome").replaceChildren(badge(outcome));
  part(row, ".status").replaceChildren(foreign(status ?? "–"));
  part(row, ".job").replaceChildren(job === null ? make("span", "none", t("list.no-job")) : foreign(job));
  part(row, ".error").replaceChildren(...reason(webhook));
  const from = [version, t(`origin.${origin}`)].filter(Boolean).join(" · ");
  part(row, ".from").replaceChildren(foreign(from));
  const tries = attempts > 1 ? [make("small", "", many("list.attempts", attempts))] : [];
  part(row, ".took").replaceChildren(milliseconds(webhook.duration_ms), ...tries);
}

/** @param {string} outcome */
export function badge(outcome) {
  const node = make("span", "badge", t(`outcome.${outcome}`));
  node.dataset.outcome = outcome;
  return node;
}

/** @param {Webhook} webhook */
function reason({ error_code: code, error }) {
  const parts = code === null ? [] : [make("code", "", code), " "];
  if (error === null) return parts;
  return [...parts, foreign(error.length > ERROR_SHOWN ? `${error.slice(0, ERROR_SHOWN)}…` : error)];
}
