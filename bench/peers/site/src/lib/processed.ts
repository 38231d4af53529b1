// Webhooks of the last five minutes, so that one that is sent twice is applied once: in this process alone.

const WINDOW_MS = 5 * 60_000;
const MOST = 1000;
const seen = new Map<string, number>();

setInterval(() => {
  const old = Date.now() - WINDOW_MS;
  for (const [key, at] of seen) if (at < old) seen.delete(key);
}, 60_000).unref();

/** Whether no webhook of this key was seen within the window; it is from now on. */
export function firstTime(key: string): boolean {
  const at = seen.get(key);
  if (at !== undefined && at > Date.now() - WINDOW_MS) return false;
  if (seen.size >= MOST) seen.delete(seen.keys().next().value!);
  seen.set(key, Date.now());
  return true;
}

/** One that was not applied after all. */
export function forget(key: string): void {
  seen.delete(key);
}
