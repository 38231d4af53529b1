// How long everything takes, in ms. `subscribe(…, { timing })` replaces single ones: for tests, which cannot wait.

/** @typedef {typeof TIMING} Timing */

export const TIMING = Object.freeze({
  opening: 5_000, // until the first sign of life of a connection
  silence: 30_000, // two of the server's heartbeats: who has heard nothing for so long is not live
  renewal: 25_000, // a WebSocket that brought nothing; a new one must be open before the silence is one
  answer: 20_000, // of a GET
  tell: 10_000, // from the first event on the screen to the report of it, and of what follows meanwhile
  signIn: 10_000, // of token() and ticket()
  poll: 5_000,
  pollHidden: 20_000,
  pollFor: 60_000, // then the better ways are tried again
  detour: 600_000, // how long a WebSocket is preferred after SSE was kept back
  watch: 14_000, // how often a follower looks for signs of life of its leader
  endCompleted: 2_000, // as the server ends the stream of one job
  endFailed: 600_000,
});
