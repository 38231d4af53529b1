// Statistics as charts and tables have them: pure.

/** @import { Figures, Stats } from "./api.js" */
/** @import { Filter } from "./filter.js" */

const FEW = 20;

/** @typedef {"count" | "share" | "s" | "ms"} Unit */

/**
 * One figure over time. `values` and `samples` have one for each bucket, null where there is nothing to tell; `behind` is
 * what the address of those behind it says, in any bucket: webhooks, which are counted when they are received, or
 * generations, which are when they end.
 *
 * @typedef {object} Series
 * @property {string} name
 * @property {number | null} total of all buckets
 * @property {(number | null)[]} values
 * @property {number[] | null} samples null of a count
 * @property {Behind | null} behind null where nothing is
 */

/** @typedef {Partial<Filter> & { view?: "generations", ended?: string, timed?: "true" }} Behind */

/** `behind` is what all of a bucket is opened by. @typedef {{ name: string, unit: Unit, stacked: boolean, series: Series[],
 *   behind: Behind }} Chart */

/** @type {{ view: "generations" }} */
const ENDED = { view: "generations" };

/**
 * @param {Stats} stats
 * @param {number} partial the bucket that is not over, or -1
 * @returns {Chart[]}
 */
export function chartsOf(stats, partial) {
  const all = [stats.totals, ...stats.buckets];
  const completed = { ...ENDED, ended: "completed" };
  const outcomes = Object.keys(stats.totals.webhooks);
  const kinds = Object.keys(stats.totals.failed_by_kind);
  return [
    { name: "webhooks", unit: "count", stacked: true, behind: {},
      series: outcomes.map((outcome) => series(all, outcome, (of) => of.webhooks[outcome] ?? 0, { outcome })) },
    { name: "ends", unit: "count", stacked: true, behind: ENDED, series: [
      series(all, "finished", (of) => of.finished, completed),
      ...kinds.map((kind) => series(all, kind, (of) => of.failed_by_kind[kind] ?? 0, { ...ENDED, ended: kind }))] },
    { name: "success", unit: "share", stacked: false, behind: ENDED, series: [
      series(all, "rate", (of) => of.success_rate, ENDED, (of) => of.finished + of.failed)] },
    withOldest(times(all, "job_seconds", "s", { ...completed, timed: "true" }), stats, partial),
    times(all, "webhook_ms", "ms", {}),
  ];
}

/**
 * In a stall nothing finishes, and what finished says nothing of it: so the age of the oldest job that goes on stands over
 * the bucket that is not over.
 *
 * @param {Chart} chart
 * @param {Stats} stats
 * @param {number} partial
 * @returns {Chart}
 */
function withOldest(chart, { buckets, now: { oldest_unfinished_seconds: age } }, partial) {
  if (age === null || partial < 0) return chart;
  const values = buckets.map((_, at) => (at === partial ? age : null));
  return { ...chart, series: [...chart.series, { name: "oldest", total: age, values, samples: null, behind: null }] };
}

/**
 * @param {Figures[]} all the totals first
 * @param {"job_seconds" | "webhook_ms"} name
 * @param {Unit} unit
 * @param {Behind} behind
 * @returns {Chart}
 */
function times(all, name, unit, behind) {
  const of = (/** @type {"mean" | "p50" | "p95"} */ which) =>
    series(all, which, (figures) => figures[name][which], behind, (figures) => figures[name].n);
  return { name, unit, stacked: false, behind, series: [of("mean"), of("p50"), of("p95")] };
}

/**
 * @param {Figures[]} all
 * @param {string} name
 * @param {(of: Figures) => number | null} value
 * @param {Behind} behind
 * @param {((of: Figures) => number) | null} [samples]
 * @returns {Series}
 */
function series([totals, ...buckets], name, value, behind, samples = null) {
  return { name, total: value(totals), values: buckets.map(value), samples: samples && buckets.map(samples), behind };
}

/**
 * What the address of those behind a bucket says, of a series of it, or of all buckets; null of what is purged.
 *
 * @param {Stats} stats
 * @param {number | null} at the bucket; null for all
 * @param {Behind} [behind]
 * @returns {Behind | null}
 */
export function behindOf(stats, at, behind = {}) {
  const from = at === null ? stats.from : stats.buckets[at].start;
  const to = at === null ? stats.to : stats.buckets[at + 1]?.start ?? stats.to;
  return stats.kept_from && Date.parse(from) < Date.parse(stats.kept_from) ? null : { ...behind, from, to };
}

/**
 * The bucket that is not over yet, or -1.
 *
 * @param {Stats} stats
 * @param {number} now in ms
 */
export const partialOf = (stats, now) => (Date.parse(stats.to) > now ? stats.buckets.length - 1 : -1);

/**
 * Whether a figure is of too few to mean much.
 *
 * @param {Series} one
 * @param {number} at
 */
export const isThin = ({ samples }, at) => samples !== null && samples[at] < FEW;

/**
 * A line in three: what is sure, what is of few, what is not over yet. Each has the ends of its stretches, so that they
 * meet.
 *
 * @param {Series} one
 * @param {number} partial
 */
export function linesOf(one, partial) {
  const kind = (/** @type {number} */ at) => (at === partial ? 2 : isThin(one, at) ? 1 : 0);
  return [0, 1, 2].map((which) => one.values.map((value, at) => {
    const reaches = which > 0 && at + 1 < one.values.length && kind(at + 1) === which;
    const left = which === 1 && at > 0 && kind(at - 1) === 1 && kind(at) === 0;
    return kind(at) === which || (reaches && kind(at) < which) || left ? value : null;
  }));
}

/**
 * Counts on top of each other: for each series the sum of those up to it.
 *
 * @param {Series[]} all
 * @returns {number[][]}
 */
export function stackedOf(all) {
  /** @type {number[]} */
  let below = [];
  return all.map(({ values }) => (below = values.map((value, at) => (value ?? 0) + (below[at] ?? 0))));
}
