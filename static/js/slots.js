// The parts of an element's light DOM, which index.html has.

/**
 * The parts by name: `slots(this).grid` is its first `[data-slot=grid]`.
 *
 * @param {ParentNode} root
 * @returns {Record<string, HTMLElement>}
 */
export function slots(root) {
  /** @type {NodeListOf<HTMLElement>} */
  const nodes = root.querySelectorAll("[data-slot]");
  return Object.fromEntries([...nodes].map((node) => [node.dataset.slot, node]));
}

/**
 * The first part that matches a selector; an error if there is none.
 *
 * @template {keyof HTMLElementTagNameMap} T
 * @overload
 * @param {ParentNode} root
 * @param {T} selector
 * @returns {HTMLElementTagNameMap[T]}
 */
/**
 * @overload
 * @param {ParentNode} root
 * @param {string} selector
 * @returns {HTMLElement}
 */
/**
 * @param {ParentNode} root
 * @param {string} selector
 * @returns {HTMLElement}
 */
export function part(root, selector) {
  /** @type {HTMLElement | null} */
  const found = root.querySelector(selector);
  if (found === null) throw new Error(`no part of the page matches ${selector}`);
  return found;
}
