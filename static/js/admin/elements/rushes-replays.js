/** @import { Replay } from "../api.js" */
/** @import { Filter } from "../filter.js" */

import { t } from "../../i18n.js";
import { Refusal } from "../../refusal.js";
import { part, slots } from "../../slots.js";
import { abortReplay, beginReplay, getReplay, getReplays, getResults } from "../api.js";
import { confirmed } from "../confirm.js";
import { foreign, link, make, timeNode } from "../dom.js";
import { absolute, addressOf, EVER, filterOf } from "../filter.js";
import { number, wholeTime } from "../format.js";
import { badge } from "../row.js";

const EVERY = 1_000;

/**
 * Replays of many: what the filter of the address would replay, told before it is done; how far those are that go on; and
 * what became of each webhook. Dispatches "rushes:go" with the address of a replay.
 *
 * @customElement rushes-replays
 * @example
 *   <rushes-replays>
 *     <div data-slot="problem" hidden><p></p></div>
 *     <section data-slot="order" hidden>
 *       <p data-slot="means"></p>
 *       <p role="status" data-slot="preview"></p>
 *       <form data-slot="begin" hidden><input name="name"><button></button></form>
 *     </section>
 *     <section data-slot="one" hidden>
 *       <h3 data-slot="name"></h3><p data-slot="one-means"></p><progress data-slot="progress"></progress><p role="status" data-slot="state"></p>
 *       <button data-action="abort" data-slot="abort"></button>
 *       <table><tbody data-slot="results"></tbody></table><button data-action="more" data-slot="more" hidden></button>
 *     </section>
 *     <table data-slot="table"><tbody data-slot="rows"></tbody></table><p data-slot="empty" hidden></p>
 *   </rushes-replays>
 */
export class RushesReplays extends HTMLElement {
  /** @type {Record<string, HTMLElement>} */
  #slots;
  #listening = new AbortController();
  #reads = 0;
  /** @type {number | undefined} */
  #timer;
  /** @type {Record<string, string>} */
  #order = {};
  #previewed = ""; // the id of a preview that goes on
  #id = "";
  /** @type {string | null} */
  #cursor = null;

  connectedCallback() {
    this.#slots = slots(this);
    this.#listening = new AbortController();
    const { signal } = this.#listening;
    this.#slots.begin.addEventListener("submit", (event) => this.#onSubmit(event), { signal });
    this.#slots.abort.addEventListener("click", () => this.#abort(), { signal });
    this.#slots.more.addEventListener("click", () => this.#showResults(this.#reads, this.#cursor), { signal });
  }

  disconnectedCallback() {
    this.#listening.abort();
    this.close();
  }

  /** @param {URLSearchParams} params the address: `replay` names one, `new` has a filter previewed */
  open(params) {
    this.close();
    const read = this.#reads;
    this.#id = params.get("replay") ?? "";
    this.#slots.problem.hidden = true;
    this.#slots.order.hidden = !params.has("new");
    this.#slots.one.hidden = this.#id === "";
    this.#try(read, () => this.#list(read));
    if (params.has("new")) this.#try(read, () => this.#preview(read, filterOf(params)));
    if (this.#id !== "") this.#try(read, () => this.#follow(read));
  }

  /** Ends whatever was to come. */
  close() {
    this.#reads += 1;
    clearTimeout(this.#timer);
    // Nobody waits for it any more, and only so many may go on.
    if (this.#previewed !== "") abortReplay(this.#previewed).catch(() => {});
    this.#previewed = "";
  }

  /**
   * @param {number} read
   * @param {() => Promise<void>} act
   */
  async #try(read, act) {
    try {
      await act();
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      if (read !== this.#reads) return;
      this.#slots.problem.hidden = false;
      const lines = [error.message, ...error.details.map(({ field, message }) => `${field} – ${message}`)];
      part(this.#slots.problem, "p").textContent = lines.join("\n");
    }
  }

  /** @param {number} read */
  async #list(read) {
    const { replays } = await getReplays();
    if (read !== this.#reads) return;
    this.#slots.rows.replaceChildren(...replays.map(replayRow));
    this.#slots.table.hidden = replays.length === 0;
    this.#slots.empty.hidden = replays.length > 0;
  }

  // -- A new one

  /**
   * Has it told what each webhook would become. The bounds of time are those of this moment, for the replay too.
   *
   * @param {number} read
   * @param {Filter} filter
   */
  async #preview(read, filter) {
    const bound = absolute(filter, Date.now());
    bound.to ||= new Date().toISOString();
    this.#order = Object.fromEntries(Object.entries(bound).filter(([, value]) => value !== ""));
    this.#slots.means.replaceChildren(...inWords(this.#order));
    this.#slots.begin.hidden = true;
    this.#slots.preview.textContent = t("replays.previewing");
    let replay = await beginReplay({ ...this.#order, dry_run: true });
    this.#previewed = replay.id;
    while (replay.state === "running") {
      if (read !== this.#reads) return;
      this.#slots.preview.replaceChildren(...told(replay));
      await new Promise((go) => (this.#timer = setTimeout(go, EVERY)));
      replay = await getReplay(replay.id);
    }
    if (read !== this.#reads) return;
    this.#previewed = "";
    this.#slots.preview.replaceChildren(...told(replay));
    this.#slots.begin.hidden = replay.total === 0;
    await this.#list(read);
  }

  /** @param {SubmitEvent} event */
  #onSubmit(event) {
    event.preventDefault();
    const read = this.#reads;
    const { value: name } = /** @type {HTMLInputElement} */ (part(this.#slots.begin, "[name=name]"));
    this.#try(read, async () => {
      if (!(await confirmed(t("replays.sure"), t("act.replay.lead"), t("act.replay")))) return;
      const { id } = await beginReplay({ ...this.#order, name });
      const detail = addressOfReplay(id);
      if (read === this.#reads) this.dispatchEvent(new CustomEvent("rushes:go", { bubbles: true, detail }));
    });
  }

  // -- One

  /** @param {number} read */
  async #follow(read) {
    this.#slots.results.replaceChildren();
    this.#slots.more.hidden = true;
    for (;;) {
      const replay = await getReplay(this.#id);
      if (read !== this.#reads) return;
      this.#show(replay);
      if (replay.state !== "running") break;
      await new Promise((go) => (this.#timer = setTimeout(go, EVERY)));
      if (read !== this.#reads) return;
    }
    await this.#list(read);
    await this.#showResults(read, null);
  }

  /** @param {Replay} replay */
  #show({ name, id, state, total, done, previewed, chosen, outcomes, filter, dry_run: dry }) {
    this.#slots.name.replaceChildren(name ? foreign(name) : t("replays.unnamed", { id: id.slice(0, 14) }));
    const progress = /** @type {HTMLProgressElement} */ (this.#slots.progress);
    progress.max = Math.max(1, total);
    progress.value = dry ? previewed : done;
    progress.hidden = !chosen;
    const said = { done: number(dry ? previewed : done), total: number(total) };
    this.#slots.state.replaceChildren(`${t(`replays.${state}`)} · ${t("bulk.at", said)}`, ...counts(outcomes));
    this.#slots.abort.hidden = state !== "running";
    this.#slots["one-means"].replaceChildren(...inWords(filter));
  }

  /**
   * @param {number} read
   * @param {string | null} cursor
   */
  async #showResults(read, cursor) {
    const { results, next_cursor: next } = await getResults(this.#id, cursor);
    if (read !== this.#reads) return;
    this.#slots.results.append(...results.map(({ webhook_id: id, before, preview, outcome, changed, code }) => make("tr", "",
      make("td", "", link(`?webhook=${id}`, id.slice(0, 14))), make("td", "", badge(before)),
      make("td", "", preview === null ? "–" : badge(preview)), make("td", "", outcome === null ? "–" : badge(outcome)),
      make("td", "", changed === false ? `${t("replays.same")} ` : "", code === null ? "" : make("code", "", code)))));
    this.#cursor = next;
    this.#slots.more.hidden = next === null;
  }

  #abort() {
    const read = this.#reads;
    this.#try(read, async () => {
      const replay = await abortReplay(this.#id);
      if (read === this.#reads) this.#show(replay);
    });
  }
}

/** @param {string} id */
const addressOfReplay = (id) => `?${new URLSearchParams({ view: "replays", replay: id })}`;

/** @param {Replay} replay */
function replayRow({ id, name, state, total, done, previewed, dry_run: dry, who, created_at: at }) {
  const anchor = link(addressOfReplay(id), "");
  anchor.append(name ? foreign(name) : t("replays.unnamed", { id: id.slice(0, 14) }));
  const kind = dry ? make("small", "", ` ${t("replays.dry")}`) : "";
  return make("tr", "", make("td", "when", timeNode(at)), make("td", "", anchor, kind), make("td", "", foreign(who)),
    make("td", "", t(`replays.${state}`)), make("td", "number", `${number(dry ? previewed : done)} / ${number(total)}`));
}

/**
 * What a filter means, by the names of the page.
 *
 * @param {Record<string, string | null>} filter
 */
function inWords(filter) {
  const said = Object.entries(filter).filter(([, value]) => value !== null && value !== "" && value !== EVER);
  const parts = said.flatMap(([name, value], at) => [
    at > 0 ? ", " : "", t("replays.means", { name: t(`filter.${name}`) }), worded(name, String(value))]);
  const meant = said.some(([name]) => name === "outcome") ? [] : [`${t("replays.open")} `];
  const address = addressOf(Object.fromEntries(said.map(([name, value]) => [name, String(value)])));
  return [...meant, ...parts, " · ", link(address, t("replays.list"))];
}

/**
 * @param {string} name
 * @param {string} value
 */
function worded(name, value) {
  if (name === "from" || name === "to") return wholeTime(value);
  return name === "outcome" || name === "origin" ? t(`${name}.${value}`) : foreign(value);
}

/**
 * What a preview has told so far.
 *
 * @param {Replay} replay
 */
function told({ total, previewed, preview }) {
  const words = t(total === 0 ? "replays.none" : "replays.would", { done: number(previewed), total: number(total) });
  return [`${words} `, ...counts(preview)];
}

/** @param {Record<string, number>} outcomes */
const counts = (outcomes) => Object.entries(outcomes).map(([outcome, count]) => {
  const node = make("span", "counted", badge(outcome), ` ${number(count)}`);
  node.dataset.outcome = outcome;
  return node;
});
