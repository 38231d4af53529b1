// Which webhooks are meant: as the address of the page names them, and as the API takes them. Pure.

/** Those that are as they stand in the address and in a request. */
export const FIELDS = /** @type {const} */ (["outcome", "status", "job_id", "version", "origin", "q"]);

/** As the server says that there is no bound. */
export const EVER = "1970-01-01T00:00:00.000Z";

const HOUR = 3_600_000;

/** Windows of time that end now, in ms. @type {Record<string, number>} */
export const WINDOWS = { "1h": HOUR, "24h": 24 * HOUR, "7d": 7 * 24 * HOUR, "30d": 30 * 24 * HOUR };

/**
 * Each is a text, "" where it does not matter. `last` is one of WINDOWS, and there only without `from` and `to`, which
 * are times in UTC: from <= received_at < to.
 *
 * @typedef {Record<typeof FIELDS[number] | "last" | "from" | "to", string>} Filter
 */

/**
 * The filter that an address names; what it says and cannot be is passed over.
 *
 * @param {URLSearchParams} params
 * @returns {Filter}
 */
export function filterOf(params) {
  /** @type {Record<string, string>} */
  const found = {};
  for (const field of FIELDS) found[field] = (params.get(field) ?? "").trim();
  found.from = moment(params.get("from"));
  found.to = moment(params.get("to"));
  const last = params.get("last") ?? "";
  found.last = found.from || found.to || !Object.hasOwn(WINDOWS, last) ? "" : last;
  return /** @type {Filter} */ (found);
}

/**
 * The address of a filter, with what differs from the default alone.
 *
 * @param {Record<string, string>} filter
 */
export function addressOf(filter) {
  const said = Object.entries(filter).filter(([, value]) => value !== "");
  return said.length === 0 ? "/admin" : `?${new URLSearchParams(said)}`;
}

/**
 * The filter with its bounds in UTC, which mean the same however late they are read; "" where there is none.
 *
 * @param {Filter} filter
 * @param {number} now in ms
 * @returns {Record<string, string>}
 */
export function absolute({ last, ...filter }, now) {
  if (last === "") return filter;
  return { ...filter, from: new Date(now - WINDOWS[last]).toISOString() };
}

/**
 * What the API is asked with.
 *
 * @param {Filter} filter
 * @param {number} now in ms
 */
export function queryOf(filter, now) {
  return new URLSearchParams(Object.entries(absolute(filter, now)).filter(([, value]) => value !== ""));
}

/** @param {string | null} text */
function moment(text) {
  const at = new Date(text ?? "");
  return Number.isNaN(at.getTime()) ? "" : at.toISOString();
}
