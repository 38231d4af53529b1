/** @import { Stats } from "../api.js" */
/** @import { Chart, Series, Unit } from "../figures.js" */
/** @import { Range } from "../range.js" */

import { duration } from "../../format.js";
import { lang, stamp, t } from "../../i18n.js";
import { Refusal } from "../../refusal.js";
import { part, slots } from "../../slots.js";
import { getStats } from "../api.js";
import { canDraw, colourOf, draw } from "../chart.js";
import { link, make } from "../dom.js";
import { behindOf, chartsOf, isThin, partialOf } from "../figures.js";
import { addressOf } from "../filter.js";
import { milliseconds, number, percent } from "../format.js";
import { addressOfRange, rangeOf, RANGES, statsQuery } from "../range.js";

const EVERY = 60_000;
const ROWS_MAX = 1_000;

/**
 * What came in and what became of it, over time, in charts and in tables. Each figure leads to what it counts.
 * Dispatches "rushes:go" with an address.
 *
 * @customElement rushes-figures
 * @example
 *   <rushes-figures>
 *     <form>
 *       <select name="range"></select><select name="bucket"></select>
 *       <label data-slot="own" hidden><input type="date" name="from"></label>
 *       <label data-slot="own-to" hidden><input type="date" name="to"></label>
 *     </form>
 *     <p data-slot="span"></p><p data-slot="purged"></p><div data-slot="problem" hidden><p></p></div><div data-slot="charts"></div>
 *   </rushes-figures>
 */
export class RushesFigures extends HTMLElement {
  /** @type {Record<string, HTMLElement>} */
  #slots;
  /** @type {Range | null} */
  #range = null;
  #reads = 0;
  /** @type {number | undefined} */
  #timer;
  /** @type {Stats | null} */
  #stats = null;
  /** @type {(() => void)[]} */
  #drawn = [];
  #listening = new AbortController();

  connectedCallback() {
    this.#slots = slots(this);
    this.#listening = new AbortController();
    const { signal } = this.#listening;
    const form = part(this, "form");
    this.#field("range").replaceChildren(...[...Object.keys(RANGES), "own"].map((name) => new Option(t(`range.${name}`), name)));
    this.#field("bucket").replaceChildren(...["hour", "day"].map((name) => new Option(t(`bucket.${name}`), name)));
    form.addEventListener("change", ({ target }) => this.#onChange(target), { signal });
    form.addEventListener("submit", (event) => event.preventDefault(), { signal });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#showAgain(), { signal });
    document.addEventListener("visibilitychange", () => this.#again(), { signal });
  }

  disconnectedCallback() {
    this.#listening.abort();
    this.close();
  }

  /** @param {URLSearchParams} params the address */
  open(params) {
    const range = rangeOf(params);
    if (this.#range && addressOfRange(range) === addressOfRange(this.#range)) return;
    this.#range = range;
    this.#field("range").value = range.name;
    this.#field("bucket").value = range.bucket;
    this.#field("from").value = range.from;
    this.#field("to").value = range.to;
    this.#showDates();
    this.#load();
  }

  /** Ends whatever was to come. */
  close() {
    this.#reads += 1;
    this.#range = null;
    clearTimeout(this.#timer);
    for (const take of this.#drawn.splice(0)) take();
  }

  async #load() {
    if (this.#range === null) return;
    clearTimeout(this.#timer);
    const read = ++this.#reads;
    let wait = EVERY;
    try {
      const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
      const stats = await getStats(statsQuery(this.#range, Date.now(), zone)).catch((refusal) => this.#inUtc(refusal, zone));
      const drawing = await canDraw();
      if (read !== this.#reads) return;
      this.#slots.problem.hidden = true;
      this.#show(stats, drawing);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      if (read !== this.#reads) return;
      this.#slots.problem.hidden = false;
      part(this.#slots.problem, "p").textContent = error.message;
      wait = Math.max(EVERY, (error.retryAfter ?? 0) * 1000);
    }
    this.#timer = setTimeout(() => this.#again(), wait);
  }

  /**
   * A browser may name a zone that the server does not know.
   *
   * @param {unknown} refusal
   * @param {string} zone
   */
  #inUtc(refusal, zone) {
    const unknown = refusal instanceof Refusal && refusal.details.some(({ field }) => field === "timezone");
    if (!unknown || zone === "UTC" || this.#range === null) throw refusal;
    return getStats(statsQuery(this.#range, Date.now(), "UTC"));
  }

  // Not under the eyes of whoever reads one of them, and not while nobody does.
  #again() {
    if (document.hidden || this.#range === null) return;
    if (this.matches(":hover, :focus-within")) this.#timer = setTimeout(() => this.#again(), EVERY);
    else this.#load();
  }

  async #showAgain() {
    if (this.#stats && this.#range) this.#show(this.#stats, await canDraw());
  }

  /**
   * @param {Stats} stats
   * @param {boolean} drawing whether there is what draws
   */
  #show(stats, drawing) {
    this.#stats = stats;
    for (const take of this.#drawn.splice(0)) take();
    const time = timeOf(stats, { dateStyle: "medium", timeStyle: "short" });
    this.#slots.span.textContent = t("figures.span", { from: time(stats.from), to: time(stats.to), zone: stats.timezone });
    const purged = behindOf(stats, null) === null && stats.kept_from !== null;
    this.#slots.purged.textContent = purged ? t("figures.purged", { time: time(String(stats.kept_from)) }) : "";
    const partial = partialOf(stats, Date.now());
    const open = new Set([...this.querySelectorAll("details[open]")].map((node) => node.closest("figure")?.dataset.name));
    const charts = chartsOf(stats, partial);
    this.#slots.charts.replaceChildren(...charts.map((chart) => this.#figure(chart, stats, partial)));
    charts.forEach((chart, at) => {
      const figure = /** @type {HTMLElement} */ (this.#slots.charts.children[at]);
      const details = part(figure, "details");
      details.addEventListener("toggle", () => details.open && fillTable(figure, chart, stats, partial), { once: true });
      details.open = !drawing || open.has(chart.name);
      const empty = chart.series.every(({ values }) => values.every((value) => !value));
      part(figure, ".none").hidden = !empty;
      part(figure, ".plot").hidden = empty || !drawing;
      if (drawing && !empty) this.#drawn.push(this.#draw(figure, chart, stats, partial));
    });
  }

  /**
   * @param {Chart} chart
   * @param {Stats} stats
   * @param {number} partial
   */
  #figure(chart, stats, partial) {
    const figure = part(stamp("chart"), "figure");
    figure.dataset.name = chart.name;
    part(figure, "h3").textContent = t(`chart.${chart.name}`);
    part(figure, ".scroller").setAttribute("aria-label", t(`chart.${chart.name}`));
    part(figure, "ul").replaceChildren(...chart.series.map((one, at) => {
      const swatch = make("span", "swatch");
      swatch.style.setProperty("--colour", `var(--${colourOf(one.name, at)})`);
      return make("li", "", swatch, `${nameOf(one)} `, make("strong"));
    }));
    readOut(figure, chart, stats, null, partial);
    return figure;
  }

  /**
   * @param {HTMLElement} figure
   * @param {Chart} chart
   * @param {Stats} stats
   * @param {number} partial
   */
  #draw(figure, chart, stats, partial) {
    /** @type {Map<string, number>} */
    const starts = new Map();
    for (const { version, started_at: started } of stats.now.processes) {
      const at = Date.parse(started) / 1000;
      starts.set(version, Math.min(at, starts.get(version) ?? at));
    }
    return draw(part(figure, ".plot"), chart, {
      stats, partial, say,
      starts: [...starts].map(([version, at]) => ({ version, at })),
      onPoint: (at) => readOut(figure, chart, stats, at, partial),
      onPick: (at) => {
        const behind = behindOf(stats, at, chart.behind);
        if (behind !== null) this.#go(addressOf(behind));
      },
    });
  }

  // -- What the operator does

  /** @param {EventTarget | null} target */
  #onChange(target) {
    const name = this.#field("range").value;
    this.#showDates();
    const said = new URLSearchParams({ range: name });
    const chosen = target === this.#field("range") && name !== "own" ? "" : this.#field("bucket").value;
    said.set("bucket", chosen);
    if (name === "own") {
      for (const field of ["from", "to"]) said.set(field, this.#field(field).value);
      if (rangeOf(said).name !== "own") return; // it is not whole yet
    }
    this.#go(addressOfRange(rangeOf(said)));
  }

  #showDates() {
    const own = this.#field("range").value === "own";
    this.#slots.own.hidden = !own;
    this.#slots["own-to"].hidden = !own;
  }

  /** @param {string} address */
  #go(address) {
    this.dispatchEvent(new CustomEvent("rushes:go", { bubbles: true, detail: address }));
  }

  /** @param {string} name */
  #field(name) {
    const form = /** @type {HTMLFormElement} */ (part(this, "form"));
    return /** @type {HTMLInputElement | HTMLSelectElement} */ (form.elements.namedItem(name));
  }
}

/**
 * @param {number} value
 * @param {Unit} unit
 */
function say(value, unit) {
  if (unit === "count") return number(value);
  if (unit === "share") return percent(value);
  return milliseconds(unit === "s" ? value * 1000 : value);
}

/**
 * As `say`, with minutes and hours, for which an axis has no room.
 *
 * @param {number} value
 * @param {Unit} unit
 */
const tell = (value, unit) => (unit === "s" && value >= 120 ? duration(value) : say(value, unit));

/** @param {Series} series */
function nameOf({ name }) {
  for (const key of [`series.${name}`, `outcome.${name}`, `failure.${name}`]) if (t(key) !== key) return t(key);
  return name;
}

/**
 * @param {Stats} stats
 * @param {Intl.DateTimeFormatOptions} options
 */
function timeOf({ timezone: timeZone }, options) {
  const format = new Intl.DateTimeFormat(lang, { ...options, timeZone });
  return (/** @type {string} */ time) => format.format(new Date(time));
}

/**
 * What a bucket is called: also which of the two it is of hours that are there twice, where clocks are set back.
 *
 * @param {Stats} stats
 */
function bucketTime(stats) {
  if (stats.bucket === "day") return timeOf(stats, { weekday: "short", day: "numeric", month: "short" });
  /** @type {Intl.DateTimeFormatOptions} */
  const options = { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" };
  const plain = timeOf(stats, options);
  const once = new Set(stats.buckets.map(({ start }) => plain(start))).size === stats.buckets.length;
  return once ? plain : timeOf(stats, { ...options, timeZoneName: "shortOffset" });
}

/**
 * Shows the figures of one bucket beside their names, or of all.
 *
 * @param {HTMLElement} figure
 * @param {Chart} chart
 * @param {Stats} stats
 * @param {number | null} at
 * @param {number} partial
 */
function readOut(figure, chart, stats, at, partial) {
  const when = at === null ? t("figures.all") : bucketTime(stats)(stats.buckets[at].start);
  part(figure, ".when").textContent = at !== null && at === partial ? `${when} (${t("figures.partial")})` : when;
  figure.querySelectorAll("li strong").forEach((node, which) => {
    const one = chart.series[which];
    const value = at === null ? one.total : one.values[at];
    node.textContent = value === null ? "–" : tell(value, chart.unit);
    node.classList.toggle("thin", at !== null && isThin(one, at));
  });
}

/**
 * The same figures as a table, the newest first. Each is a link.
 *
 * @param {HTMLElement} figure
 * @param {Chart} chart
 * @param {Stats} stats
 * @param {number} partial
 */
function fillTable(figure, chart, stats, partial) {
  const time = bucketTime(stats);
  const cell = (/** @type {Series} */ one, /** @type {number | null} */ at) => {
    const value = at === null ? one.total : one.values[at];
    if (value === null) return make("td", "number", "–");
    const thin = at !== null && isThin(one, at);
    const said = tell(value, chart.unit);
    const behind = one.behind === null ? null : behindOf(stats, at, one.behind);
    const shown = behind === null ? said : link(addressOf(behind), said);
    return make("td", thin ? "number thin" : "number", shown);
  };
  const row = (/** @type {number | null} */ at) => {
    const when = at === null ? t("figures.all") : time(stats.buckets[at].start);
    const head = make("th", "", when, at !== null && at === partial ? ` (${t("figures.partial")})` : "");
    head.scope = "row";
    return make("tr", "", head, ...chart.series.map((one) => cell(one, at)));
  };
  const named = chart.series.map((one) => make("th", "number", nameOf(one)));
  for (const head of named) head.scope = "col";
  const first = Math.max(0, stats.buckets.length - ROWS_MAX);
  const buckets = stats.buckets.map((_, at) => at).slice(first).reverse();
  part(figure, "thead").replaceChildren(make("tr", "", make("td"), ...named));
  part(figure, "tbody").replaceChildren(row(null), ...buckets.map(row));
  part(figure, ".cut").textContent = first > 0 ? t("figures.cut", { count: number(ROWS_MAX) }) : "";
}
