// The page's texts, put in their places. The server fills in <html lang>.

import { TEXTS } from "./texts.js";

export const lang = document.documentElement.lang.startsWith("en") ? "en" : "fr";

/**
 * The text for `key`, with `{name}` filled in from `values`.
 *
 * @param {string} key
 * @param {Record<string, string | number>} [values]
 */
export function t(key, values = {}) {
  return (TEXTS[lang][key] ?? key).replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ""));
}

/** @type {Record<string, (node: Element, text: string) => void>} */
const PLACES = {
  "data-t": (node, text) => (node.textContent = text),
  "data-t-label": (node, text) => node.setAttribute("aria-label", text),
  "data-t-title": (node, text) => node.setAttribute("title", text),
  "data-t-placeholder": (node, text) => node.setAttribute("placeholder", text),
};

/**
 * Fills in the texts of static markup: data-t (content), data-t-label, data-t-title, data-t-placeholder.
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
