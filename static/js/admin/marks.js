// Characters that a text can hide in, or be turned round by: pure.

const HIDDEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Co}]/u;
// Joined emoji are one picture.
const JOINER = "\u200d";
const PICTURE = /\p{Extended_Pictographic}\ufe0f?\p{Emoji_Modifier}?$/u;

/** @typedef {{ text: string, mark?: undefined } | { text?: undefined, mark: string }} Part */

/**
 * The text in parts: as it is, or the code point of what cannot be seen, as "U+202E".
 *
 * @param {string} text
 * @param {boolean} [lines] whether line ends and tabs are text
 * @returns {Part[]}
 */
export function marked(text, lines = false) {
  /** @type {Part[]} */
  const parts = [];
  let plain = "";
  for (const character of text) {
    if (!HIDDEN.test(character) || (lines && (character === "\n" || character === "\t")) ||
        (character === JOINER && PICTURE.test(plain))) {
      plain += character;
      continue;
    }
    if (plain) parts.push({ text: plain });
    plain = "";
    const code = /** @type {number} */ (character.codePointAt(0)).toString(16).toUpperCase();
    parts.push({ mark: `U+${code.padStart(4, "0")}` });
  }
  if (plain) parts.push({ text: plain });
  return parts;
}
