// Shows notifications: of what the server pushes, and of what open pages say. One for each end of a job, whoever tells it
// first and however many do; of many, one for all.
//
// It has no words of its own, takes no request of a page and keeps no answer: there is no "fetch" here.

/** @typedef {{ job_id: string, number: number | null, event: string, title: string, body: string }} Notice */
/** @typedef {{ notices: Notice[], more: number, several: string }} News */
/** What a notification stands for. @typedef {{ jobs: string[], more: number, lines: string[] }} Shown */
/** @typedef {[string, { number: number | null, event: string }]} Told */

const worker = /** @type {ServiceWorkerGlobalScope} */ (/** @type {unknown} */ (self));

// Of one job each; with more than so many there is one for all.
const SINGLES = 2;
const LINES = 3;
const ALL = "rushes";
// Ends that are remembered, the newest: what comes again is of the last minutes or hours.
const REMEMBERED = 300;
// The page, from wherever this file lies.
const HOME = new URL("../", worker.registration.scope);

worker.addEventListener("install", () => worker.skipWaiting());

worker.addEventListener("push", (event) => {
  const news = read(event.data);
  if (news) event.waitUntil(inTurn(() => tell(news)));
});

worker.addEventListener("message", (event) => {
  const { news, signedOut } = event.data;
  if (news) event.waitUntil(inTurn(() => tell(news)));
  if (signedOut) event.waitUntil(inTurn(forget));
});

worker.addEventListener("pushsubscriptionchange", (event) => event.waitUntil(subscribeAnew()));

worker.addEventListener("notificationclick", (event) => {
  event.notification.close();
  event.waitUntil(open(/** @type {Shown} */ (event.notification.data).jobs));
});

/** @type {Promise<unknown>} */
let turn = Promise.resolve();

/**
 * One after the other: two that come at once must see what each has shown.
 *
 * @param {() => Promise<unknown>} step
 */
function inTurn(step) {
  turn = turn.then(step, step);
  return turn;
}

/**
 * What was pushed; null where it is none of ours.
 *
 * @param {PushMessageData | null} data
 * @returns {News | null}
 */
function read(data) {
  try {
    const news = data?.json();
    return Array.isArray(news?.notices) ? news : null;
  } catch {
    return null;
  }
}

/** @param {News} news */
async function tell({ notices, more, several }) {
  const told = new Map(await remembered());
  const fresh = notices.filter((notice) => isNews(notice, told.get(notice.job_id)));
  if (fresh.length > 0 || more > 0) await show(fresh, more, several);
  else await showAgain(notices);
  for (const { job_id: id, number, event } of fresh.toReversed()) {
    told.delete(id); // so that it is among the newest
    told.set(id, { number, event });
  }
  await remember([...told].slice(-REMEMBERED));
}

/**
 * @param {Notice} notice
 * @param {Told[1] | undefined} told
 */
function isNews({ number, event }, told) {
  if (told === undefined) return true;
  // A page that has read its state anew does not know by which event it came about.
  return number && told.number ? number > told.number : event !== told.event;
}

/**
 * @param {Notice[]} fresh newest first
 * @param {number} more
 * @param {string} several
 */
async function show(fresh, more, several) {
  const before = await worker.registration.getNotifications();
  const kept = before.filter(({ tag }) => !fresh.some(({ job_id: id }) => tag === tagOf(id)));
  const data = /** @type {Shown[]} */ (kept.map((notification) => notification.data));
  const jobs = [...new Set([...fresh.map(({ job_id: id }) => id), ...data.flatMap((shown) => shown.jobs)])];
  const unnamed = more + data.reduce((sum, shown) => sum + shown.more, 0);
  if (jobs.length + unnamed <= SINGLES && !kept.some(({ tag }) => tag === ALL)) {
    for (const { job_id: id, title, body } of fresh.toReversed()) {
      await put(title, body, tagOf(id), { jobs: [id], more: 0, lines: [body] });
    }
    return;
  }
  for (const notification of before) if (notification.tag !== ALL) notification.close();
  const lines = [...fresh.map(({ body }) => body), ...data.flatMap((shown) => shown.lines)].slice(0, LINES);
  const title = several.replace("{count}", String(jobs.length + unnamed));
  await put(title, lines.join("\n"), ALL, { jobs, more: unnamed, lines });
}

/**
 * A browser wants to see something for each message that is pushed to it: what is shown already does not alert again.
 *
 * @param {Notice[]} notices
 */
async function showAgain(notices) {
  for (const { title, body, tag, data } of await worker.registration.getNotifications()) {
    const { jobs } = /** @type {Shown} */ (data);
    if (notices.some(({ job_id: id }) => jobs.includes(id))) return put(title, body, tag, data, { again: true });
  }
}

/** @param {string} id */
const tagOf = (id) => `job ${id}`;

/**
 * @param {string} title
 * @param {string} body
 * @param {string} tag
 * @param {Shown} data
 * @param {{ again?: boolean }} [how]
 */
function put(title, body, tag, data, { again = false } = {}) {
  const icon = new URL("static/favicon.svg", HOME).href;
  return worker.registration.showNotification(title, /** @type {NotificationOptions} */ (
    { body, tag, data, icon, renotify: !again, silent: again ? true : null }));
}

/**
 * Brings the page to the front that shows them, or opens it.
 *
 * @param {string[]} jobs
 */
async function open(jobs) {
  const wanted = addressOf(jobs);
  const pages = await worker.clients.matchAll({ type: "window", includeUncontrolled: true });
  const at = (/** @type {string} */ path) => pages.find(({ url }) => new URL(url).pathname === path);
  const page = at(wanted.pathname) ?? at(HOME.pathname);
  if (page === undefined) return worker.clients.openWindow(wanted.href);
  if (jobs.length === 1) page.postMessage({ reveal: jobs[0] });
  return page.focus();
}

/**
 * Of a job's own page, or of the gallery for several.
 *
 * @param {string[]} jobs
 */
const addressOf = (jobs) => (jobs.length === 1 ? new URL(`jobs/${encodeURIComponent(jobs[0])}`, HOME) : HOME);

/**
 * The browser has ended its subscription, or made another one: the server is told of the new one, as the page would. What
 * cannot be done now, the page does when it is opened next.
 */
async function subscribeAnew() {
  const { pushManager } = worker.registration;
  const asked = await fetch(new URL("api/push/key", HOME));
  const { public_key: key = null } = asked.ok ? await asked.json() : {};
  const wanted = { userVisibleOnly: true, applicationServerKey: key };
  const made = await pushManager.getSubscription() ?? (key && await pushManager.subscribe(wanted));
  if (!made) return;
  const headers = { "Content-Type": "application/json" };
  const told = await fetch(new URL("api/push/subscriptions", HOME), { method: "POST", headers, body: JSON.stringify(made) });
  if (told.status === 401) await made.unsubscribe();
}

/** Whoever has signed out leaves nothing behind. */
async function forget() {
  for (const notification of await worker.registration.getNotifications()) notification.close();
  await remember([]);
}

// -- What was told, as long as the browser keeps it; else, as long as this worker runs

/** @type {Told[]} */
let here = [];

/** @returns {Promise<Told[]>} */
async function remembered() {
  try {
    return (await inStore("readonly", (store) => store.get("told"))) ?? here;
  } catch {
    return here;
  }
}

/** @param {Told[]} told the newest last */
async function remember(told) {
  here = told;
  try {
    await inStore("readwrite", (store) => store.put(told, "told"));
  } catch {
    // Storage is denied or full.
  }
}

/**
 * @param {IDBTransactionMode} mode
 * @param {(store: IDBObjectStore) => IDBRequest} ask
 */
async function inStore(mode, ask) {
  const opening = indexedDB.open("rushes", 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore("notifications");
  const database = await done(opening);
  try {
    return await done(ask(database.transaction("notifications", mode).objectStore("notifications")));
  } finally {
    database.close();
  }
}

/**
 * @param {IDBRequest} request
 * @returns {Promise<any>}
 */
function done(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
