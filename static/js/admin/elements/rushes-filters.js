/** @import { Filter } from "../filter.js" */

import { t } from "../../i18n.js";
import { part, slots } from "../../slots.js";
import { make } from "../dom.js";
import { addressOf, FIELDS, filterOf, WINDOWS } from "../filter.js";

/** @type {Record<string, [string, (value: string) => string][]>} */
const CHOICES = {
  outcome: ["applied", "duplicate", "stale", "parked", "dead", "discarded"].map((one) => [one, () => t(`outcome.${one}`)]),
  status: ["pending", "processing", "generating", "downloading", "completed", "failed"].map((one) => [one, String]),
  version: ["v1", "v2", "v3"].map((one) => [one, String]),
  origin: ["webhook", "reconciled", "generator"].map((one) => [one, () => t(`origin.${one}`)]),
};
const OWN = "own";

/**
 * The form that says which webhooks are meant. Dispatches "rushes:go" with the address to go to.
 *
 * @customElement rushes-filters
 * @example
 *   <rushes-filters>
 *     <form>
 *       <input name="q"><select name="outcome"></select><select name="last"></select><select name="status"></select>
 *       <input name="job_id"><select name="version"></select><select name="origin"></select>
 *       <label data-slot="from" hidden><input type="datetime-local" name="from"></label>
 *       <label data-slot="to" hidden><input type="datetime-local" name="to"></label>
 *       <button></button><a data-slot="clear" hidden></a>
 *     </form>
 *   </rushes-filters>
 */
export class RushesFilters extends HTMLElement {
  /** @type {HTMLFormElement} */
  #form;
  /** @type {Record<string, HTMLElement>} */
  #slots;
  /** Times as the fields were filled with them, and what they stood for. @type {Map<string, string>} */
  #times = new Map();

  connectedCallback() {
    this.#form = part(this, "form");
    this.#slots = slots(this);
    for (const [name, choices] of Object.entries(CHOICES)) {
      const any = new Option(t(name === "status" ? "filter.any.status" : "filter.any"), "");
      this.#field(name).replaceChildren(any, ...choices.map(([value, words]) => new Option(words(value), value)));
    }
    const windows = ["", ...Object.keys(WINDOWS), OWN].map((name) => new Option(t(`window.${name}`), name));
    this.#field("last").replaceChildren(...windows);
    this.#form.addEventListener("submit", this.#onSubmit);
    this.#form.addEventListener("change", this.#onChange);
  }

  disconnectedCallback() {
    this.#form.removeEventListener("submit", this.#onSubmit);
    this.#form.removeEventListener("change", this.#onChange);
  }

  /** @param {Filter} filter */
  show(filter) {
    for (const name of FIELDS) this.#put(name, filter[name]);
    this.#times.clear();
    for (const name of /** @type {const} */ (["from", "to"])) {
      this.#put(name, local(filter[name]));
      this.#times.set(name + this.#field(name).value, filter[name]);
    }
    this.#put("last", filter.from || filter.to ? OWN : filter.last);
    this.#showTimes();
    this.#slots.clear.hidden = addressOf(filter) === "/admin";
  }

  #onSubmit = (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    this.#go();
  };

  // What is chosen counts at once, what is typed once it is sent.
  #onChange = (/** @type {Event} */ { target }) => {
    this.#showTimes();
    if (target instanceof HTMLSelectElement && this.#field("last").value !== OWN) this.#go();
  };

  #go() {
    const said = new URLSearchParams();
    for (const name of FIELDS) said.set(name, this.#field(name).value);
    const last = this.#field("last").value;
    if (last !== OWN) said.set("last", last);
    else for (const name of ["from", "to"]) said.set(name, this.#time(name));
    this.dispatchEvent(new CustomEvent("rushes:go", { bubbles: true, detail: addressOf(filterOf(said)) }));
  }

  /**
   * What the field says. One that nobody touched means what it was filled with: its text leaves out milliseconds, and
   * which of two hours it was where clocks are set back.
   *
   * @param {string} name
   */
  #time(name) {
    const { value } = this.#field(name);
    return this.#times.get(name + value) ?? value;
  }

  #showTimes() {
    const own = this.#field("last").value === OWN;
    this.#slots.from.hidden = !own;
    this.#slots.to.hidden = !own;
  }

  /**
   * @param {string} name
   * @param {string} value which a list may not have: an address may name any
   */
  #put(name, value) {
    const field = this.#field(name);
    if (field instanceof HTMLSelectElement && ![...field.options].some((option) => option.value === value)) {
      field.append(make("option", "", value));
    }
    field.value = value;
  }

  /** @param {string} name */
  #field(name) {
    return /** @type {HTMLInputElement | HTMLSelectElement} */ (this.#form.elements.namedItem(name));
  }
}

/**
 * A time in UTC as `datetime-local` has it, in the zone of whoever looks.
 *
 * @param {string} time
 */
function local(time) {
  if (time === "") return "";
  const at = new Date(time);
  return new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}
