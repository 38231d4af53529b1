/** @import { Webhook } from "../api.js" */
/** @import { Refusal } from "../../refusal.js" */

import { switchLanguage, t } from "../../i18n.js";
import { part, slots } from "../../slots.js";
import { addressOf, filterOf } from "../filter.js";
import { listenToKeys, showKeys } from "../keys.js";

const VIEWS = ["webhooks", "figures", "generations", "replays", "audit"];

/**
 * The whole page: which view the address names, who is let in, and keys. `access` is "unknown", "granted" or "refused"; `detail`
 * is there while one webhook is looked at, `only-looks` where who looks may change nothing: then what is `for-who-acts` is not
 * shown, and what is `only-looks` is.
 * It hears "rushes:go" with an address of the page, "rushes:say" with what is to be said aloud, "rushes:refused" with the
 * Refusal of a request, and "rushes:answered".
 *
 * @customElement rushes-admin
 * @example
 *   <rushes-admin access="unknown">
 *     <nav data-slot="nav"><a href="/admin" data-view="webhooks"></a></nav>
 *     <rushes-connection state="connecting"></rushes-connection>
 *     <div role="alert" data-slot="refused" hidden>
 *       <h2 data-slot="refused-title"></h2><p data-slot="refused-text"></p><button data-action="reload"></button>
 *     </div>
 *     <div role="alert" data-slot="trouble" hidden><p></p></div>
 *     <rushes-now>…</rushes-now>
 *     <section data-view="webhooks">
 *       <rushes-filters>…</rushes-filters>
 *       <rushes-bulk hidden>…</rushes-bulk><rushes-webhooks>…</rushes-webhooks><rushes-webhook hidden>…</rushes-webhook>
 *     </section>
 *     <section data-view="replays"><rushes-replays>…</rushes-replays></section>
 *     <section data-view="audit"><rushes-audit>…</rushes-audit></section>
 *     <section data-view="figures"><rushes-figures>…</rushes-figures></section>
 *     <section data-view="generations"><rushes-generations>…</rushes-generations></section>
 *     <p role="status" data-slot="aloud"></p>
 *   </rushes-admin>
 */
export class RushesAdmin extends HTMLElement {
  /** @type {Record<string, HTMLElement>} */
  #slots;
  #listening = new AbortController();

  connectedCallback() {
    this.#slots = slots(this);
    this.#listening = new AbortController();
    const { signal } = this.#listening;
    this.addEventListener("rushes:refused", ({ detail }) => this.#onRefused(detail), { signal });
    this.addEventListener("rushes:answered", ({ detail }) => this.#onAnswered(detail), { signal });
    this.addEventListener("rushes:go", ({ detail }) => this.#go(detail), { signal });
    this.addEventListener("rushes:say", ({ detail }) => (this.#slots.aloud.textContent = detail), { signal });
    this.addEventListener("click", (event) => this.#onClick(event), { signal });
    this.addEventListener("rushes:changed", ({ detail }) => this.#onChanged(detail), { signal });
    this.addEventListener("rushes:acted", ({ detail }) => this.#onActed(detail), { signal });
    this.addEventListener("rushes:picked", ({ detail }) => part(this, "rushes-bulk").show(detail), { signal });
    this.addEventListener("rushes:unpick", () => part(this, "rushes-webhooks").unpick(), { signal });
    window.addEventListener("popstate", () => this.#route(), { signal });
    listenToKeys({
      "/": () => this.#search(),
      "j": () => part(this, "rushes-webhooks").step(1),
      "k": () => part(this, "rushes-webhooks").step(-1),
      "Escape": () => this.#closeDetail(),
      "x": () => this.hasAttribute("only-looks") || part(this, "rushes-webhooks").pick(),
    }, signal);
  }

  disconnectedCallback() {
    this.#listening.abort();
  }

  /** Who is refused sees no view: nothing is asked for him. */
  get #isIn() {
    return this.getAttribute("access") === "granted";
  }

  /** @param {boolean} mayAct */
  #onAnswered(mayAct) {
    this.toggleAttribute("only-looks", !mayAct);
    const { refused, trouble } = this.#slots;
    refused.hidden = true;
    trouble.hidden = true;
    part(this, "rushes-connection").setAttribute("state", "live");
    if (this.#isIn) return;
    this.setAttribute("access", "granted");
    this.#route();
  }

  /**
   * Who may not see the page is told why; all else passes.
   *
   * @param {Refusal} refusal
   */
  #onRefused({ status, code, message }) {
    part(this, "rushes-connection").setAttribute("state", "offline");
    const why = status === 401 ? "admin.signed-out" : code === "forbidden" ? "admin.forbidden" : null;
    const { refused, trouble } = this.#slots;
    trouble.hidden = why !== null;
    part(trouble, "p").textContent = message;
    if (why === null) return;
    this.setAttribute("access", "refused");
    part(this, "rushes-webhooks").close();
    this.#slots["refused-title"].textContent = t(why);
    this.#slots["refused-text"].textContent = t(`${why}.lead`);
    refused.hidden = false;
  }

  // -- The address says what is shown

  /** @param {string} address */
  #go(address) {
    history.pushState(null, "", address);
    this.#route();
  }

  #route() {
    if (!this.#isIn) return;
    const params = new URLSearchParams(location.search);
    const asked = params.get("view") ?? "";
    const view = VIEWS.includes(asked) ? asked : VIEWS[0];
    document.title = `${t(`nav.${view}`)} · ${t("admin.title")} · rushes`;
    for (const anchor of this.#slots.nav.querySelectorAll("a")) {
      if (anchor.dataset.view === (view === "generations" ? "figures" : view)) anchor.setAttribute("aria-current", "page");
      else anchor.removeAttribute("aria-current");
    }
    /** @type {NodeListOf<HTMLElement>} */
    const sections = this.querySelectorAll("section[data-view]");
    for (const section of sections) section.hidden = section.dataset.view !== view;
    if (view === "webhooks") this.#showWebhooks(params);
    else this.#leaveWebhooks();
    for (const name of /** @type {const} */ (["figures", "generations", "replays", "audit"])) {
      const element = part(this, `rushes-${name}`);
      if (view === name) element.open(params);
      else element.close();
    }
    this.#keepFocus(view);
  }

  /**
   * What had the focus may have gone with its view: it would be lost, and keys would begin at the top again.
   *
   * @param {string} view
   */
  #keepFocus(view) {
    const isSeen = (/** @type {Element | null} */ node) => node !== null && node.getClientRects().length > 0;
    if (isSeen(document.activeElement)) return;
    /** @type {NodeListOf<HTMLElement>} */
    const headings = this.querySelectorAll(`section[data-view="${view}"] h2`);
    const heading = [...headings].find(isSeen);
    if (!heading) return;
    heading.tabIndex = -1;
    heading.focus();
  }

  #leaveWebhooks() {
    part(this, "rushes-webhooks").close();
    part(this, "rushes-webhook").open("", "/admin");
    this.removeAttribute("detail");
  }

  /** @param {URLSearchParams} params */
  #showWebhooks(params) {
    const filter = filterOf(params);
    const open = params.get("webhook") ?? "";
    part(this, "rushes-filters").show(filter);
    const list = part(this, "rushes-webhooks");
    const detail = part(this, "rushes-webhook");
    const before = detail.shown;
    list.open(filter, open);
    this.toggleAttribute("detail", open !== "");
    detail.open(open, addressOf(filter));
    if (before !== "" && open === "") list.focusOn(before);
  }

  /** @param {Webhook} webhook */
  #onChanged({ id }) {
    const detail = part(this, "rushes-webhook");
    if (id === detail.shown) detail.load();
  }

  /** @param {Webhook} webhook */
  #onActed(webhook) {
    part(this, "rushes-webhooks").hear(webhook);
    part(this, "rushes-now").read();
  }

  #search() {
    /** @type {HTMLElement | null} */
    const field = this.querySelector("section[data-view]:not([hidden]) form :is(input, select)");
    field?.focus();
  }

  #closeDetail() {
    if (part(this, "rushes-webhook").shown !== "") part(this, "rushes-webhook [data-slot=close]").click();
  }

  /** @param {MouseEvent} event */
  #onClick(event) {
    const target = /** @type {Element} */ (event.target);
    /** @type {HTMLAnchorElement | null} */
    const anchor = target.closest("a[href^='?'], a[href='/admin']");
    const elsewhere = event.ctrlKey || event.metaKey || event.shiftKey || event.altKey || event.button !== 0;
    if (anchor && !elsewhere) {
      event.preventDefault();
      this.#go(anchor.getAttribute("href") ?? "");
    }
    /** @type {HTMLElement | null} */
    const button = target.closest("[data-action]");
    const acts = { keys: showKeys, language: switchLanguage, reload: () => part(this, "rushes-now").read() };
    acts[/** @type {keyof typeof acts} */ (button?.dataset.action)]?.();
  }
}
