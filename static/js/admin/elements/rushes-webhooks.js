/** @import { Webhook } from "../api.js" */
/** @import { Filter } from "../filter.js" */

import { many, t } from "../../i18n.js";
import { Backoff } from "../../live/backoff.js";
import { Refusal } from "../../refusal.js";
import { part, slots } from "../../slots.js";
import { countWebhooks, getWebhook, getWebhooks, summaryOf } from "../api.js";
import { number, wholeTime } from "../format.js";
import { absolute, addressOf, queryOf } from "../filter.js";
import { Feed } from "../feed.js";
import { fillRow, newRow } from "../row.js";
import { Tail } from "../tail.js";

const REPLAYABLE = ["dead", "parked", "discarded"];
const SAID_AFTER = 5_000;
const PAGE = 50;
const STEPS_MAX = 100;

/**
 * The webhooks that a filter means, newest first, as they change. Rows change in their place; new ones are told by a
 * button, and come when it is pressed. Dispatches "rushes:changed" with a webhook that has, "rushes:picked" with the ids
 * that are selected, and "rushes:say" with what to tell those who do not see it.
 *
 * @customElement rushes-webhooks
 * @example
 *   <rushes-webhooks>
 *     <strong data-slot="count"></strong><span data-slot="window"></span><a data-slot="csv"></a><a data-slot="replay"></a>
 *     <button data-action="take" data-slot="fresh" hidden></button><p data-slot="paused" hidden></p>
 *     <div data-slot="problem" hidden><p></p><button data-action="again"></button></div>
 *     <table data-slot="table"><tbody data-slot="rows"></tbody></table>
 *     <p data-slot="empty" hidden></p><button data-action="more" data-slot="more" hidden></button>
 *   </rushes-webhooks>
 */
export class RushesWebhooks extends HTMLElement {
  /** @type {Record<string, HTMLElement>} */
  #slots;
  /** @type {Map<string, HTMLTableRowElement>} */
  #rows = new Map();
  /** @type {Tail<Webhook>} */
  #tail = new Tail({ patch: (row) => this.#patch(row), waiting: (count, more) => this.#showWaiting(count, more) });
  /** @type {Filter | null} */
  #filter = null;
  #query = new URLSearchParams();
  /** @type {string | null} */
  #cursor = null;
  #reads = 0;
  #waiting = 0;
  #backoff = new Backoff();
  #feed = new Feed({
    hear: (webhook) => this.#tail.hear(webhook),
    newest: (page) => this.#onNewest(page),
    gone: (id) => this.#onGone(id),
    reset: () => this.#tail.lose(),
    refused: (refusal) => this.#onFailed(refusal),
  });
  /** @type {Set<string>} */
  #gone = new Set(); // those of the rows that the filter means no more
  #listening = new AbortController();
  /** @type {number | undefined} */
  #timer;
  /** @type {number | undefined} */
  #saying;

  connectedCallback() {
    this.#slots = slots(this);
    this.#listening = new AbortController();
    const { signal } = this.#listening;
    this.addEventListener("click", (event) => this.#onClick(event), { signal });
    this.addEventListener("change", () => this.#onPicked(), { signal });
    document.addEventListener("visibilitychange", () => this.#onVisible(), { signal });
  }

  disconnectedCallback() {
    this.#listening.abort();
    this.close();
  }

  /**
   * Shows those that the filter means, and `open` among them as the one that is looked at. The same filter again changes
   * nothing else.
   *
   * @param {Filter} filter
   * @param {string} open
   */
  open(filter, open) {
    if (this.#filter === null || addressOf(filter) !== addressOf(this.#filter)) {
      this.#filter = filter;
      this.load();
    }
    for (const [id, row] of this.#rows) part(row, "a").setAttribute("aria-current", String(id === open));
  }

  /** Ends whatever was to come. */
  close() {
    this.#reads += 1;
    this.#filter = null;
    this.#feed.stop();
    clearTimeout(this.#timer);
    clearTimeout(this.#saying);
  }

  /** Reads the list anew. */
  async load() {
    if (this.#filter === null) return;
    const read = ++this.#reads;
    this.#feed.stop();
    clearTimeout(this.#timer);
    const now = Date.now();
    this.#query = queryOf(this.#filter, now);
    this.#showWindow(absolute(this.#filter, now));
    this.#slots.csv.setAttribute("href", `/api/admin/webhooks.csv?${this.#query}`);
    const order = new URLSearchParams([["view", "replays"], ["new", "1"], ...this.#query]);
    this.#slots.replay.setAttribute("href", `?${order}`);
    this.#slots.replay.hidden = !REPLAYABLE.includes(this.#filter.outcome);
    this.#slots.count.textContent = t("list.loading");
    this.#slots.table.setAttribute("aria-busy", "true");
    try {
      const page = await getWebhooks(this.#query);
      if (read !== this.#reads) return;
      this.#backoff.succeeded();
      this.#begin(page);
      this.#count(read);
      await this.#fill(read);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      if (read === this.#reads) this.#onFailed(error);
    }
  }

  /**
   * Goes on where the first page is short: a search that finds little is answered in steps.
   *
   * @param {number} read
   */
  async #fill(read) {
    for (let step = 0; step < STEPS_MAX && read === this.#reads; step += 1) {
      if (this.#cursor === null || this.#rows.size >= PAGE || !this.#slots.problem.hidden) return;
      await this.#loadMore(this.#slots.more);
    }
  }

  /** @param {{ webhooks: Webhook[], next_cursor: string | null }} page */
  #begin({ webhooks, next_cursor: cursor }) {
    this.#slots.problem.hidden = true;
    this.#slots.table.setAttribute("aria-busy", "false");
    this.#rows.clear();
    this.#gone.clear();
    this.#slots.rows.replaceChildren();
    this.#tail.begin(webhooks);
    this.#append(webhooks, cursor);
    this.#onPicked();
    this.#feed.start(this.#query);
  }

  /**
   * @param {Webhook[]} webhooks
   * @param {string | null} cursor
   */
  #append(webhooks, cursor) {
    for (const webhook of webhooks) this.#slots.rows.append(this.#row(webhook));
    this.#cursor = cursor;
    this.#slots.more.hidden = cursor === null;
    this.#slots.table.hidden = this.#rows.size === 0;
    this.#slots.empty.hidden = this.#rows.size > 0 || cursor !== null;
    const narrow = addressOf(/** @type {Filter} */ (this.#filter)) !== "/admin";
    this.#slots.empty.textContent = t(narrow ? "list.empty" : "list.none-yet");
  }

  /** @param {Webhook} webhook */
  #row(webhook) {
    const row = this.#rows.get(webhook.id) ?? newRow();
    this.#rows.set(webhook.id, row);
    fillRow(row, webhook, this.#addressOf(webhook.id));
    return row;
  }

  /** @param {string} id */
  #addressOf(id) {
    const address = addressOf(/** @type {Filter} */ (this.#filter));
    return `${address === "/admin" ? "?" : `${address}&`}webhook=${id}`;
  }

  /** @param {number} read */
  async #count(read) {
    const answer = await countWebhooks(this.#query).catch(() => null);
    if (read !== this.#reads) return;
    const count = answer?.count ?? this.#rows.size;
    const more = answer?.more || (answer === null && this.#cursor !== null) ? "+" : "";
    this.#slots.count.textContent = many("list.count", count, { count: number(count) + more });
  }

  /** @param {Record<string, string>} bounds in UTC */
  #showWindow({ from, to }) {
    const name = from && to ? "between" : from ? "since" : to ? "until" : "all";
    const said = { from: from && wholeTime(from), to: to && wholeTime(to) };
    this.#slots.window.textContent = t(`window.${name}`, said);
  }

  /** @param {Refusal} refusal */
  #onFailed(refusal) {
    this.#slots.table.setAttribute("aria-busy", "false");
    this.#slots.count.textContent = "";
    this.#slots.problem.hidden = false;
    const lines = [refusal.message, ...refusal.details.map(({ field, message }) => `${field} – ${message}`)];
    part(this.#slots.problem, "p").textContent = lines.join("\n");
    if (refusal.status === 401 || refusal.status === 403) {
      this.dispatchEvent(new CustomEvent("rushes:refused", { bubbles: true, detail: refusal }));
    }
    const passes = refusal.status === 0 || refusal.status >= 500;
    if (passes) this.#timer = setTimeout(() => this.load(), this.#backoff.after(refusal));
  }

  // -- News

  /**
   * What is shown and not among them, though as new, is meant no more.
   *
   * @param {{ webhooks: Webhook[], next_cursor: string | null }} page
   */
  #onNewest({ webhooks, next_cursor: cursor }) {
    for (const webhook of webhooks.toReversed()) this.#tail.hear(webhook);
    const told = new Set(webhooks.map(({ id }) => id));
    const oldest = cursor === null ? "" : webhooks.at(-1)?.id;
    if (oldest === undefined) return;
    for (const id of this.#rows.keys()) {
      if (told.has(id)) this.#gone.delete(id);
      else if (id > oldest && !this.#gone.has(id)) this.#onGone(id);
    }
  }

  /**
   * A row that the filter means no more stays where it is, as what it has become: whoever looks at it wants to know.
   *
   * @param {string} id
   */
  async #onGone(id) {
    const row = this.#rows.get(id);
    if (row === undefined) return this.#tail.drop(id);
    this.#gone.add(id);
    try {
      this.#tail.hear(summaryOf(JSON.parse(await getWebhook(id))));
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      row.classList.toggle("gone", error.status === 404);
      if (error.status !== 404) this.#gone.delete(id); // it is looked at again
    }
  }

  /**
   * A webhook that was acted upon is shown as it is now.
   *
   * @param {Webhook} webhook
   */
  hear(webhook) {
    this.#tail.hear(webhook);
  }

  /** @param {Webhook} webhook */
  #patch(webhook) {
    this.#row(webhook);
    this.dispatchEvent(new CustomEvent("rushes:changed", { bubbles: true, detail: webhook }));
  }

  /**
   * @param {number} count
   * @param {boolean} more
   */
  #showWaiting(count, more) {
    const { fresh } = this.#slots;
    fresh.hidden = count === 0 && !more;
    const said = { count: number(count) };
    fresh.textContent = !more ? many("list.new", count, said) : t(count === 0 ? "list.new.some" : "list.new.more", said);
    if (count > this.#waiting) this.#sayLater();
    this.#waiting = count;
  }

  // Once for all that came meanwhile: who listens is not to be told each.
  #sayLater() {
    this.#saying ??= setTimeout(() => {
      this.#saying = undefined;
      const detail = this.#slots.fresh.textContent;
      if (this.#waiting > 0) this.dispatchEvent(new CustomEvent("rushes:say", { bubbles: true, detail }));
    }, SAID_AFTER);
  }

  #take() {
    if (this.#tail.more) return this.load();
    const { rows } = this.#slots;
    for (const webhook of this.#tail.take().toReversed()) {
      const older = [...rows.children].find((row) => String(/** @type {HTMLElement} */ (row).dataset.id) < webhook.id);
      rows.insertBefore(this.#row(webhook), older ?? null);
    }
    this.#append([], this.#cursor);
    part(rows, "a").focus();
    return this.#count(this.#reads);
  }

  #onVisible() {
    this.#pauseOrGoOn();
    if (!document.hidden && this.#filter !== null) this.#feed.poll();
  }

  #pauseOrGoOn() {
    const picking = this.picked.length > 0;
    this.#tail.pause(document.hidden || picking);
    this.#slots.paused.hidden = !picking;
  }

  // -- What the operator does

  /** The ids that are selected, in the order of the list. */
  get picked() {
    const rows = [.../** @type {NodeListOf<HTMLElement>} */ (this.querySelectorAll("tr[data-id]:has(:checked)"))];
    return rows.map((row) => String(row.dataset.id));
  }

  /** Selects none. */
  unpick() {
    for (const row of this.#rows.values()) /** @type {HTMLInputElement} */ (part(row, "input")).checked = false;
    this.#onPicked();
  }

  #onPicked() {
    this.#pauseOrGoOn();
    this.dispatchEvent(new CustomEvent("rushes:picked", { bubbles: true, detail: this.picked }));
  }

  /**
   * The focus goes so many rows down, or up; to the first from elsewhere.
   *
   * @param {number} steps
   */
  step(steps) {
    const links = [...this.#slots.rows.querySelectorAll("a")];
    const at = links.findIndex((anchor) => anchor.closest("tr")?.contains(document.activeElement));
    const next = at < 0 ? this.#lookedAt(links) : links[at + steps];
    next?.focus();
  }

  /** @param {HTMLAnchorElement[]} links */
  #lookedAt(links) {
    return links.find((anchor) => anchor.getAttribute("aria-current") === "true") ?? links[0];
  }

  /** Selects the row that has the focus, or does not any more. */
  pick() {
    const row = document.activeElement?.closest("tr[data-id]");
    if (row) part(row, "input").click();
  }

  /**
   * The focus goes to the row of this webhook, or else to the head of the list.
   *
   * @param {string} id
   */
  focusOn(id) {
    const row = this.#rows.get(id);
    if (row) part(row, "a").focus();
    else part(this, "h2").focus();
  }

  /** @param {MouseEvent} event */
  #onClick({ target }) {
    /** @type {HTMLElement | null} */
    const button = /** @type {Element} */ (target).closest("[data-action]");
    if (button?.dataset.action === "take") this.#take();
    if (button?.dataset.action === "again") this.load();
    if (button?.dataset.action === "more") this.#loadMore(button);
  }

  /** @param {HTMLElement} button */
  async #loadMore(button) {
    if (button.getAttribute("aria-disabled") === "true") return;
    button.setAttribute("aria-disabled", "true");
    const read = this.#reads;
    try {
      const { webhooks, next_cursor: cursor } = await getWebhooks(this.#query, this.#cursor);
      if (read !== this.#reads) return;
      const unknown = webhooks.filter(({ id }) => !this.#rows.has(id));
      this.#tail.add(unknown);
      this.#append(unknown, cursor);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      if (read === this.#reads) this.#onFailed(error);
    } finally {
      button.setAttribute("aria-disabled", "false");
    }
  }
}
