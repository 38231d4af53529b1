// The requests of the operator's page. Every failure is a Refusal, in the page's words where its code has any.

/** @import { Step } from "./payload.js" */

import { lang, t } from "../i18n.js";
import { Refusal, refusalOf } from "../refusal.js";

const TIMEOUT = 20_000;

/**
 * What one moment has. @typedef {object} Now
 * @property {Record<string, number>} jobs_by_state
 * @property {number} stalled
 * @property {number | null} oldest_unfinished_seconds
 * @property {number} dead
 * @property {number} parked
 * @property {number} spooled
 * @property {number} set_aside
 * @property {{ sse: number, websocket: number }} connections
 * @property {{ id: string, version: string, started_at: string, lag: number }[]} processes
 */

/**
 * The text of an answer of 2xx.
 *
 * @param {string} path
 * @param {{ method?: string, body?: unknown, timeout?: number }} [options] `body` becomes JSON
 */
export async function askText(path, { method = "GET", body, timeout = TIMEOUT } = {}) {
  let response;
  try {
    /** @type {Record<string, string>} */
    const headers = { "Accept-Language": lang };
    if (body !== undefined) headers["Content-Type"] = "application/json";
    const sent = body === undefined ? undefined : JSON.stringify(body);
    response = await fetch(path, { method, headers, body: sent, signal: AbortSignal.timeout(timeout) });
    if (response.ok) return await response.text();
  } catch {
    throw new Refusal(t("problem.network"));
  }
  const refusal = await refusalOf(response, t("problem.http", { status: response.status }));
  const words = t(`refusal.${refusal.code}`);
  if (!words.startsWith("refusal.")) refusal.message = words;
  throw refusal;
}

/**
 * The answer, read as JSON.
 *
 * @param {string} path
 * @param {{ method?: string, body?: unknown, timeout?: number }} [options]
 */
export async function ask(path, options) {
  const answer = await askText(path, options);
  try {
    return JSON.parse(answer);
  } catch {
    throw new Refusal(t("problem.network")); // something between has answered in the server's place
  }
}

/**
 * A received webhook, as lists have it.
 *
 * @typedef {object} Webhook
 * @property {string} id
 * @property {string} received_at
 * @property {string} origin
 * @property {string | null} job_id
 * @property {string | null} status
 * @property {string | null} version
 * @property {string} outcome
 * @property {number} attempts
 * @property {number} duration_ms
 * @property {string | null} error_code
 * @property {string | null} error
 */

/**
 * A page of those that a filter means, newest first.
 *
 * @param {URLSearchParams} query
 * @param {string | null} [cursor] the `next_cursor` of the page before
 * @returns {Promise<{ webhooks: Webhook[], next_cursor: string | null }>}
 */
export function getWebhooks(query, cursor = null) {
  const asked = new URLSearchParams(query);
  if (cursor !== null) asked.set("cursor", cursor);
  return ask(`/api/admin/webhooks?${asked}`);
}

/**
 * How many a filter means.
 *
 * @param {URLSearchParams} query
 * @returns {Promise<{ count: number, more?: boolean }>} `more` where it is at least so many
 */
export const countWebhooks = (query) => ask(`/api/admin/webhooks/count?${query}`);

/** What a replay would do. @typedef {object} Preview
 * @property {string | null} outcome
 * @property {string | null} code
 * @property {string | null} error
 * @property {boolean} [makes_job]
 * @property {Record<string, { old: unknown, new: unknown }>} [columns]
 * @property {Record<string, unknown>[]} [files_added]
 * @property {Record<string, unknown>[]} [files_refreshed]
 * @property {string} [note]
 */

/** @typedef {Webhook & { headers: Record<string, unknown>, payload: unknown, payload_encoding: "json" | "text" | "base64" | "hidden",
 *   replay?: Preview }} WholeWebhook */

const OF_DETAIL = ["headers", "payload", "payload_encoding", "replay"];

/**
 * A webhook as lists have it.
 *
 * @param {WholeWebhook} webhook
 */
export function summaryOf(webhook) {
  const summary = Object.entries(webhook).filter(([name]) => !OF_DETAIL.includes(name));
  return /** @type {Webhook} */ (Object.fromEntries(summary));
}

/** What somebody did. @typedef {object} Audited
 * @property {string} id
 * @property {string} at
 * @property {string} who
 * @property {"admin" | "command"} by
 * @property {string} act
 * @property {string | null} webhook_id
 * @property {string | null} job_id
 * @property {string | null} replay_id
 * @property {unknown} before
 * @property {unknown} after null while it is under way
 */

/**
 * Who did what, newest first.
 *
 * @param {URLSearchParams} query
 * @param {string | null} [cursor]
 * @returns {Promise<{ audit: Audited[], next_cursor: string | null }>}
 */
export function getAudit(query, cursor = null) {
  const asked = new URLSearchParams(query);
  if (cursor !== null) asked.set("cursor", cursor);
  return ask(`/api/admin/audit?${asked}`);
}

/**
 * A replay of many. `preview` tells what those that are previewed would become, `outcomes` what those that are done have.
 *
 * @typedef {object} Replay
 * @property {string} id
 * @property {string} name
 * @property {"running" | "done" | "aborted"} state
 * @property {boolean} dry_run
 * @property {string} who
 * @property {string} created_at
 * @property {boolean} chosen whether `total` is all
 * @property {number} total
 * @property {number} previewed
 * @property {Record<string, number>} preview
 * @property {number} done
 * @property {Record<string, number>} outcomes
 * @property {Record<string, string | null>} filter
 */

/** @typedef {{ webhook_id: string, before: string, preview: string | null, outcome: string | null, changed: boolean | null,
 *   code: string | null }} Result of one webhook */

/** @returns {Promise<{ replays: Replay[] }>} the newest */
export const getReplays = () => ask("/api/admin/replays");

/**
 * @param {string} id
 * @returns {Promise<Replay>}
 */
export const getReplay = (id) => ask(`/api/admin/replays/${encodeURIComponent(id)}`);

/**
 * @param {Record<string, unknown>} body a filter, `name`, `dry_run`
 * @returns {Promise<Replay>}
 */
export const beginReplay = (body) => ask("/api/admin/replays", { method: "POST", body });

/**
 * @param {string} id
 * @returns {Promise<Replay>}
 */
export const abortReplay = (id) => ask(`/api/admin/replays/${encodeURIComponent(id)}`, { method: "DELETE" });

/**
 * What became of each, in the order of receipt.
 *
 * @param {string} id
 * @param {string | null} cursor
 * @returns {Promise<{ results: Result[], next_cursor: string | null }>}
 */
export function getResults(id, cursor) {
  const query = cursor === null ? "" : `?${new URLSearchParams({ cursor })}`;
  return ask(`/api/admin/replays/${encodeURIComponent(id)}/results${query}`);
}

/** What an act has done. @typedef {object} Replayed
 * @property {boolean} changed
 * @property {string} outcome
 * @property {string | null} [error]
 * @property {string} [message]
 * @property {{ progress: number }} [job]
 */

/**
 * The text of a WholeWebhook in JSON: read as it is, its numbers would be rounded.
 *
 * @param {string} id
 */
export const getWebhook = (id) => askText(`/api/admin/webhooks/${encodeURIComponent(id)}`);

/**
 * @param {string} id
 * @returns {Promise<Replayed>}
 */
export const replayWebhook = (id) => ask(`/api/admin/webhooks/${encodeURIComponent(id)}/replay`, { method: "POST" });

/**
 * @param {string} id
 * @returns {Promise<Replayed>}
 */
export const discardWebhook = (id) => ask(`/api/admin/webhooks/${encodeURIComponent(id)}/discard`, { method: "POST" });

/**
 * What happened to a job, the oldest first.
 *
 * @param {string} id
 * @returns {Promise<Step[]>}
 */
export const getTimeline = async (id) => (await ask(`/api/videos/${encodeURIComponent(id)}`)).events ?? [];

/**
 * How far an event came.
 *
 * @typedef {object} Trace
 * @property {string | null} committed_at
 * @property {string} handed_at
 * @property {string} handed_last_at
 * @property {number} sockets
 * @property {string | null} shown_at
 * @property {number} shown
 */

/**
 * Throws a Refusal for an event that is not traced.
 *
 * @param {string} id
 * @returns {Promise<Trace>}
 */
export const getTrace = (id) => ask(`/api/admin/traces/${encodeURIComponent(id)}`);

/**
 * A job that nobody reports on: asked for `tries` times since it moved last, the last `unanswered` of them in vain.
 *
 * @typedef {{ job_id: string, status: string, moved_at: string, tries: number, unanswered: number, due_at: string }} StalledJob
 */

/** @returns {Promise<{ jobs: StalledJob[], more: boolean }>} */
export const getStalled = () => ask("/api/admin/stalled");

/** What the backend said of a job. @typedef {object} AskedNow
 * @property {"status" | "unknown" | "unreadable"} said
 * @property {string | null} status
 * @property {string | null} outcome null where it is nothing new
 * @property {string | null} error
 */

/**
 * The backend may take its time.
 *
 * @param {string} id
 * @returns {Promise<AskedNow>}
 */
export const askNow = (id) => ask(`/api/admin/jobs/${encodeURIComponent(id)}/ask`, { method: "POST", timeout: 60_000 });

/** @typedef {{ job_id: string, ended: string, ended_at: string, seconds: number | null }} Ended a generation */

/**
 * Generations that have ended, the last one first; `count`, of all pages, comes with the first.
 *
 * @param {URLSearchParams} query
 * @param {string | null} cursor
 * @returns {Promise<{ generations: Ended[], next_cursor: string | null,
 *   filter: { ended: string | null, from: string, to: string }, count?: number }>}
 */
export function getGenerations(query, cursor) {
  const asked = new URLSearchParams(query);
  if (cursor !== null) asked.set("cursor", cursor);
  return ask(`/api/admin/generations?${asked}`);
}

/** @typedef {{ mean: number | null, p50: number | null, p95: number | null, n: number }} Times */

/**
 * What came in and what became of it.
 *
 * @typedef {object} Figures
 * @property {Record<string, number>} webhooks by outcome
 * @property {number} finished
 * @property {number} failed
 * @property {Record<string, number>} failed_by_kind
 * @property {number | null} success_rate
 * @property {Times} job_seconds
 * @property {Times} webhook_ms
 * @property {Times} [shown_ms] of events that were traced, from the sockets to a screen
 * @property {Times} [handed_ms] of all of them, from the commit to the last socket; in totals
 */

/** @typedef {{ from: string, to: string, bucket: "hour" | "day", timezone: string, buckets: ({ start: string } & Figures)[],
 *   totals: Figures, now: Now, kept_from: string | null }} Stats */

/**
 * @param {URLSearchParams} query
 * @returns {Promise<Stats>}
 */
export const getStats = (query) => ask(`/api/admin/stats?${query}`);

/** @returns {Promise<{ now: Now, totals: Figures, may_act: boolean }>} the totals are those of the last 24 hours */
export const getNow = () => ask("/api/admin/stats");
