// Single keys that do something, as long as nobody is writing.

import { Kept } from "../kept.js";
import { t } from "../i18n.js";
import { part, slots } from "../slots.js";
import { make } from "./dom.js";

const OFF = "rushes.admin.keys";
const kept = new Kept(() => localStorage);

/** What a key is called, and what it does: both texts. @type {[string, string][]} */
const HELP = [["/", "keys.search"], ["j", "keys.next"], ["k", "keys.previous"], ["keys.enter", "keys.open"],
  ["x", "keys.select"], ["keys.escape", "keys.close"], ["?", "keys.help"]];

/**
 * Calls what a key is for. Keys alone can be turned off, which who speaks to the machine needs.
 *
 * @param {Record<string, () => void>} does by key, as `KeyboardEvent.key` has it
 * @param {AbortSignal} signal
 */
export function listenToKeys(does, signal) {
  const help = /** @type {HTMLDialogElement} */ (part(document, "dialog#keys"));
  const { keys, use } = slots(help);
  const box = /** @type {HTMLInputElement} */ (use);
  for (const [key, text] of HELP) {
    keys.append(make("dt", "", make("kbd", "", key.length > 1 ? t(key) : key)), make("dd", "", t(text)));
  }
  box.checked = kept.get(OFF) === null;
  box.addEventListener("change", () => (box.checked ? kept.remove(OFF) : kept.set(OFF, "off")), { signal });
  const all = { ...does, "?": () => help.showModal() };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || help.open || writes(event.target)) return;
    const act = all[/** @type {keyof typeof all} */ (event.key)];
    if (act === undefined || (!box.checked && event.key.length === 1)) return;
    event.preventDefault();
    act();
  }, { signal });
}

export const showKeys = () => /** @type {HTMLDialogElement} */ (part(document, "dialog#keys")).showModal();

/**
 * Whether keys are text where they are pressed.
 *
 * @param {EventTarget | null} target
 */
const writes = (target) =>
  target instanceof Element && target.matches("input:not([type=checkbox]), textarea, select, dialog *, [contenteditable]");
