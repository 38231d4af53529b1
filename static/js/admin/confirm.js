// Asks before something is done that cannot be taken back.

import { part, slots } from "../slots.js";

/**
 * Whether the operator says yes.
 *
 * @param {string} heading what is to be done
 * @param {string} text to what, and what follows
 * @param {string} verb of the button that does it
 * @returns {Promise<boolean>}
 */
export function confirmed(heading, text, verb) {
  const dialog = /** @type {HTMLDialogElement} */ (part(document, "dialog#confirm"));
  const parts = slots(dialog);
  parts.heading.textContent = heading;
  parts.text.textContent = text;
  parts.yes.textContent = verb;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((answer) => {
    dialog.addEventListener("close", () => answer(dialog.returnValue === "yes"), { once: true });
  });
}
