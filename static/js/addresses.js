// Addresses of files, which may be good for a while only. Pure: no clock but the one passed in.

import { safeUrl } from "./format.js";

/** @typedef {{ url: string, since: number }} Address with the moment in which it was first heard of, in ms */

/**
 * The address of a file that a browser may fetch, or null; the one that is known, if it is the same.
 *
 * @param {string | null} url
 * @param {Address | null} known
 * @returns {Address | null}
 */
export function addressOf(url, known, now = Date.now()) {
  const safe = safeUrl(url);
  if (safe === null) return null;
  return safe === known?.url ? known : { url: safe, since: now };
}

/**
 * Milliseconds, from when it was heard of, for which an address is sure to be good: half of its life at least is left
 * when the server tells it. 0 where it does not expire. By the clock of this machine alone, whatever that says.
 *
 * @param {Address} address
 */
export const lifeOf = ({ url }) => (Number(new URL(url).searchParams.get("X-Amz-Expires")) || 0) * 500;

/**
 * @param {Address} address
 * @param {number} now
 */
export function mayHaveExpired(address, now) {
  const life = lifeOf(address);
  return life > 0 && now - address.since > life;
}

/** @param {string} address */
export const withoutQuery = (address) => address.split(/[?#]/)[0];
