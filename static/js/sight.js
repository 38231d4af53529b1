// What somebody who looks at this tab sees.

// Of what is larger than that, as much as the window has of it.
const ENOUGH = 0.5;

/**
 * Whether at least half of it, of its width and of its height, is in the window and in whatever scrolls it, and the tab
 * is not hidden.
 *
 * @param {Element | undefined} element
 */
export function isInSight(element) {
  if (!element?.isConnected || document.hidden) return false;
  const { innerWidth, innerHeight } = window;
  const { top, right, bottom, left, width, height } = element.getBoundingClientRect();
  const edges = [new DOMRect(0, 0, innerWidth, innerHeight), ...scrollersOf(element).map((box) => box.getBoundingClientRect())];
  const seenWide = Math.min(right, ...edges.map((edge) => edge.right)) - Math.max(left, ...edges.map((edge) => edge.left));
  const seenHigh = Math.min(bottom, ...edges.map((edge) => edge.bottom)) - Math.max(top, ...edges.map((edge) => edge.top));
  return height > 0
    && seenHigh >= ENOUGH * Math.min(height, innerHeight)
    && seenWide >= ENOUGH * Math.min(width, innerWidth);
}

/** @param {Element} element */
function scrollersOf(element) {
  const found = [];
  for (let box = element.parentElement; box !== null && box !== document.body; box = box.parentElement) {
    if (getComputedStyle(box).overflowX !== "visible") found.push(box);
  }
  return found;
}
