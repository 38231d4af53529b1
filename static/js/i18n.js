// The page's texts, put in their places. The server fills in <html lang>.

import { TEXTS } from "./texts.js";

export const lang = document.documentElement.lang.startsWith("en") ? "en" : "fr";
const words = { ...TEXTS[lang] };

/**
 * Adds the texts of a page of its own, which come before those of the same name.
 *
 * @param {Record<"fr" | "en", Record<string, string>>} texts
 */
export const learn = (texts) => Object.assign(words, texts[lang]);

/**
 * The text for `key`, with `{name}` filled in from `values`.
 *
 * @param {string} key
 * @param {Record<string, string | number>} [values]
 */
export function t(key, values = {}) {
  return (words[key] ?? key).replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ""));
}

const plurals = new Intl.PluralRules(lang);

/**
 * The text for so many: that of `key.1` where the language has the singular, which for French is so of none, too.
 *
 * @param {string} key
 * @param {number} count
 * @param {Record<string, string | number>} [values]
 */
export const many = (key, count, values = {}) =>
  t(plurals.select(count) === "one" ? `${key}.1` : key, { count, ...values });

const YEAR = 365 * 86_400;

/** Shows the page in the other language, also the next time. */
export function switchLanguage() {
  document.cookie = `rushes_language=${lang === "fr" ? "en" : "fr"}; path=/; max-age=${YEAR}; samesite=lax`;
  location.reload();
}

/** @type {Record<string, (node: Element, text: string) => void>} */
const PLACES = {
  "data-t": (node, text) => (node.textContent = text),
  "data-t-label": (node, text) => node.setAttribute("aria-label", text),
  "data-t-alt": (node, text) => node.setAttribute("alt", text),
  "data-t-lang": (node, text) => node.setAttribute("lang", text),
  "data-t-title": (node, text) => node.setAttribute("title", text),
  "data-t-placeholder": (node, text) => node.setAttribute("placeholder", text),
};

/**
 * Fills in the texts of static markup: data-t (content), data-t-alt, data-t-label, data-t-lang,
 * data-t-title, data-t-placeholder.
 *
 * @param {ParentNode} root
 */
export function translate(root) {
  for (const [name, put] of Object.entries(PLACES)) {
    for (const node of root.querySelectorAll(`[${name}]`)) put(node, t(node.getAttribute(name) ?? ""));
  }
}

/**
 * A translated copy of the `<template>` with this id.
 *
 * @param {string} id
 */
export function stamp(id) {
  const template = /** @type {HTMLTemplateElement} */ (document.getElementById(id));
  const content = /** @type {DocumentFragment} */ (template.content.cloneNode(true));
  translate(content);
  return content;
}
