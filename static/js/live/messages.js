// What tabs say to each other over their BroadcastChannel.

/** @import { LiveState } from "./connection.js" */
/** @import { Batch } from "./state.js" */

/**
 * A follower asks and the leader answers, or either tells all.
 *
 * @typedef {{ type: "hello", after: string, unfinished?: string[] } |
 *   { type: "welcome", to: string, batches: Batch[], state: LiveState } |
 *   { type: "here", state: LiveState, position: string } |
 *   { type: "batch", batch: Batch } |
 *   { type: "state", state: LiveState } |
 *   { type: "wake", networkChanged: boolean } |
 *   { type: "lead" | "ask" | "reset" }} Said
 */

/** @typedef {Said & { from: string }} Message `from` is a tab */

/**
 * What can be sent to another tab: of an error, its fields.
 *
 * @param {LiveState} state
 * @returns {LiveState}
 */
export function plain({ error, ...state }) {
  return { ...state, error: error && { status: error.status, code: error.code, message: error.message } };
}
