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

/** @import { Listener, LiveState } from "./connection.js" */
/** @import { Message, Said } from "./messages.js" */
/** @import { Api, Batch } from "./state.js" */
/** @import { Timing } from "./timing.js" */

import { Connection } from "./connection.js";
import { isNewer, NONE } from "./ids.js";
import { plain } from "./messages.js";

/**
 * Who follows a feed: it gets everything after its last id. `unfinished` are the ids of the jobs that went on then.
 *
 * @typedef {Listener & { lastEventId: string, unfinished: string[] }} Follower
 */

/** @typedef {(unfinished: Set<string>, to: Listener) => Connection} Connect */

/** The turn that a tab waits for or has. @typedef {{ asking: AbortController, release: () => void }} Term */

const KEPT = 500; // batches that a leader can repeat without asking the server
const DOUBTED = 2; // silent looks after which a leader's state is no longer believed
const REPLACED = 3; // … and after which it is no leader
/** @type {LiveState} */
const CONNECTING = { state: "connecting", via: null, error: null, retryIn: null };

/** @type {Map<string, Feed>} */
const feeds = new Map();

/**
 * The feed of this key: one that is there already, or a new one. Without a key, or where tabs cannot share, a feed of
 * one's own.
 *
 * @param {string | null} key
 * @param {Connect} connect
 * @param {Timing} timing
 */
export function feedOf(key, connect, timing) {
  if (key === null) return new Feed(null, connect, timing);
  const feed = feeds.get(key) ?? new Feed(key, connect, timing);
  feeds.set(key, feed);
  return feed;
}

/** What all tabs of one key hear, by one connection. */
export class Feed {
  #key;
  #connect;
  #timing;
  /** @type {Set<Follower>} */
  #listeners = new Set();
  #id = Math.random().toString(36).slice(2);
  /** @type {BroadcastChannel | null} */
  #channel = null;
  /** @type {Connection | null} */
  #connection = null;
  /** @type {Term | null} */
  #term = null;
  /** @type {string | null} */
  #leader = null; // whose batches continue what this tab has
  /** @type {number | undefined} */
  #watch;
  #silent = 0; // looks in a row for which nothing came from a leader
  #doubted = false;
  /** @type {Batch[]} */
  #ring = [];
  /** @type {Set<string>} */
  #unfinished = new Set(); // jobs whose end polling would not see: it reads a list of those that go on
  #from = NONE; // the ring has everything after this id …
  #position = NONE; // … up to this one
  #state = CONNECTING;
  /** @type {AbortController | null} */
  #life = null;

  /**
   * @param {string | null} key
   * @param {Connect} connect
   * @param {Timing} timing
   */
  constructor(key, connect, timing) {
    this.#key = key;
    this.#connect = connect;
    this.#timing = timing;
  }

  /** @param {Follower} listener */
  add(listener) {
    this.#listeners.add(listener);
    this.#expect(listener.unfinished);
    if (this.#life === null) this.#open(listener.lastEventId);
    else this.#catchUp(listener.lastEventId);
    listener.state(this.#state);
  }

  /** @param {Follower} listener */
  remove(listener) {
    this.#listeners.delete(listener);
    if (this.#listeners.size === 0) this.#close();
  }

  /** @param {string} lastEventId */
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
    if (this.#key !== null && feeds.get(this.#key) === this) feeds.delete(this.#key);
  }

  #join() {
    const key = this.#key;
    if (key === null) return this.#lead();
    try {
      this.#channel = new BroadcastChannel(key);
    } catch {
      return this.#lead(); // there is none, or not for this page: it is alone
    }
    this.#channel.onmessage = ({ data }) => this.#hear(data);
    this.#watch = setInterval(() => this.#look(), this.#timing.watch * (0.9 + Math.random() / 10));
    this.#hello(this.#position);
    this.#request(key);
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

  /**
   * Waits for the lock, or takes it from whoever has it.
   *
   * @param {string} key
   */
  async #request(key, steal = false) {
    const term = { asking: new AbortController(), release: () => {} };
    const led = new Promise((resolve) => (term.release = () => resolve(null)));
    this.#term = term;
    const lead = () => { if (this.#term === term) { this.#lead(); return led; } };
    try {
      await navigator.locks.request(key, steal ? { steal } : { signal: term.asking.signal }, lead);
    } catch (error) {
      if (this.#term !== term) return; // it left
      if (error instanceof Error && error.name === "AbortError") this.#onStolen(key);
      else this.#beAlone();
    }
  }

  /** @param {string} key */
  #onStolen(key) {
    this.#stepDown();
    this.#request(key);
    this.#askAgain();
  }

  // No lock to be had, as in frames of another site: an own stream then, and no word to those who share.
  #beAlone() {
    this.#leave();
    this.#lead();
  }

  /** @param {Said} message */
  #say(message) {
    this.#channel?.postMessage({ from: this.#id, ...message });
  }

  /** @param {string} after */
  #hello(after) {
    this.#say({ type: "hello", after, unfinished: [...this.#unfinished] });
  }

  /** @param {string[]} jobIds */
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

  /**
   * @param {string} tab
   * @param {string} after
   * @param {string[]} unfinished
   */
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

  /**
   * Lets the server repeat what this tab no longer has. Those who have it pass over it.
   *
   * @param {string} after
   */
  #rewind(after) {
    this.#from = this.#position = after;
    this.#ring = [];
    this.#connection?.start(after);
  }

  // -- Followers, and both

  /** @param {Message} said */
  #hear(said) {
    if (this.#connection !== null) this.#hearAsLeader(said, this.#connection);
    else this.#hearAsFollower(said);
  }

  /**
   * @param {Message} said
   * @param {Connection} connection
   */
  #hearAsLeader(said, connection) {
    if (said.type === "hello") this.#welcome(said.from, said.after, said.unfinished ?? []);
    // From a timer: Firefox hands on messages while a dialog stops the tab, but nothing that its stream brings.
    if (said.type === "ask") setTimeout(() => this.#answer(), 0);
    if (said.type === "wake") connection.wake(said.networkChanged);
  }

  /** @param {Message} said */
  #hearAsFollower(said) {
    if (said.type === "lead") this.#askAgain();
    if (said.type === "welcome" && said.to === this.#id) {
      this.#leader = said.from;
      this.#silent = 0;
      this.#believe(said.state);
      said.batches.forEach((batch) => this.#take(batch));
    }
    // A tab that slept may not know who leads, or lack what was said meanwhile.
    if (said.type === "here" && (said.from !== this.#leader || said.position !== this.#position)) this.#askAgain();
    if (said.from !== this.#leader) return;
    this.#silent = 0;
    if (said.type === "here" && this.#doubted) this.#believe(said.state);
    if (said.type === "batch") this.#take(said.batch);
    if (said.type === "state") this.#show(said.state);
    if (said.type === "reset") this.#reset();
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

  /** @param {LiveState} state */
  #believe(state) {
    this.#doubted = false;
    this.#show(state);
  }

  #takeOver() {
    this.#silent = 0;
    this.#stepDown();
    if (this.#key !== null) this.#request(this.#key, true);
  }

  /** @param {boolean} networkChanged */
  #wake(networkChanged) {
    if (this.#connection !== null) this.#connection.wake(networkChanged);
    else this.#say({ type: "wake", networkChanged });
  }

  /** @param {string} after */
  #catchUp(after) {
    if (isNewer(this.#from, after)) {
      if (this.#connection !== null) return this.#rewind(after);
      this.#from = this.#position = after;
      this.#ring = [];
      return this.#askAgain(after);
    }
    for (const batch of this.#ring) this.#deliver(batch);
  }

  /** @param {Batch} batch */
  #take(batch) {
    if (!isNewer(batch.id, this.#position)) return;
    this.#position = batch.id;
    this.#ring.push(batch);
    for (const oldest of this.#ring.splice(0, this.#ring.length - KEPT)) this.#from = oldest.id;
    this.#deliver(batch);
  }

  /** @param {Batch} batch */
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

  /** @param {LiveState} state */
  #show(state) {
    this.#state = state;
    for (const listener of [...this.#listeners]) listener.state(state);
  }
}

/**
 * @param {Api} api
 * @param {string | null} jobId
 * @param {Timing} timing
 * @returns {Connect}
 */
export const connectionOf = (api, jobId, timing) => (unfinished, to) =>
  new Connection(api, jobId, unfinished, to, timing);
