// What the composer keeps: the text that is not sent yet, for this tab, and the settings that were chosen last, for all.

/** @import { Order } from "./api.js" */

import { Kept } from "./kept.js";

const DRAFT = "rushes.draft";
const SETTINGS = "rushes.settings";

const inAllTabs = new Kept(() => localStorage);
const inThisTab = new Kept(() => sessionStorage);

export const draft = () => inThisTab.get(DRAFT) ?? "";

/** @param {string} text */
export function keepDraft(text) {
  if (text === "") inThisTab.remove(DRAFT);
  else inThisTab.set(DRAFT, text);
}

/**
 * The settings by their names, as texts.
 *
 * @returns {[string, string][]}
 */
export function settings() {
  try {
    return Object.entries(Object(JSON.parse(inAllTabs.get(SETTINGS) ?? "null"))).map(([name, value]) => [name, String(value)]);
  } catch {
    return [];
  }
}

/** @param {Record<string, string>} chosen */
export const keepSettings = (chosen) => inAllTabs.set(SETTINGS, JSON.stringify(chosen));

const COMPOSE = "#compose=";

/**
 * Keeps a job's order for the composer, as if it had been put together there; the address of the page that has it open,
 * and reads what is not known here.
 *
 * @param {string} id
 * @param {Partial<Order>} order
 */
export function composeFrom(id, { prompt = "", ...chosen }) {
  keepDraft(prompt);
  const asTexts = Object.entries(chosen).map(([name, value]) => [name, String(value)]);
  keepSettings(Object.fromEntries([...settings(), ...asTexts]));
  return `/${COMPOSE}${encodeURIComponent(id)}`;
}

/** The id of the job whose order this page was opened to compose from, once; null if it was not. */
export function toComposeFrom() {
  if (!location.hash.startsWith(COMPOSE)) return null;
  const id = location.hash.slice(COMPOSE.length);
  history.replaceState(history.state, "", location.pathname + location.search);
  try {
    return decodeURIComponent(id);
  } catch {
    return null; // nobody's id
  }
}
