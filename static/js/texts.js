// What the page says itself, in its two languages. What is said of a job's failure is shown as it comes.

import { EN } from "./en.js";
import { FR } from "./fr.js";

/** @type {Record<"fr" | "en", Record<string, string>>} */
export const TEXTS = { fr: FR, en: EN };

// The server's own words for where a job stands, in either language.
const STAGES = new Map(Object.values(TEXTS).flatMap((texts) =>
  Object.entries(texts).filter(([key]) => key.startsWith("stage.")).map(([key, said]) => [said, key])));

/**
 * A job's message in the reader's language, where it is one that the server writes; what another program wrote, as it is.
 *
 * @param {"fr" | "en"} lang
 * @param {string} message
 */
export function messageIn(lang, message) {
  const key = STAGES.get(message);
  return key === undefined ? message : TEXTS[lang][key];
}

// What these say beyond their code, the server says in APP_LANGUAGE: why a backend refuses.
const SAID_BY_SERVER = ["generation_failed"];

/**
 * A refusal in the page's words. Where its code has none, an English sentence is shown to who reads English alone.
 *
 * @param {"fr" | "en"} lang
 * @param {{ code: string | null, message: string, status: number }} refusal
 */
export function wordsOf(lang, { code, message, status }) {
  const words = TEXTS[lang][`refusal.${code}`];
  if (words !== undefined) return words;
  if (status === 0 || lang === "en" || SAID_BY_SERVER.includes(code ?? "")) return message;
  return TEXTS[lang]["problem.http"].replace("{status}", String(status));
}
