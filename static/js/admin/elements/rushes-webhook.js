/** @import { Preview, Replayed, Trace, WholeWebhook } from "../api.js" */
/** @import { Step } from "../payload.js" */

import { lang, many, t } from "../../i18n.js";
import { Refusal } from "../../refusal.js";
import { part, slots } from "../../slots.js";
import { discardWebhook, getAudit, getTimeline, getTrace, getWebhook, replayWebhook, summaryOf } from "../api.js";
import { confirmed } from "../confirm.js";
import { foreign, link, make, timeNode } from "../dom.js";
import { entryRow } from "../entry.js";
import { milliseconds, number, shortTime, wholeTime } from "../format.js";
import { addressOf } from "../filter.js";
import { payloadOf, stepOf } from "../payload.js";
import { badge } from "../row.js";

const SHOWN_MAX = 100_000;
const OPEN = ["dead", "parked", "discarded"];

/**
 * One received webhook: what became of it, what it changed or would change, and what came in. Dispatches "rushes:acted"
 * with the webhook once something was done to it.
 *
 * @customElement rushes-webhook
 * @example
 *   <rushes-webhook hidden>
 *     <h2 tabindex="-1" data-slot="heading"></h2><a data-slot="close"></a>
 *     <div data-slot="problem" role="alert" hidden><p></p></div>
 *     <div data-slot="body">
 *       <ol data-slot="way"></ol><dl data-slot="facts"></dl>
 *       <div data-slot="acts"><button data-act="replay"></button><button data-act="discard"></button></div>
 *       <p role="status" data-slot="answer"></p>
 *       <section data-slot="change" hidden><h3></h3><table><tbody></tbody></table></section>
 *       <pre data-slot="payload"></pre><p data-slot="cut" hidden></p>
 *       <table><tbody data-slot="headers"></tbody></table>
 *       <section data-slot="job" hidden><ol data-slot="timeline"></ol></section>
 *       <section data-slot="audit" hidden><table><tbody></tbody></table></section>
 *     </div>
 *   </rushes-webhook>
 */
export class RushesWebhook extends HTMLElement {
  /** @type {Record<string, HTMLElement>} */
  #slots;
  #id = "";
  #reads = 0;
  #acting = false;

  connectedCallback() {
    this.#slots = slots(this);
    this.#slots.acts.addEventListener("click", this.#onClick);
  }

  disconnectedCallback() {
    this.#slots.acts.removeEventListener("click", this.#onClick);
  }

  /** The id of the one that is shown, or "". */
  get shown() {
    return this.#id;
  }

  /**
   * Shows this one, and takes the focus; "" shows none.
   *
   * @param {string} id
   * @param {string} back the address to go to when it is closed
   */
  open(id, back) {
    part(this, "[data-slot=close]").setAttribute("href", back);
    if (id === this.#id) return;
    this.#id = id;
    this.#reads += 1;
    this.hidden = id === "";
    if (id === "") return;
    this.#slots.answer.textContent = "";
    this.#slots.body.hidden = true;
    this.#slots.heading.textContent = t("list.loading");
    this.#slots.heading.focus();
    this.load();
  }

  /** Reads it anew. */
  async load() {
    const read = ++this.#reads;
    try {
      const answer = await getWebhook(this.#id);
      if (read !== this.#reads) return;
      this.#slots.problem.hidden = true;
      const webhook = /** @type {WholeWebhook} */ (JSON.parse(answer));
      this.#show(webhook);
      this.#showPayload(payloadOf(answer), webhook.payload_encoding);
      await Promise.all([this.#showJob(webhook, read), this.#showAudit(read)]);
      return webhook;
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      if (read === this.#reads) this.#onRefused(error);
    }
  }

  /** @param {Refusal} refusal */
  #onRefused({ message }) {
    this.#slots.heading.textContent = t("detail.title");
    this.#slots.problem.hidden = false;
    part(this.#slots.problem, "p").textContent = message;
  }

  /** @param {WholeWebhook} webhook */
  #show(webhook) {
    const { received_at: received, duration_ms: took, outcome } = webhook;
    this.#slots.heading.textContent = t("detail.of", { time: shortTime(received) });
    this.#slots.body.hidden = false;
    const settled = new Date(Date.parse(received) + took).toISOString();
    const attempts = many("list.attempts", webhook.attempts, { count: number(webhook.attempts) });
    this.#slots.way.replaceChildren(
      make("li", "", make("strong", "", t("detail.received")), timeNode(received)),
      make("li", "", badge(outcome), timeNode(settled), make("small", "", `${milliseconds(took)} · ${attempts}`)),
    );
    this.#showFacts(webhook);
    this.#slots.acts.hidden = !OPEN.includes(outcome);
    part(this.#slots.acts, "[data-act=discard]").hidden = outcome === "discarded";
    this.#showPreview(webhook.replay ?? null);
    this.#slots.headers.replaceChildren(...Object.entries(webhook.headers).map(([name, value]) =>
      make("tr", "", make("th", "", foreign(name)), make("td", "", foreign(String(value))))));
  }

  /** @param {WholeWebhook} webhook */
  #showFacts({ id, job_id: job, status, version, origin, received_at: received, error_code: code, error }) {
    /** @type {[string, Node | string | null][]} */
    const facts = [
      ["filter.job_id", job === null ? null : jobLink(job)],
      ["filter.status", status === null ? null : foreign(status)],
      ["filter.version", version],
      ["filter.origin", t(`origin.${origin}`)],
      ["detail.code", code === null ? null : make("code", "", code)],
      ["list.error", error === null ? null : foreign(error)],
      ["list.received", wholeTime(received)],
      ["detail.id", make("code", "", id)],
    ];
    this.#slots.facts.replaceChildren(...facts.flatMap(([name, value]) =>
      (value === null ? [] : [make("dt", "", t(name)), make("dd", "", value)])));
  }

  /** @param {Preview | null} preview */
  #showPreview(preview) {
    const { change } = this.#slots;
    change.hidden = preview === null;
    if (preview === null) return;
    const becomes = preview.outcome === null ? preview.error ?? "" : t(`outcome.${preview.outcome}`);
    part(change, "h3").textContent = t("detail.would", { outcome: becomes });
    const error = preview.outcome === "applied" ? preview.note : preview.error;
    part(change, "p").replaceChildren(error && preview.outcome !== null ? foreign(error) : "");
    part(change, "tbody").replaceChildren(...changes(preview));
    part(change, "table").hidden = part(change, "tbody").children.length === 0;
  }

  /**
   * @param {string} payload
   * @param {string} encoding
   */
  #showPayload(payload, encoding) {
    this.#slots.payload.replaceChildren(foreign(payload.slice(0, SHOWN_MAX), true));
    const cut = payload.length > SHOWN_MAX;
    const said = { shown: number(SHOWN_MAX), all: number(payload.length) };
    this.#slots.payload.hidden = encoding === "hidden";
    const why = encoding === "base64" || encoding === "hidden" ? t(`detail.${encoding}`) : "";
    const notes = [why, cut ? t("detail.cut", said) : ""];
    const raw = make("a", "", t("detail.raw"));
    raw.href = `/api/admin/webhooks/${this.#id}`;
    this.#slots.cut.replaceChildren(...notes.filter(Boolean).map((note) => `${note} `), raw);
  }

  /**
   * The job's timeline, and in it the step that this webhook made.
   *
   * @param {WholeWebhook} webhook
   * @param {number} read
   */
  async #showJob(webhook, read) {
    const steps = webhook.job_id === null ? [] : await getTimeline(webhook.job_id).catch(() => []);
    if (read !== this.#reads) return;
    this.#slots.job.hidden = steps.length === 0;
    const own = stepOf(webhook, webhook.payload, steps);
    this.#slots.timeline.replaceChildren(...steps.map((step, at) => stepNode(step, at === own)));
    if (own < 0) return;
    const before = own === 0 ? 0 : steps[own - 1].progress;
    const moved = t("detail.moved", { before: number(before), after: number(steps[own].progress) });
    this.#slots.way.append(make("li", "", make("strong", "", moved), make("small", "", steps[own].message ?? "")));
    const trace = await getTrace(steps[own].id).catch(() => null);
    if (read === this.#reads && trace !== null) this.#slots.way.append(...wayOf(trace));
  }

  /**
   * Who did what to it.
   *
   * @param {number} read
   */
  async #showAudit(read) {
    const { audit } = await getAudit(new URLSearchParams({ webhook_id: this.#id })).catch(() => ({ audit: [] }));
    if (read !== this.#reads) return;
    this.#slots.audit.hidden = audit.length === 0;
    part(this.#slots.audit, "tbody").replaceChildren(...audit.map(entryRow));
  }

  // -- What the operator does

  #onClick = (/** @type {MouseEvent} */ { target }) => {
    /** @type {HTMLElement | null} */
    const button = /** @type {Element} */ (target).closest("[data-act]");
    const act = button?.dataset.act;
    if (act === "replay" || act === "discard") this.#act(act);
  };

  /** @param {"replay" | "discard"} act */
  async #act(act) {
    const id = this.#id;
    const verb = t(`act.${act}`);
    if (this.#acting || !(await confirmed(t(`act.${act}.one`), t(`act.${act}.lead`), verb))) return;
    this.#acting = true;
    try {
      const said = await (act === "replay" ? replayWebhook(id) : discardWebhook(id));
      if (id === this.#id) this.#slots.answer.replaceChildren(...answerTo(said));
      const webhook = id === this.#id ? await this.load() : undefined;
      if (webhook) this.dispatchEvent(new CustomEvent("rushes:acted", { bubbles: true, detail: summaryOf(webhook) }));
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      if (id === this.#id) this.#slots.answer.textContent = error.message;
    } finally {
      this.#acting = false;
    }
  }
}

/** @param {string} job */
function jobLink(job) {
  const anchor = link(addressOf({ job_id: job }), "");
  anchor.append(foreign(job));
  return anchor;
}

/**
 * What a replay would change, a row for each column and file.
 *
 * @param {Preview} preview
 */
function changes({ makes_job: makes, columns = {}, files_added: added = [], files_refreshed: refreshed = [] }) {
  const shown = (/** @type {unknown} */ value) => foreign(typeof value === "string" ? value : JSON.stringify(value));
  const rows = Object.entries(columns).map(([name, { old, new: next }]) => make("tr", "", make("th", "", name),
    make("td", "", make("del", "", shown(old)), " → ", make("ins", "", shown(next)))));
  const line = (/** @type {string} */ name, /** @type {string} */ text) =>
    make("tr", "", make("th", "", t(name)), make("td", "", foreign(text)));
  if (makes) rows.unshift(line("detail.makes", t("detail.makes.text")));
  for (const file of added) rows.push(line("detail.added", String(file.s3_key)));
  for (const file of refreshed) rows.push(line("detail.refreshed", String(file.s3_key)));
  return rows;
}

/**
 * From the commit to the sockets, and to a screen where a browser was asked.
 *
 * @param {Trace} trace
 */
function wayOf({ committed_at: committed, handed_at: handed, handed_last_at: last, sockets, shown_at: shown, shown: count }) {
  const since = (/** @type {string | null} */ from, /** @type {string} */ to) =>
    (from === null ? "" : ` · ${milliseconds(Math.max(0, Date.parse(to) - Date.parse(from)))}`);
  const to = t(sockets === 1 ? "trace.socket" : "trace.sockets", { count: number(sockets) });
  const nodes = [make("li", "", make("strong", "", t("trace.handed")), timeNode(handed), make("small", "", `${to}${since(committed, last)}`))];
  if (shown !== null) {
    const by = t(count === 1 ? "trace.screen" : "trace.screens", { count: number(count) });
    nodes.push(make("li", "", make("strong", "", t("trace.shown")), timeNode(shown), make("small", "", `${by}${since(handed, shown)}`)));
  }
  return nodes;
}

/**
 * @param {Step} step
 * @param {boolean} own whether the webhook that is shown made it
 */
function stepNode({ occurred_at: at, status, event, progress, message }, own) {
  const node = make("li", own ? "own" : "", timeNode(at), make("strong", "", foreign(status || event)),
    make("span", "number", t("percent", { value: number(progress) })), make("span", "", foreign(message ?? "")));
  if (own) node.append(make("small", "", t("detail.own")));
  return node;
}

/**
 * What became of it. The server's own sentences are in English.
 *
 * @param {Replayed} said
 */
function answerTo({ changed, outcome, error, message, job }) {
  const lines = [t(changed ? "act.became" : "act.left", { outcome: t(`outcome.${outcome}`) })];
  if (job) lines.push(t("act.job", { progress: number(job.progress) }));
  const own = make("span", "", error ?? message ?? "");
  own.lang = "en";
  const node = make("span", "", lines.join(" "));
  node.lang = lang;
  return [node, " ", own];
}
