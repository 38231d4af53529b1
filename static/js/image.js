// An image to begin a video with: from a file, dropped, or pasted.

/** What generation backends take. */
export const KINDS = ["image/png", "image/jpeg"];

// How files of these kinds begin, whatever they are called.
const BEGINNINGS = [[0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a], [0xff, 0xd8, 0xff]];

// Bytes of a request beside its image: the longest prompt, each letter of it written as six bytes, and the settings.
const BESIDE = 65_536;

/**
 * Bytes of the largest image for which there is room in a request, in which it takes a third more.
 *
 * @param {number} most bytes of a request that the server takes
 */
export const largestImage = (most) => Math.max(0, Math.floor((most - BESIDE) / 4) * 3);

/**
 * The first file among these; undefined where there is none.
 *
 * @param {DataTransfer | null} brought
 * @returns {File | undefined}
 */
export const fileIn = (brought) => brought?.files[0];

/**
 * The key of the words for what is wrong with a file; null if nothing is.
 *
 * @param {Blob} file
 * @param {number} most bytes
 */
export async function whyNot(file, most) {
  if (!KINDS.includes(file.type)) return "image.kind"; // by its name alone
  if (file.size > most) return "image.size";
  const begins = new Uint8Array(await file.slice(0, 8).arrayBuffer());
  if (!BEGINNINGS.some((beginning) => beginning.every((byte, at) => begins[at] === byte))) return "image.kind";
  return null;
}

/**
 * The file as a data: address; rejects where it cannot be read.
 *
 * @param {Blob} file
 * @returns {Promise<string>}
 */
export function dataUrl(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}

/**
 * Whether the browser can draw it.
 *
 * @param {string} address that `dataUrl` gave
 */
export async function isDrawn(address) {
  const image = new Image();
  image.src = address;
  return image.decode().then(() => true, () => false);
}

/** @param {string} address that `dataUrl` gave */
export const base64Of = (address) => address.slice(address.indexOf(",") + 1);
