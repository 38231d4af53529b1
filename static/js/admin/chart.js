// Draws a chart with uPlot, which set-up brings. Without it the page has the same figures in tables.

/** @import { Chart, Series, Unit } from "./figures.js" */
/** @import { Stats } from "./api.js" */
/** @import uPlot from "uplot" */

import { linesOf, stackedOf } from "./figures.js";

const HEIGHT = 190;
const LEAST = 0.001; // a log axis has no zero
const DASH = [4, 4];

/**
 * @typedef {object} Drawing
 * @property {Stats} stats
 * @property {number} partial the bucket that is not over, or -1
 * @property {(value: number, unit: Unit) => string} say
 * @property {(at: number | null) => void} onPoint to this bucket, or away from all
 * @property {(at: number) => void} onPick
 * @property {{ at: number, version: string }[]} starts of versions, in seconds
 */

/** @type {Promise<boolean> | null} */
let loading = null;

/** Whether uPlot is there; it is fetched once. */
export function canDraw() {
  loading ??= new Promise((answer) => {
    const sheet = document.createElement("link");
    sheet.rel = "stylesheet";
    sheet.href = "/static/vendor/uplot/uPlot.min.css";
    const script = document.createElement("script");
    script.src = "/static/vendor/uplot/uPlot.iife.min.js";
    script.addEventListener("load", () => answer("uPlot" in window));
    script.addEventListener("error", () => answer(false));
    document.head.append(sheet, script);
  });
  return loading;
}

/**
 * The colour of a series, as the style sheet has it.
 *
 * @param {string} name
 * @param {number} at its place among the others
 */
export const colourOf = (name, at) => (["applied", "finished", "rate"].includes(name) ? "good" :
  ["dead", "p95"].includes(name) ? "alarm" : `c${(at + 1) % 7}`);

/**
 * Draws it into `root`, as wide as that is; returns what takes it away.
 *
 * @param {HTMLElement} root
 * @param {Chart} chart
 * @param {Drawing} drawing
 */
export function draw(root, chart, drawing) {
  const { stats } = drawing;
  const edges = [...stats.buckets.map(({ start }) => start), stats.to].map((time) => Date.parse(time) / 1000);
  const middles = stats.buckets.map((_, at) => (edges[at] + edges[at + 1]) / 2);
  const layers = chart.stacked ? bars(root, chart, drawing.partial) : lines(root, chart, drawing.partial);
  const log = chart.unit === "s" || chart.unit === "ms";
  const width = () => Math.max(200, root.clientWidth);
  const made = new window.uPlot({
    width: width(), height: HEIGHT, legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false, setScale: false }, points: { show: !chart.stacked } },
    scales: { x: { range: [edges[0], edges[edges.length - 1]] }, y: scaleOf(chart, log) },
    axes: axesOf(root, chart, drawing),
    series: [{}, ...layers.map(([, options]) => options)],
    hooks: {
      setCursor: [(plot) => drawing.onPoint(bucketAt(plot, edges))],
      draw: [(plot) => markVersions(plot, drawing.starts, colour(root, "muted"))],
    },
  }, [middles, ...layers.map(([values]) => (log ? values.map(aboveZero) : values))], root);
  made.over.addEventListener("click", () => {
    const at = bucketAt(made, edges);
    if (at !== null) drawing.onPick(at);
  });
  const resizing = new ResizeObserver(() => made.setSize({ width: width(), height: HEIGHT }));
  resizing.observe(root);
  return () => {
    resizing.disconnect();
    made.destroy();
  };
}

/** @typedef {[(number | null)[], uPlot.Series]} Layer */

/**
 * The highest first, so that those below stay seen; what is not over yet is dashed.
 *
 * @param {HTMLElement} root
 * @param {Chart} chart
 * @param {number} partial
 * @returns {Layer[]}
 */
function bars(root, { series }, partial) {
  const paths = window.uPlot.paths.bars?.({ size: [0.8, 60] });
  const stacked = stackedOf(series);
  return series.flatMap(({ name }, at) => {
    const stroke = colour(root, colourOf(name, at));
    const one = (/** @type {boolean} */ over) => stacked[at].map((value, bucket) => ((bucket === partial) === over ? null : value));
    /** @type {Layer[]} */
    const layers = [
      [one(true), { stroke, fill: stroke, width: 0, paths, points: { show: false } }],
      [one(false), { stroke, fill: colour(root, "paper"), width: 1.5, dash: DASH, paths, points: { show: false } }],
    ];
    return layers;
  }).reverse();
}

/**
 * @param {HTMLElement} root
 * @param {Chart} chart
 * @param {number} partial
 * @returns {Layer[]}
 */
function lines(root, { series }, partial) {
  return series.flatMap((/** @type {Series} */ one, /** @type {number} */ at) => {
    const stroke = colour(root, colourOf(one.name, at));
    const how = [{}, { alpha: 0.35 }, { dash: DASH }];
    return linesOf(one, partial).map((values, which) =>
      /** @type {Layer} */ ([values, { stroke, width: 1.75, points: pointsOf(one.name, stroke), ...how[which] }]));
  });
}

/**
 * What stands alone is a point however many buckets there are.
 *
 * @param {string} name
 * @param {string} fill
 */
const pointsOf = (name, fill) => (name === "oldest" ? { show: true, size: 9, fill } : { size: 5, fill });

/**
 * @param {Chart} chart
 * @param {boolean} log
 * @returns {uPlot.Scale}
 */
function scaleOf({ unit }, log) {
  if (log) return { distr: 3, log: 10 };
  return unit === "share" ? { range: [0, 1.02] } : { range: (_plot, _least, most) => [0, Math.max(4, (most ?? 0) * 1.1)] };
}

/**
 * @param {HTMLElement} root
 * @param {Chart} chart
 * @param {Drawing} drawing
 * @returns {uPlot.Axis[]}
 */
function axesOf(root, { unit }, { stats, say }) {
  const stroke = colour(root, "muted");
  const grid = { stroke: colour(root, "line"), width: 1 };
  // Of a log axis, a line for each power of ten.
  const tens = unit === "s" || unit === "ms" ? { ...grid, filter: powersOfTen } : grid;
  const days = new Intl.DateTimeFormat(document.documentElement.lang, { day: "numeric", month: "short" });
  const hours = new Intl.DateTimeFormat(document.documentElement.lang, { hour: "2-digit", minute: "2-digit" });
  const long = Date.parse(stats.to) - Date.parse(stats.from) > 2 * 86_400_000;
  const font = "12px system-ui, sans-serif";
  const time = (/** @type {number} */ at) => (long ? days : hours).format(at * 1000);
  return [
    { stroke, grid, ticks: grid, font, space: 70, values: (_plot, splits) => withoutRepeats(splits.map(time)) },
    { stroke, grid: tens, ticks: tens, font, size: 72, values: (_plot, splits) =>
      splits.map((value) => (value === null || (unit === "count" && value % 1 !== 0) ? "" : say(value, unit))) },
  ];
}

/**
 * @param {uPlot} _plot
 * @param {number[]} splits
 */
const powersOfTen = (_plot, splits) => splits.map((value) => (Number.isInteger(Math.log10(value)) ? value : null));

/** A day that has several ticks is named once. @param {string[]} texts */
const withoutRepeats = (texts) => texts.map((text, at) => (text === texts[at - 1] ? "" : text));

/**
 * The bucket under the pointer.
 *
 * @param {uPlot} plot
 * @param {number[]} edges in seconds
 */
function bucketAt(plot, edges) {
  const left = plot.cursor.left ?? -1;
  if (left < 0) return null;
  const time = plot.posToVal(left, "x");
  const at = edges.findLastIndex((edge) => edge <= time);
  return at < 0 || at > edges.length - 2 ? null : at;
}

/**
 * Where a version began to run.
 *
 * @param {uPlot} plot
 * @param {Drawing["starts"]} starts
 * @param {string} stroke
 */
function markVersions({ ctx, bbox, scales, valToPos }, starts, stroke) {
  ctx.save();
  ctx.strokeStyle = stroke;
  ctx.fillStyle = stroke;
  ctx.setLineDash([2, 3]);
  for (const { at, version } of starts) {
    if (at < Number(scales.x.min) || at > Number(scales.x.max)) continue;
    const x = Math.round(valToPos(at, "x", true));
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    ctx.textAlign = x > bbox.left + bbox.width / 2 ? "right" : "left";
    ctx.fillText(version, x + (ctx.textAlign === "right" ? -4 : 4), bbox.top + 12);
  }
  ctx.restore();
}

/** @param {number | null} value */
const aboveZero = (value) => (value === null ? null : Math.max(LEAST, value));

/**
 * @param {HTMLElement} root
 * @param {string} name
 */
const colour = (root, name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim();
