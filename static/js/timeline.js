// A job's events, as its page lists them.

/** @import { Step } from "./api.js" */

import { duration, fullTime } from "./format.js";
import { lang, stamp, t } from "./i18n.js";
import { part, slots } from "./slots.js";
import { messageIn } from "./texts.js";

const seconds = new Intl.NumberFormat(lang, { maximumFractionDigits: 1 });
const clock = new Intl.DateTimeFormat(lang, { timeStyle: "medium" });
const day = new Intl.DateTimeFormat(lang, { dateStyle: "short" });

// What users did, of which the event's own message says nothing.
/** @type {Record<string, string>} */
const DONE = { dismissed: t("step.dismissed"), deleted: t("step.deleted"), restored: t("step.restored") };

/**
 * One event, when it was, and how long after the one before.
 *
 * @param {Step} step
 * @param {number} index
 * @param {Step[]} steps
 */
export function stepElement(step, index, steps) {
  const content = stamp("step");
  const { time, event, between } = slots(content);
  const moment = /** @type {HTMLTimeElement} */ (time);
  const at = step.occurred_at;
  part(content, "li").dataset.event = step.event;
  if (at) moment.dateTime = at;
  const forms = beginsDay(index, steps) ? [day, clock] : [clock];
  moment.textContent = at ? forms.map((form) => form.format(new Date(at))).join(" ") : "";
  moment.title = at ? fullTime(at) : "";
  event.textContent = DONE[step.event] ?? messageIn(lang, step.message || step.event);
  const passed = (Date.parse(at ?? "") - Date.parse(steps[index - 1]?.occurred_at ?? "")) / 1000;
  between.textContent = passed >= 0 ? `+ ${passed < 10 ? `${seconds.format(passed)} s` : duration(passed)}` : ""; // clocks differ
  return content;
}

/**
 * Whether it is the first of a day, where there are steps of another one.
 *
 * @param {number} index
 * @param {Step[]} steps
 */
function beginsDay(index, steps) {
  const days = steps.map(({ occurred_at: at }) => at && day.format(new Date(at)));
  return days[index] !== days[index - 1] && days.some((other) => other !== days[index]);
}
