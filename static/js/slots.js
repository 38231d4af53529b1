/** The parts of an element's light DOM by name: `slots(this).grid` is its first `[data-slot=grid]`. */
export function slots(root) {
  return Object.fromEntries([...root.querySelectorAll("[data-slot]")].map((node) => [node.dataset.slot, node]));
}
