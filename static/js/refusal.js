// The one error of all requests, those of the page and those of live.js.

/** The server said no, or nothing. */
export class Refusal extends Error {
  /**
   * @param {string} message a sentence for people
   * @param {object} [said]
   * @param {number} [said.status] that of HTTP; 0 when no answer came
   * @param {string | null} [said.code] the API's word for it; null when the answer was not one of its own
   * @param {{ field: string, message: string }[]} [said.details] what is wrong with which field
   * @param {number | null} [said.retryAfter] in seconds
   */
  constructor(message, { status = 0, code = null, details = [], retryAfter = null } = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.details = details;
    this.retryAfter = retryAfter;
  }
}

/**
 * What a response other than 2xx says.
 *
 * @param {Response} response
 * @param {string} otherwise the message, if it brings none
 */
export async function refusalOf(response, otherwise = `HTTP ${response.status}`) {
  // A proxy's body may be any JSON, null too.
  const body = Object(await response.json().catch(() => null));
  return new Refusal(typeof body.error === "string" ? body.error : otherwise, {
    status: response.status,
    code: body.code ?? null,
    details: Array.isArray(body.details) ? body.details : [],
    retryAfter: Number(response.headers.get("Retry-After")) || null,
  });
}

// After these answers one cannot tell whether it was done: what is asked for again keeps its Idempotency-Key.
const UNSURE = [0, 408, 409, 425, 429, 500, 503, 504];

/**
 * Whether the server has decided: asked for again, it is something new. So it is where what that key made is deleted.
 *
 * @param {Refusal} refusal
 */
export const isSettled = ({ status, code }) => code === "deleted" || (code !== null && !UNSURE.includes(status));

/**
 * Whether this says that what was asked for is not there.
 *
 * @param {unknown} error
 */
export const isGone = (error) => error instanceof Refusal && error.status === 404;
