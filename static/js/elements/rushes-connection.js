import { t } from "../i18n.js";

/**
 * Says quietly whether what the page shows is live: `state` is "connecting", "live" or "offline".
 *
 * @customElement rushes-connection
 * @example
 *   <rushes-connection state="connecting">
 *     <span class="dot" aria-hidden="true"></span><span class="connection-text"></span>
 *   </rushes-connection>
 */
export class RushesConnection extends HTMLElement {
  static observedAttributes = ["state"];

  connectedCallback() {
    this.#render();
  }

  attributeChangedCallback() {
    this.#render();
  }

  #render() {
    const text = this.querySelector(".connection-text");
    if (text) text.textContent = t(`connection.${this.getAttribute("state")}`);
  }
}
