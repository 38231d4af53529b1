// Files that are dragged over the page. Dropped anywhere, they are handed over, where the browser would leave the page
// for them.

/**
 * @param {object} how
 * @param {(over: boolean) => void} how.show that files are over the page, or are no more
 * @param {(event: DragEvent) => void} how.take what was dropped
 * @param {AbortSignal} how.signal
 */
export function takeDrops({ show, take, signal }) {
  document.addEventListener("dragover", (event) => {
    if (!bringsFiles(event)) return;
    event.preventDefault(); // which says that they may be dropped
    show(true);
  }, { signal });
  document.addEventListener("dragleave", ({ relatedTarget }) => {
    if (relatedTarget === null) show(false); // they left the window
  }, { signal });
  document.addEventListener("drop", (event) => {
    if (!bringsFiles(event)) return;
    event.preventDefault();
    show(false);
    take(event);
  }, { signal });
}

/** @param {DragEvent} event */
const bringsFiles = ({ dataTransfer }) => dataTransfer?.types.includes("Files") ?? false;
