// Which failed jobs the user has not dismissed yet. The gallery holds unfinished and completed jobs only, so without
// this note a failure would vanish with the next reload, unread.

const KEY = "rushes.failures";
const MOST = 12;

/** @returns {string[]} */
export function rememberedFailures() {
  try {
    const ids = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return Array.isArray(ids) ? ids.filter((id) => typeof id === "string") : [];
  } catch {
    return []; // storage is switched off, or holds something else
  }
}

/** @param {string[]} ids */
function store(ids) {
  try {
    localStorage.setItem(KEY, JSON.stringify(ids.slice(-MOST)));
  } catch {
    // Storage is switched off: the failure is shown until the page is left.
  }
}

/** @param {string} id */
export function rememberFailure(id) {
  store([...rememberedFailures().filter((other) => other !== id), id]);
}

/** @param {string} id */
export function forgetFailure(id) {
  const ids = rememberedFailures();
  if (ids.includes(id)) store(ids.filter((other) => other !== id));
}
