import { generate } from "../api.js";
import { duration } from "../format.js";
import { t } from "../i18n.js";

// After these answers one cannot tell whether the job was made: the same submission keeps its key.
const UNSURE = [0, 408, 409, 425, 429, 500, 503, 504];

/** `<rushes-prompt>`: the form. Dispatches "rushes:generated" with the answer and what was asked for. */
export class RushesPrompt extends HTMLElement {
  #form = null;
  #sending = false;
  #last = { body: null, key: null };

  connectedCallback() {
    this.#form = this.querySelector("form");
    this.#form.addEventListener("submit", this.#onSubmit);
    this.#form.addEventListener("keydown", this.#onKey);
    this.#form.addEventListener("input", this.#onInput);
  }

  disconnectedCallback() {
    this.#form.removeEventListener("submit", this.#onSubmit);
    this.#form.removeEventListener("keydown", this.#onKey);
    this.#form.removeEventListener("input", this.#onInput);
  }

  /** Puts a text into the form, for the user to change and send. */
  propose(text) {
    const { prompt } = this.#form.elements;
    prompt.value = text;
    this.#showProblem(null);
    prompt.focus();
    prompt.setSelectionRange(text.length, text.length);
  }

  #onSubmit = (event) => {
    event.preventDefault();
    if (!this.#sending) this.#send(this.#asked());
  };

  #onKey = (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.#form.requestSubmit();
  };

  #onInput = () => {
    this.#showProblem(null);
    this.#hint("");
  };

  #asked() {
    const { prompt, aspect_ratio: ratio, duration_seconds: seconds, number_of_videos: number } = this.#form.elements;
    return {
      prompt: prompt.value.trim(),
      aspect_ratio: ratio.value,
      duration_seconds: Number(seconds.value),
      number_of_videos: Number(number.value),
    };
  }

  async #send(asked) {
    if (asked.prompt === "") {
      this.#showProblem(t("prompt.empty"));
      this.#form.elements.prompt.focus();
      return;
    }
    this.#busy(true);
    try {
      const answer = await generate(asked, this.#keyFor(asked));
      this.#onSent({ ...asked, ...answer });
    } catch (error) {
      this.#onRefused(error);
    } finally {
      this.#busy(false);
    }
  }

  #keyFor(asked) {
    const body = JSON.stringify(asked);
    if (this.#last.body !== body) this.#last = { body, key: newKey() };
    return this.#last.key;
  }

  #onSent(detail) {
    this.#last = { body: null, key: null };
    if (this.#form.elements.prompt.value.trim() === detail.prompt) this.#form.elements.prompt.value = "";
    this.#showProblem(null);
    this.#hint(t("prompt.sent"));
    this.dispatchEvent(new CustomEvent("rushes:generated", { bubbles: true, detail }));
  }

  #onRefused(error) {
    const settled = error.code !== null && !UNSURE.includes(error.status);
    if (settled) this.#last = { body: null, key: null };
    const lines = [error.message, ...error.details.map(({ field, message }) => `${field} – ${message}`)];
    if (error.retryAfter) lines.push(t("prompt.wait", { time: duration(error.retryAfter) }));
    this.#showProblem(lines.join("\n"));
  }

  #busy(yes) {
    this.#sending = yes;
    const button = this.#form.querySelector("[type=submit]");
    button.setAttribute("aria-disabled", String(yes)); // "disabled" would take the focus away
    button.textContent = t(yes ? "prompt.sending" : "prompt.submit");
    if (yes) this.#hint("");
  }

  #showProblem(text) {
    const problem = this.querySelector(".problem");
    problem.textContent = text ?? "";
    problem.hidden = text === null;
    this.#form.elements.prompt.setAttribute("aria-invalid", String(text !== null));
  }

  #hint(text) {
    this.querySelector(".hint").textContent = text;
  }
}

/** A random UUID, also where the page is served over plain HTTP and crypto.randomUUID does not exist. */
function newKey() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const hex = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
