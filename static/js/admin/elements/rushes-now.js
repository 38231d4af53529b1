/** @import { Figures, Now, Times } from "../api.js" */

import { duration } from "../../format.js";
import { many, t } from "../../i18n.js";
import { Refusal } from "../../refusal.js";
import { slots } from "../../slots.js";
import { getNow } from "../api.js";
import { link, make, timeNode } from "../dom.js";
import { milliseconds, number } from "../format.js";

const EVERY = 10_000;

/**
 * What there is now, read again every ten seconds while the page is seen. Dispatches "rushes:refused" with a Refusal
 * when that fails, and "rushes:answered" when it does not, with whether who looks may act.
 *
 * @customElement rushes-now
 * @example
 *   <rushes-now>
 *     <dl data-slot="tiles"></dl>
 *     <details data-slot="processes"><table><tbody data-slot="rows"></tbody></table></details>
 *   </rushes-now>
 */
export class RushesNow extends HTMLElement {
  /** @type {Record<string, HTMLElement>} */
  #slots;
  #listening = new AbortController();
  /** @type {number | undefined} */
  #timer;
  #reads = 0;

  connectedCallback() {
    this.#slots = slots(this);
    this.#listening = new AbortController();
    document.addEventListener("visibilitychange", () => this.read(), { signal: this.#listening.signal });
    this.read();
  }

  disconnectedCallback() {
    this.#listening.abort();
    clearTimeout(this.#timer);
    this.#reads += 1;
  }

  /** Reads it now, and then again and again. */
  async read() {
    clearTimeout(this.#timer);
    if (document.hidden) return;
    const read = ++this.#reads;
    let refusal = null;
    let mayAct = true;
    try {
      const { now, totals, may_act: may } = await getNow();
      mayAct = may;
      if (read === this.#reads) this.#show(now, totals);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      refusal = error;
    }
    if (read !== this.#reads) return;
    if (refusal) this.dispatchEvent(new CustomEvent("rushes:refused", { bubbles: true, detail: refusal }));
    else this.dispatchEvent(new CustomEvent("rushes:answered", { bubbles: true, detail: mayAct }));
    this.#timer = setTimeout(() => this.read(), Math.max(EVERY, (refusal?.retryAfter ?? 0) * 1000));
  }

  /**
   * @param {Now} now
   * @param {Figures} today of the last 24 hours
   */
  #show(now, { shown_ms: shown }) {
    const { jobs_by_state: jobs, connections, processes, oldest_unfinished_seconds: oldest } = now;
    const running = jobs.PROCESSING + jobs.GENERATING + jobs.DOWNLOADING;
    const versions = [...new Set(processes.map(({ version }) => version))].sort();
    const lag = Math.max(0, ...processes.map((process) => process.lag));
    const each = (/** @type {string} */ name, /** @type {number} */ count) =>
      many(`now.${name}`, count, { count: number(count) });
    this.#slots.tiles.replaceChildren(
      tile("dead", number(now.dead), { href: "?outcome=dead", alarm: now.dead > 0 }),
      tile("parked", number(now.parked), { href: "?outcome=parked" }),
      tile("set_aside", number(now.set_aside), { href: "?outcome=dead&q=set_aside", alarm: now.set_aside > 0 }),
      tile("spooled", number(now.spooled), { alarm: now.spooled > 0 }),
      tile("stalled", number(now.stalled), { alarm: now.stalled > 0 }),
      tile("oldest", oldest === null ? t("now.none") : duration(oldest)),
      tile("unfinished", number(jobs.PENDING + running), {
        by: `${each("pending", jobs.PENDING)} · ${each("running", running)}` }),
      tile("ended", number(jobs.COMPLETED + jobs.FAILED), {
        by: `${each("completed", jobs.COMPLETED)} · ${each("failed", jobs.FAILED)}` }),
      tile("connections", number(connections.sse + connections.websocket), { by: t("now.connections.by", connections) }),
      ...(shown ? [tile("shown", milliseconds(shown.p50 ?? 0), { by: t("now.shown.by", shownBy(shown)) })] : []),
      tile("versions", versions.join(", "), {
        by: many("now.versions.by", processes.length, { count: number(processes.length), lag: number(lag) }) }),
    );
    this.#slots.rows.replaceChildren(...processes.map(({ id, version, started_at: started, lag: behind }) => make(
      "tr", "", make("td", "", make("code", "", id)), make("td", "", version), make("td", "", timeNode(started)),
      make("td", "number", number(behind)))));
  }
}

/** @param {Times} shown */
const shownBy = ({ p95, n }) => ({ p95: milliseconds(p95 ?? 0), count: number(n) });

/**
 * A figure by its name; with `href`, a link to what is behind it.
 *
 * @param {string} name
 * @param {string} figure
 * @param {{ href?: string, by?: string, alarm?: boolean }} [more]
 */
function tile(name, figure, { href, by = "", alarm = false } = {}) {
  const value = make("dd", "figure", href ? link(href, figure) : figure);
  const node = make("div", alarm ? "tile alarm" : "tile", make("dt", "", t(`now.${name}`)), value);
  node.dataset.name = name;
  if (by) node.append(make("dd", "by", by));
  return node;
}
