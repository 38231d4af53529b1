// Ids of events are text, as "1042-7f3a", and go back to the server as they came. The number tells newer from older; what
// is behind the hyphen tells an event from another one that was given its number after the log was taken back.

/** Before the first event. */
export const NONE = "0";

/**
 * Whether an id is of a later event. One that is null is later than none.
 *
 * @param {string | null} id
 * @param {string} than
 */
export const isNewer = (id, than) => Number.parseInt(String(id), 10) > Number.parseInt(than, 10);

/**
 * Whether two ids, of which the first was given later, cannot be of one log.
 *
 * @param {string} id
 * @param {string} earlier
 */
export function contradict(id, earlier) {
  if (isNewer(earlier, id)) return true;
  const [[number, digits], [earlierNumber, earlierDigits]] = [id.split("-"), earlier.split("-")];
  return number === earlierNumber && digits !== undefined && earlierDigits !== undefined && digits !== earlierDigits;
}
