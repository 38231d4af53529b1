// The ways by which events come. Each runs until its connection ends, tells `opened` that it works and `heard` that the
// server is there, and gives `take` every frame: { id, event, data }, where `id` is text or null.
// What they resolve to is "ended", or "over" when the job's stream has nothing more to tell, ever, or "again" when a new
// connection must take over without delay.

/** @import { LiveEvent } from "./state.js" */
/** @import { Timing } from "./timing.js" */

import { Refusal, refusalOf } from "../refusal.js";

/** @typedef {{ id: string | null, event: LiveEvent["event"] | "reset" | null, data: any }} Frame */
/** @typedef {"ended" | "over" | "again"} Outcome */

/**
 * @typedef {object} Hears
 * @property {AbortSignal} signal
 * @property {Record<string, string>} headers
 * @property {RequestCredentials} credentials
 * @property {Timing} timing
 * @property {() => void} opened
 * @property {() => void} heard
 * @property {(process: string) => void} [asked] that process of the server wants to be told what is on the screen
 * @property {(frame: Frame) => void} take
 * @property {(milliseconds: number) => void} retry how long the server wants everybody to wait after an end
 */

// A stream that cannot be opened now says so in its first comment, since an EventSource gives up on any other status.
const LATER = ": later ";
const ASKED = ": rushes shown ";
/** @type {Record<string, number>} */
const LATER_STATUS = { too_many_connections: 429 };

/** The connection was made, and nothing came: something between here and the server keeps it back. */
export class Silent extends Error {}

/**
 * Server-Sent Events by fetch: unlike EventSource, it tells why a stream was refused, and sends a bearer token.
 *
 * @param {URL} address
 * @param {Pick<Hears, "signal" | "headers" | "credentials" | "opened" | "heard" | "asked" | "take" | "retry"> &
 *   { timing: Pick<Timing, "opening"> }} hears
 * @returns {Promise<Outcome>}
 */
export async function sse(address, { signal, headers, credentials, timing, opened, heard, asked, take, retry }) {
  const abort = new AbortController();
  const stop = () => abort.abort(signal.reason);
  signal.addEventListener("abort", stop);
  const timer = setTimeout(() => abort.abort(new Silent()), timing.opening);
  try {
    const accept = { Accept: "text/event-stream", ...headers };
    const response = await fetch(address, { headers: accept, credentials, cache: "no-store", signal: abort.signal });
    if (response.status === 204) return "over";
    if (!response.ok || response.body === null) throw await refusalOf(response);
    let began = false;
    /** @type {string | null} */
    let later = null;
    let wait = 0;
    const begin = (/** @type {string} */ line) => {
      began = true;
      if (line.startsWith(LATER)) later = line.slice(LATER.length);
      else opened();
      if (line.startsWith(ASKED)) asked?.(line.slice(ASKED.length));
    };
    const read = parser(take, (milliseconds) => retry((wait = milliseconds)), begin);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { value, done } = await reader.read();
      if (done && !began) throw new Error("the stream ended before it began");
      if (done && later !== null) throw putOff(later, wait);
      if (done) return "ended";
      clearTimeout(timer);
      heard();
      read(value);
    }
  } catch (error) {
    throw abort.signal.aborted ? abort.signal.reason : error; // WebKit says AbortError, whatever the reason
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", stop);
    abort.abort();
  }
}

/**
 * @param {string} code
 * @param {number} milliseconds
 */
function putOff(code, milliseconds) {
  const status = LATER_STATUS[code] ?? 503;
  return new Refusal(`Not now (${code}).`, { status, code, retryAfter: milliseconds / 1000 });
}

/**
 * Takes text in any pieces, and tells `begin` the first line. The server ends its lines with \n, and each event has one
 * line of data.
 *
 * @param {(frame: Frame) => void} take
 * @param {(milliseconds: number) => void} retry
 * @param {(line: string) => void} begin
 * @returns {(text: string) => void}
 */
function parser(take, retry, begin) {
  let rest = "";
  let first = true;
  /** @type {Frame} */
  let frame = { id: null, event: null, data: null };
  const field = (/** @type {string} */ line) => {
    const colon = line.indexOf(": ");
    const value = line.slice(colon + 2);
    if (line.startsWith("id: ")) frame.id = value;
    if (line.startsWith("event: ")) frame.event = /** @type {Frame["event"]} */ (value);
    if (line.startsWith("data: ")) frame.data = JSON.parse(value);
    if (line.startsWith("retry: ")) retry(Number(value));
  };
  return (text) => {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      if (first) begin(line);
      first = false;
      if (line !== "") {
        field(line);
      } else if (frame.id !== null || frame.event !== null) {
        take(frame);
        frame = { id: null, event: null, data: null };
      }
    }
  };
}

/** @type {Record<number, number>} */
const REFUSALS = { 4401: 401, 4404: 404, 4429: 429 };
const TRIAL = 1_000; // ms in which a refusal comes, if one does

/**
 * A WebSocket, where something keeps an event stream back.
 *
 * @param {URL} address
 * @param {Pick<Hears, "signal" | "opened" | "heard" | "take"> & { timing: Pick<Timing, "opening" | "renewal"> }} hears
 * @returns {Promise<Outcome>}
 */
export function websocket(address, { signal, timing, opened, heard: tell, take }) {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(address);
    let open = false;
    let works = false;
    /** @type {number | undefined} */
    let trial;
    /**
     * @template T
     * @param {(value: T) => void} how
     * @param {T} value
     */
    const settle = (how, value) => {
      clearTimeout(timer);
      clearTimeout(trial);
      signal.removeEventListener("abort", stop);
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close();
      how(value);
    };
    const stop = () => settle(reject, signal.reason);
    let timer = setTimeout(() => settle(reject, new Silent()), timing.opening);
    // Browsers hide the server's pings: a dead connection looks like one on which there is nothing to tell. A new one
    // with the last id loses nothing in either case.
    const heard = () => {
      clearTimeout(timer);
      timer = setTimeout(() => settle(resolve, "again"), timing.renewal);
      tell();
    };
    // Refusals come after the upgrade, so being open proves nothing yet; a resumed stream may have nothing to say.
    const prove = () => {
      clearTimeout(trial);
      if (!works) opened();
      works = true;
    };
    signal.addEventListener("abort", stop);
    socket.onopen = () => {
      open = true;
      heard();
      trial = setTimeout(prove, TRIAL);
    };
    socket.onmessage = ({ data }) => {
      heard();
      prove();
      take({ event: null, data: null, ...JSON.parse(data) });
    };
    socket.onclose = ({ code, reason }) => {
      if (code in REFUSALS) settle(reject, new Refusal(reason, { status: REFUSALS[code] }));
      else if (code === 1000) settle(resolve, "over");
      else if (works) settle(resolve, "ended");
      else if (open) settle(reject, new Error("the stream ended before it began"));
      else settle(reject, new Silent());
    };
  });
}
