// One stream for all tabs of a browser: whoever holds the Web Lock has the connection, and tells the others over a
// BroadcastChannel. A browser opens only six HTTP/1.1 connections to a host, whatever its number of tabs.
//
// Nothing is lost when the leader goes: every tab knows the id up to which it has everything. A follower says it to
// each new leader, ignores the channel until the leader has answered with what came since, and so misses nothing and
// has nothing twice.
//
// A leader that stands still (a dialog, a breakpoint, a phone that put the tab to sleep) keeps the lock. Followers who
// hear nothing ask it for a sign of life, and take the lock from one that gives none; it finds that out when it wakes.
// Answers and not clocks decide, since the timers of a hidden tab run late: a leader has no interval to keep, and a
// follower that slept itself has asked only once.

import { Connection } from "./connection.js";
import { isNewer } from "./ids.js";

const KEPT = 500; // batches that a leader can repeat without asking the server
const DOUBTED = 2; // silent looks after which a leader's state is no longer believed
const REPLACED = 3; // … and after which it is no leader
const CONNECTING = { state: "connecting", via: null, error: null, retryIn: null };

const feeds = new Map();

/** The feed of this key: one that is there already, or a new one. Without a key, or where tabs cannot share, a feed of
 *  one's own. */
export function feedOf(key, connect, timing) {
  if (key === null) return new Feed(null, connect, timing);
  if (!feeds.has(key)) feeds.set(key, new Feed(key, connect, timing));
  return feeds.get(key);
}

class Feed {
  #key;
  #connect;
  #timing;
  #listeners = new Set();
  #id = Math.random().toString(36).slice(2);
  #channel = null;
  #connection = null;
  #term = null; // the turn that this tab waits for or has: { asking, release }
  #leader = null; // whose batches continue what this tab has
  #watch = null;
  #silent = 0; // looks in a row for which nothing came from a leader
  #doubted = false;
  #ring = [];
  #unfinished = new Set(); // jobs whose end polling would not see: it reads a list of those that go on
  #from = "0"; // the ring has everything after this id …
  #position = "0"; // … up to this one
  #state = CONNECTING;
  #life = null;

  constructor(key, connect, timing) {
    this.#key = key;
    this.#connect = connect;
    this.#timing = timing;
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
    for (const type of ["online", "offline"]) window.addEventListener(type, () => this.#wake(true), { signal });
    window.addEventListener("focus", () => this.#wake(false), { signal });
    document.addEventListener("visibilitychange", () => document.hidden || this.#wake(false), { signal });
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
    try {
      this.#channel = new BroadcastChannel(this.#key);
    } catch {
      return this.#lead(); // there is none, or not for this page: it is alone
    }
    this.#channel.onmessage = ({ data }) => this.#hear(data);
    this.#watch = setInterval(() => this.#look(), this.#timing.watch * (0.9 + Math.random() / 10));
    this.#hello(this.#position);
    this.#request();
  }

  #leave() {
    this.#stepDown();
    this.#leader = null;
    this.#silent = 0;
    this.#doubted = false;
    clearInterval(this.#watch);
    this.#channel?.close();
    this.#channel = null;
  }

  #stepDown() {
    const term = this.#term;
    this.#term = null;
    this.#connection?.stop();
    this.#connection = null;
    term?.asking.abort();
    term?.release();
  }

  /** Waits for the lock, or takes it from whoever has it. */
  async #request(steal = false) {
    const term = { asking: new AbortController() };
    const led = new Promise((resolve) => (term.release = resolve));
    this.#term = term;
    const lead = () => { if (this.#term === term) { this.#lead(); return led; } };
    try {
      await navigator.locks.request(this.#key, steal ? { steal } : { signal: term.asking.signal }, lead);
    } catch (error) {
      if (this.#term !== term) return; // it left
      if (error.name === "AbortError") this.#onStolen();
      else this.#beAlone();
    }
  }

  #onStolen() {
    this.#stepDown();
    this.#request();
    this.#askAgain();
  }

  // No lock to be had, as in frames of another site: an own stream then, and no word to those who share.
  #beAlone() {
    this.#leave();
    this.#lead();
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
    this.#doubted = false;
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

  #answer() {
    if (this.#connection === null) return;
    this.#say({ type: "here", state: plain(this.#state), position: this.#position });
  }

  /** Lets the server repeat what this tab no longer has. Those who have it pass over it. */
  #rewind(after) {
    this.#from = this.#position = after;
    this.#ring = [];
    this.#connection.start(after);
  }

  // -- Followers, and both

  #hear({ type, from, to, after, unfinished = [], batch, batches, state, position, networkChanged }) {
    if (this.#connection !== null) {
      if (type === "hello") this.#welcome(from, after, unfinished);
      // From a timer: Firefox hands on messages while a dialog stops the tab, but nothing that its stream brings.
      if (type === "ask") setTimeout(() => this.#answer(), 0);
      if (type === "wake") this.#connection.wake(networkChanged);
      return;
    }
    if (type === "lead") this.#askAgain();
    if (type === "welcome" && to === this.#id) {
      this.#leader = from;
      this.#silent = 0;
      this.#believe(state);
      batches.forEach((one) => this.#take(one));
    }
    // A tab that slept may not know who leads, or lack what was said meanwhile.
    if (type === "here" && (from !== this.#leader || position !== this.#position)) this.#askAgain();
    if (from !== this.#leader) return;
    this.#silent = 0;
    if (type === "here" && this.#doubted) this.#believe(state);
    if (type === "batch") this.#take(batch);
    if (type === "state") this.#show(state);
    if (type === "reset") this.#reset();
  }

  #askAgain(after = this.#position) {
    this.#leader = null;
    this.#hello(after);
  }

  #look() {
    if (this.#connection !== null) return;
    this.#silent += 1;
    if (this.#silent === DOUBTED) this.#doubt();
    if (this.#silent >= REPLACED) return this.#takeOver();
    if (this.#leader === null) this.#hello(this.#position);
    else this.#say({ type: "ask" });
  }

  #doubt() {
    this.#doubted = true;
    this.#show(CONNECTING);
  }

  #believe(state) {
    this.#doubted = false;
    this.#show(state);
  }

  #takeOver() {
    this.#silent = 0;
    this.#stepDown();
    this.#request(true);
  }

  #wake(networkChanged) {
    if (this.#connection !== null) this.#connection.wake(networkChanged);
    else this.#say({ type: "wake", networkChanged });
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

export const connectionOf = (api, jobId, timing) => (unfinished, to) =>
  new Connection(api, jobId, unfinished, to, timing);
