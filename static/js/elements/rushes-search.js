/** @import { Query } from "../api.js" */

import { part } from "../slots.js";

const TYPING = 300;

/**
 * Says what is looked for: dispatches "rushes:search" with it, or with null where all videos are wanted. The page's
 * address says it too, so it is there after a reload, and can be passed on.
 *
 * @customElement rushes-search
 * @example
 *   <rushes-search>
 *     <form role="search">
 *       <input type="search" name="q" maxlength="100">
 *       <select name="state"><option value="completed">…</option></select>
 *     </form>
 *   </rushes-search>
 */
export class RushesSearch extends HTMLElement {
  /** @type {HTMLFormElement} */
  #form;
  /** @type {number | undefined} */
  #typing;
  #told = "";
  #listening = new AbortController();

  connectedCallback() {
    this.#form = part(this, "form");
    this.#listening = new AbortController();
    const { signal } = this.#listening;
    const address = new URLSearchParams(location.search);
    this.#q.value = address.get("q") ?? "";
    this.#choose(address.get("state") ?? "completed");
    this.#form.addEventListener("input", () => this.#onInput(), { signal });
    this.#form.addEventListener("submit", (event) => { event.preventDefault(); this.#tell(); }, { signal });
    this.#told = this.#address;
  }

  disconnectedCallback() {
    this.#listening.abort();
    clearTimeout(this.#typing);
  }

  get #q() {
    return part(this.#form, "input");
  }

  get #state() {
    return part(this.#form, "select");
  }

  /**
   * What is looked for; null where nothing is.
   *
   * @returns {Query | null}
   */
  get query() {
    const [q, state] = [this.#q.value.trim(), this.#state.value];
    return q === "" && state === "completed" ? null : { q, state };
  }

  /** Looks for nothing any more. */
  clear() {
    this.#q.value = "";
    this.#choose("completed");
    this.#tell();
  }

  /** @param {string} state */
  #choose(state) {
    if ([...this.#state.options].some(({ value }) => value === state)) this.#state.value = state;
  }

  #onInput() {
    clearTimeout(this.#typing);
    this.#typing = setTimeout(() => this.#tell(), TYPING);
  }

  get #address() {
    const { query } = this;
    const said = new URLSearchParams();
    if (query?.q) said.set("q", query.q);
    if (query && query.state !== "completed") said.set("state", query.state);
    return said.size === 0 ? location.pathname : `?${said}`;
  }

  #tell() {
    clearTimeout(this.#typing);
    const address = this.#address;
    if (address === this.#told) return;
    this.#told = address;
    history.replaceState(history.state, "", address);
    this.dispatchEvent(new CustomEvent("rushes:search", { bubbles: true, detail: this.query }));
  }
}
