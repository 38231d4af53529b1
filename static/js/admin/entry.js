// One act of an admin or a command, as a row.

/** @import { Audited } from "./api.js" */

import { t } from "../i18n.js";
import { foreign, link, make, timeNode } from "./dom.js";
import { addressOf, EVER } from "./filter.js";

/**
 * When, who, what, to what, and what it changed.
 *
 * @param {Audited} entry
 */
export function entryRow({ at, who, by, act, webhook_id: webhook, job_id: job, before, after }) {
  const means = by === "command" ? [" ", make("small", "", t("audit.command"))] : [];
  const on = [];
  if (webhook !== null) on.push(link(`?webhook=${encodeURIComponent(webhook)}`, t("audit.webhook")));
  if (job !== null) {
    const anchor = link(addressOf({ job_id: job }), "");
    anchor.append(foreign(job));
    on.push(on.length > 0 ? " · " : "", anchor);
  }
  const change = make("td", "");
  if (before !== null) change.append(make("del", "", told(before)), " → ");
  change.append(after === null ? make("em", "", t("audit.open")) : make("ins", "", told(after)));
  return make("tr", "", make("td", "when", timeNode(at)), make("td", "", foreign(who), ...means),
    make("td", "", t(`audit.act.${act}`)), make("td", "", ...on), change);
}

/** @param {unknown} words */
function told(words) {
  return foreign(typeof words === "object" && words !== null ? named(words) : JSON.stringify(words));
}

/**
 * A few words by name, and those within one as a filter has them; an outcome in those of the page.
 *
 * @param {object} words
 * @returns {string}
 */
function named(words) {
  const parts = Object.entries(words).filter(([, value]) => value !== null && value !== EVER).map(([name, value]) => {
    if (name === "outcome") return t(`outcome.${value}`);
    if (typeof value === "object" && !Array.isArray(value)) return `${name}: (${named(value)})`;
    return `${name}: ${typeof value === "string" ? value : JSON.stringify(value)}`;
  });
  return parts.join(", ");
}
