import { t } from "../i18n.js";

/** `<rushes-connection state="connecting|live|offline">`: says quietly whether what the page shows is live. */
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
