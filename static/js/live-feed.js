// One stream for all tabs of a browser: whoever holds the Web Lock has the connection, and tells the others over a
// BroadcastChannel. A browser opens only six HTTP/1.1 connections to a host, whatever its number of tabs.
//
// Nothing is lost when the leader goes: every tab knows the id up to which it has everything. A follower says it to
// each new leader, ignores the channel until the leader has answered with what came since, and so misses nothing and
// has nothing twice.

import { Connection } from "./live-connection.js";
import { isNewer } from "./live-ids.js";

const KEPT = 500; // batches that a leader can repeat without asking the server

const feeds = new Map();

/** The feed of this key: one that is there already, or a new one. Without a key, or where tabs cannot share, a feed of
 *  one's own. */
export function feedOf(key, connect) {
  const canShare = key !== null && navigator.locks !== undefined && typeof BroadcastChannel === "function";
  if (!canShare) return new Feed(null, connect);
  if (!feeds.has(key)) feeds.set(key, new Feed(key, connect));
  return feeds.get(key);
}

class Feed {
  #key;
  #connect;
  #listeners = new Set();
  #id = Math.random().toString(36).slice(2);
  #channel = null;
  #connection = null;
  #release = null;
  #asking = null;
  #leader = null; // whose batches continue what this tab has
  #ring = [];
  #unfinished = new Set(); // jobs whose end polling would not see: it reads a list of those that go on
  #from = "0"; // the ring has everything after this id …
  #position = "0"; // … up to this one
  #state = { state: "connecting", via: null, error: null, retryIn: null };
  #life = null;

  constructor(key, connect) {
    this.#key = key;
    this.#connect = connect;
  }

  /** `listener` has lastEventId, take(batch), reset() and state(state); it gets everything after its last id. Its
   *  `unfinished` are the ids of the jobs that went on at that id. */
  add(listener) {
    this.#listeners.add(listener);
    this.#expect(listener.unfinished);
    if (this.#life === null) this.#open(listener.lastEventId);
    else this.#catchUp(listener.lastEventId);
    listener.state(this.#state);
  }

  remove(listener) {
    this.#listeners.delete(listener);
    if (this.#listeners.size === 0) this.#close();
  }

  #open(lastEventId) {
    this.#from = this.#position = lastEventId;
    this.#ring = [];
    this.#life = new AbortController();
    const { signal } = this.#life;
    // A page in the back-forward cache hears nothing, and must not lead those that do.
    window.addEventListener("pagehide", () => this.#leave(), { signal });
    window.addEventListener("pageshow", ({ persisted }) => persisted && this.#join(), { signal });
    this.#join();
  }

  #close() {
    this.#life?.abort();
    this.#life = null;
    this.#leave();
    this.#unfinished.clear();
    if (feeds.get(this.#key) === this) feeds.delete(this.#key);
  }

  #join() {
    if (this.#key === null) return this.#lead();
    this.#channel = new BroadcastChannel(this.#key);
    this.#channel.onmessage = ({ data }) => this.#hear(data);
    this.#hello(this.#position);
    this.#asking = new AbortController();
    const led = new Promise((resolve) => (this.#release = resolve));
    const lead = () => { this.#lead(); return led; };
    navigator.locks.request(this.#key, { signal: this.#asking.signal }, lead).catch(() => {}); // aborted: it left
  }

  #leave() {
    this.#connection?.stop();
    this.#connection = this.#leader = null;
    this.#asking?.abort();
    this.#release?.();
    this.#channel?.close();
    this.#asking = this.#release = this.#channel = null;
  }

  #say(message) {
    this.#channel?.postMessage({ from: this.#id, ...message });
  }

  #hello(after) {
    this.#say({ type: "hello", after, unfinished: [...this.#unfinished] });
  }

  #expect(jobIds) {
    for (const id of jobIds) this.#unfinished.add(id);
  }

  // -- The leader

  #lead() {
    this.#leader = null;
    this.#connection = this.#connect(this.#unfinished, {
      take: (batch) => { this.#say({ type: "batch", batch }); this.#take(batch); },
      reset: () => { this.#say({ type: "reset" }); this.#reset(); },
      state: (state) => { this.#say({ type: "state", state: plain(state) }); this.#show(state); },
    });
    this.#connection.start(this.#position);
    this.#say({ type: "lead" });
  }

  #welcome(tab, after, unfinished) {
    if (isNewer(this.#from, after)) {
      this.#expect(unfinished);
      this.#rewind(after);
    }
    const batches = this.#ring.filter((batch) => isNewer(batch.id, after));
    this.#say({ type: "welcome", to: tab, batches, state: plain(this.#state) });
  }

  /** Lets the server repeat what this tab no longer has. Those who have it pass over it. */
  #rewind(after) {
    this.#from = this.#position = after;
    this.#ring = [];
    this.#connection.start(after);
  }

  // -- Followers, and both

  #hear({ type, from, to, after, unfinished = [], batch, batches, state }) {
    if (type === "hello" && this.#connection !== null) this.#welcome(from, after, unfinished);
    if (type === "lead") this.#askAgain();
    if (type === "welcome" && to === this.#id) {
      this.#leader = from;
      this.#show(state);
      batches.forEach((one) => this.#take(one));
    }
    if (from !== this.#leader) return;
    if (type === "batch") this.#take(batch);
    if (type === "state") this.#show(state);
    if (type === "reset") this.#reset();
  }

  #askAgain(after = this.#position) {
    this.#leader = null;
    this.#hello(after);
  }

  #catchUp(after) {
    if (isNewer(this.#from, after)) {
      if (this.#connection !== null) return this.#rewind(after);
      this.#from = this.#position = after;
      this.#ring = [];
      return this.#askAgain(after);
    }
    for (const batch of this.#ring) this.#deliver(batch);
  }

  #take(batch) {
    if (!isNewer(batch.id, this.#position)) return;
    this.#position = batch.id;
    this.#ring.push(batch);
    if (this.#ring.length > KEPT) this.#from = this.#ring.shift().id;
    this.#deliver(batch);
  }

  #deliver(batch) {
    for (const { event, data } of batch.events) {
      if (event === "progress") this.#unfinished.add(data.job_id);
      else this.#unfinished.delete(data.job_id);
    }
    for (const listener of [...this.#listeners]) {
      if (!isNewer(batch.id, listener.lastEventId)) continue;
      listener.lastEventId = batch.id;
      listener.take(batch);
    }
  }

  // Whoever listens reads the present state, and begins anew where that was read.
  #reset() {
    const listeners = [...this.#listeners];
    this.#listeners.clear();
    this.#close();
    for (const listener of listeners) listener.reset();
  }

  #show(state) {
    this.#state = state;
    for (const listener of [...this.#listeners]) listener.state(state);
  }
}

/** What can be sent to another tab: of an error, its fields. */
function plain({ error, ...state }) {
  return { ...state, error: error && { status: error.status, code: error.code, message: error.message } };
}

export const connectionOf = (api, jobId) => (unfinished, to) => new Connection(api, jobId, unfinished, to);
