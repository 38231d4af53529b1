// Which span of time the figures are of, as the address says it and as the API takes it. Pure.

/** @typedef {"hour" | "day"} Bucket */

/** Spans that end now: how many days, and by what they are told unless one says. @type {Record<string, [number, Bucket]>} */
export const RANGES = { "24h": [1, "hour"], "7d": [7, "hour"], "30d": [30, "day"], "90d": [90, "day"] };

const DEFAULT = "24h";
const DAY = 86_400_000;
const DATE = /^\d{4}-\d\d-\d\d$/;

/**
 * `name` is one of RANGES, or "own": then `from` and `to` are its first and last day.
 *
 * @typedef {{ name: string, bucket: Bucket, from: string, to: string }} Range
 */

/**
 * @param {URLSearchParams} params
 * @returns {Range}
 */
export function rangeOf(params) {
  const from = params.get("from") ?? "";
  const to = params.get("to") ?? "";
  const asked = params.get("range") ?? "";
  const own = DATE.test(from) && DATE.test(to) && from <= to;
  const name = own ? "own" : Object.hasOwn(RANGES, asked) ? asked : DEFAULT;
  const said = params.get("bucket");
  const bucket = said === "hour" || said === "day" ? said : usual(name);
  return { name, bucket, from: own ? from : "", to: own ? to : "" };
}

/**
 * The address of the figures, with what differs from the default alone.
 *
 * @param {Range} range
 */
export function addressOfRange({ name, bucket, from, to }) {
  const params = new URLSearchParams({ view: "figures" });
  if (name === "own") for (const [key, day] of [["from", from], ["to", to]]) params.set(key, day);
  else if (name !== DEFAULT) params.set("range", name);
  if (bucket !== usual(name)) params.set("bucket", bucket);
  return `?${params}`;
}

/**
 * What the API is asked with. Whole days are told as dates, and are those of the zone.
 *
 * @param {Range} range
 * @param {number} now in ms
 * @param {string} timezone
 */
export function statsQuery({ name, bucket, from, to }, now, timezone) {
  const query = new URLSearchParams({ bucket, timezone });
  if (name === "own") {
    query.set("from", from);
    query.set("to", dayAfter(to));
  } else if (name !== DEFAULT) {
    const [days] = RANGES[name];
    query.set("from", bucket === "hour" ? new Date(now - days * DAY).toISOString() : dayBefore(now, days - 1, timezone));
  }
  return query;
}

/** @param {string} name @returns {Bucket} */
const usual = (name) => (name === "own" ? "day" : RANGES[name][1]);

/** @param {string} date */
const dayAfter = (date) => new Date(Date.parse(date) + DAY).toISOString().slice(0, 10);

/**
 * The date so many days ago in a zone.
 *
 * @param {number} now
 * @param {number} days
 * @param {string} timeZone
 */
function dayBefore(now, days, timeZone) {
  const today = new Intl.DateTimeFormat("en-CA", { timeZone, dateStyle: "short" }).format(now); // 2026-03-29
  return new Date(Date.parse(today) - days * DAY).toISOString().slice(0, 10);
}
