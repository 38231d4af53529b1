// A button that cancels a generation: pressed twice, so that nobody does it by mistake.

import { duration } from "./format.js";
import { t } from "./i18n.js";

const CONFIRM = 5_000;

/** The first press asks, the second one, within some seconds, does it; a double click is one press. */
export class Twice {
  #button;
  #say;
  #act;
  /** @type {number | undefined} */
  #armed;

  /**
   * @param {HTMLElement} button
   * @param {(text: string) => void} say to who hears the page
   * @param {(byKeyboard: boolean) => void} act
   */
  constructor(button, say, act) {
    this.#button = button;
    this.#say = say;
    this.#act = act;
  }

  /** @param {number} clicks in a row; 0 by keyboard */
  press(clicks) {
    if (clicks > 1) return;
    if (this.#armed !== undefined) {
      this.forget();
      return this.#act(clicks === 0);
    }
    this.#armed = setTimeout(() => {
      this.forget();
      this.#say(t("job.cancel-kept"));
    }, CONFIRM);
    this.#button.textContent = t("job.cancel-sure");
    this.#say(t("job.cancel-hint", { time: duration(CONFIRM / 1000) }));
  }

  /** The next press is a first one. */
  forget() {
    if (this.#armed === undefined) return;
    clearTimeout(this.#armed);
    this.#armed = undefined;
    this.#button.textContent = t("job.cancel");
    this.#say("");
  }
}
