// What the operator's page says itself, in its two languages, beside what it shares with the gallery's.

import { EN } from "./en.js";
import { FR } from "./fr.js";

export const TEXTS = { fr: FR, en: EN };
