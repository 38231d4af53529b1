// The requests of the page. Every failure is an ApiError, whether the server refused or could not be reached.

import { t } from "./i18n.js";
import { refusalOf } from "./refusal.js";

const TIMEOUT = 20_000;
const GENERATE_TIMEOUT = 60_000; // the server itself waits for the generation backend

export class ApiError extends Error {
  /** `status` is 0 when no answer came; `code` is null when the answer was not one of the API's own. */
  constructor(message, { status = 0, code = null, details = [], retryAfter = null } = {}) {
    super(message);
    Object.assign(this, { status, code, details, retryAfter });
  }
}

async function request(path, options = {}, timeout = TIMEOUT) {
  let response;
  try {
    response = await fetch(path, { ...options, signal: AbortSignal.timeout(timeout) });
    if (response.ok) return await response.json();
  } catch {
    throw new ApiError(t("problem.network"));
  }
  const { status } = response;
  const refusal = await refusalOf(response);
  throw new ApiError(refusal.message ?? t("problem.http", { status }), { status, ...refusal });
}

/** A page of the caller's videos; the first (no cursor) also has `active` and `last_event_id`. */
export function getGallery(cursor = null) {
  const query = new URLSearchParams({ limit: 12 });
  if (cursor !== null) query.set("cursor", cursor);
  return request(`/api/videos/user?${query}`);
}

export const getJob = (id) => request(`/api/videos/${encodeURIComponent(id)}`);

/** Starts a generation; the same key never starts a second one. */
export function generate(body, idempotencyKey) {
  const headers = { "Content-Type": "application/json", "Idempotency-Key": idempotencyKey };
  return request("/api/videos/generate", { method: "POST", headers, body: JSON.stringify(body) }, GENERATE_TIMEOUT);
}
