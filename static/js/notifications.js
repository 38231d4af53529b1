// The browser's notifications: its service worker, which shows them, and its subscription to Web Push, by which it is
// told while no page is open.

/** @import { Job } from "./jobs.js" */

import { getPushKey, subscribeToPush, unsubscribeFromPush } from "./api.js";
import { title } from "./format.js";
import { t } from "./i18n.js";
import { Kept } from "./kept.js";
import { Refusal } from "./refusal.js";

// It lies where its scope holds no page: it takes no page's requests, and no proxy need allow a wider one.
const WORKER = new URL("../sw.js", import.meta.url);

/** Whether there can be any: not over plain HTTP, but for localhost. */
export const arePossible = "Notification" in window && "serviceWorker" in navigator;

const MUTED = "rushes.muted";
const inBrowser = new Kept(() => localStorage);

/** Whether their reader wants them in this browser. */
export const areWanted = () => arePossible && Notification.permission === "granted" && inBrowser.get(MUTED) !== "yes";

/** @param {boolean} yes */
export function want(yes) {
  if (yes) inBrowser.remove(MUTED);
  else inBrowser.set(MUTED, "yes");
}

/**
 * Has the end of a job shown, if that is wanted, unless another tab or the server has. Resolves once the worker is told.
 *
 * @param {Job} job
 */
export async function announce(job) {
  if (!areWanted()) return;
  const ready = job.state === "COMPLETED";
  const notice = {
    job_id: job.id,
    number: Number.parseInt(job.eventId, 10) || null,
    event: ready ? "completed" : "failed",
    title: t(ready ? "toast.ready" : "toast.failed"),
    body: title(job), // what a backend says of a failure is not for a locked screen
  };
  await post({ news: { notices: [notice], more: 0, several: t("notification.several", { count: "{count}" }) } });
}

/**
 * Has this browser told of ends while no page is open, in this page's language; whether the server does that.
 */
export async function subscribe() {
  const { pushManager } = await working();
  if (!pushManager) return false;
  try {
    const { public_key: key } = await getPushKey();
    const kept = await current(pushManager, key);
    if (key === null) return false;
    const wanted = { userVisibleOnly: true, applicationServerKey: bytes(key) };
    await subscribeToPush((kept ?? await pushManager.subscribe(wanted)).toJSON());
    return true;
  } catch (error) {
    // The page tells all the same: a browser may have no push service, and the server may be away.
    if (error instanceof Refusal || error instanceof DOMException) return false;
    throw error;
  }
}

/**
 * The subscription for the server's key; one for another key is ended.
 *
 * @param {PushManager} pushManager
 * @param {string | null} key
 */
async function current(pushManager, key) {
  const found = await pushManager.getSubscription();
  const made = found?.options.applicationServerKey;
  if (!found || (key !== null && made && String(new Uint8Array(made)) === String(bytes(key)))) return found;
  await found.unsubscribe();
  return null;
}

/** Ends that, in the browser and at the server. */
export async function unsubscribe() {
  const found = await ended();
  if (found) await unsubscribeFromPush(await digest(found.endpoint)).catch(() => {}); // the server finds out by itself
}

/** Ends it where nobody is signed in any more, and takes away what is shown. */
export async function leave() {
  await ended();
  const registration = await navigator.serviceWorker.getRegistration(WORKER);
  registration?.active?.postMessage({ signedOut: true });
}

async function ended() {
  const registration = await navigator.serviceWorker.getRegistration(WORKER);
  const found = await registration?.pushManager?.getSubscription();
  await found?.unsubscribe().catch(() => {});
  return found;
}

/** @param {object} message */
async function post(message) {
  const { active } = await working();
  active?.postMessage(message);
}

/** The registration, once its worker is active. */
async function working() {
  const registration = await navigator.serviceWorker.register(WORKER, { updateViaCache: "none" });
  const coming = registration.active ? null : registration.waiting ?? registration.installing;
  if (coming) {
    await new Promise((resolve) => {
      const look = () => coming.state !== "installed" && coming.state !== "installing" && coming.state !== "activating"
        && resolve(null);
      coming.addEventListener("statechange", look);
      look();
    });
  }
  return registration;
}

/** @param {string} base64url */
const bytes = (base64url) =>
  Uint8Array.from(atob(base64url.replace(/-/g, "+").replace(/_/g, "/")), (letter) => letter.charCodeAt(0));

/** @param {string} text */
async function digest(text) {
  const made = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return [...new Uint8Array(made)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
