import { t } from "../i18n.js";
import { fileSize } from "../format.js";
import { base64Of, dataUrl, fileIn, isDrawn, KINDS, largestImage, whyNot } from "../image.js";
import { longestOrder } from "../server.js";
import { part, slots } from "../slots.js";

const IMAGE_MAX = largestImage(longestOrder);

/**
 * The image of an order: chosen as a file, or handed over by whoever hears of a drop or a paste. Dispatches
 * "rushes:image" when there is another one, or none, with what is wrong with the one that was tried.
 *
 * @customElement rushes-image
 * @example
 *   <rushes-image>
 *     <label><input type="file" data-slot="file"></label>
 *     <span data-slot="shown" hidden><img alt="" data-slot="preview"><button type="button" data-slot="remove"></button></span>
 *   </rushes-image>
 */
export class RushesImage extends HTMLElement {
  /** The image in base64; null where there is none. @type {string | null} */
  value = null;
  /** @type {Record<string, HTMLElement>} */
  #slots;
  #reads = 0;

  connectedCallback() {
    if (this.#slots) return;
    this.#slots = slots(this);
    const input = part(this, "input");
    input.accept = KINDS.join(",");
    input.addEventListener("change", () => this.#onChosen(input));
    this.#slots.remove.addEventListener("click", () => { this.clear(); input.focus(); });
  }

  /** @param {HTMLInputElement} input */
  #onChosen(input) {
    this.take(input.files?.[0]);
    input.value = ""; // else the same file, chosen again, is no change
  }

  /**
   * Takes the first file of a drop or a paste; whether there was one.
   *
   * @param {DataTransfer | null} brought
   */
  takeFrom(brought) {
    const file = fileIn(brought);
    if (file) this.take(file);
    return file !== undefined;
  }

  /**
   * Takes the image that is being read, unless another one is chosen meanwhile; false where it cannot be used. Rejects
   * as that does.
   *
   * @param {Promise<Blob>} reading
   */
  async takeWhenRead(reading) {
    this.#reads += 1;
    const read = this.#reads;
    try {
      const image = await reading;
      return read !== this.#reads || await this.take(image);
    } catch (error) {
      if (read === this.#reads) throw error;
      return true;
    }
  }

  /**
   * False where it cannot be used.
   *
   * @param {Blob | undefined} file
   */
  async take(file) {
    if (!file) return true;
    this.#reads += 1;
    const read = this.#reads;
    const { problem, address } = await readImage(file).catch(() => ({ problem: "image.unread", address: null }));
    if (read !== this.#reads) return true; // another one was chosen meanwhile
    if (address !== null) this.#show(address);
    return this.#tell(problem && t(problem, { size: fileSize(file.size), most: fileSize(IMAGE_MAX) }));
  }

  clear() {
    this.#reads += 1;
    this.#show(null);
    this.#tell(null);
  }

  /** @param {string | null} address */
  #show(address) {
    this.value = address && base64Of(address);
    this.#slots.shown.hidden = address === null;
    const preview = part(this, "img");
    if (address === null) preview.removeAttribute("src");
    else preview.src = address;
  }

  /** @param {string | null} problem */
  #tell(problem) {
    this.dispatchEvent(new CustomEvent("rushes:image", { bubbles: true, detail: problem }));
    return problem === null;
  }
}

/**
 * The image of a file as an address, or the key of the words for what is wrong with it; rejects where it cannot be read.
 *
 * @param {Blob} file
 * @returns {Promise<{ problem: string | null, address: string | null }>}
 */
async function readImage(file) {
  const problem = await whyNot(file, IMAGE_MAX);
  if (problem !== null) return { problem, address: null };
  const address = await dataUrl(file);
  return await isDrawn(address) ? { problem: null, address } : { problem: "image.kind", address: null };
}
