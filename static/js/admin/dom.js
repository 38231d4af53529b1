// Small pieces of the page, made of text alone.

import { shortTime, wholeTime } from "./format.js";
import { marked } from "./marks.js";

// Each is an element of its own: a text of nothing else must not hold up the page.
const PARTS_MAX = 5_000;

/**
 * An element with text or elements in it.
 *
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {string} [className]
 * @param {...(string | Node)} content
 * @returns {HTMLElementTagNameMap[T]}
 */
export function make(tag, className = "", ...content) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...content);
  return node;
}

/**
 * A link within the page.
 *
 * @param {string} href
 * @param {string} text
 */
export function link(href, text) {
  const node = make("a", "", text);
  node.href = href;
  return node;
}

/**
 * What a sender wrote: text, in which what cannot be seen, or turns what follows round, is told by its code point.
 *
 * @param {string} text
 * @param {boolean} [lines] whether line ends and tabs are as good as any text
 */
export function foreign(text, lines = false) {
  const node = make("bdi");
  const parts = marked(text, lines);
  for (const part of parts.slice(0, PARTS_MAX)) {
    node.append(part.mark === undefined ? part.text : make("span", "mark", part.mark));
  }
  if (parts.length > PARTS_MAX) node.append("…");
  return node;
}

/**
 * A `<time>` that says it in short, and whole when pointed at.
 *
 * @param {string} time
 */
export function timeNode(time) {
  const node = make("time", "", shortTime(time));
  node.dateTime = time;
  node.title = wholeTime(time);
  return node;
}
