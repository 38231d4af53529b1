// A card's menu: what is known of a video, in full, and what is seldom done to it.

const GAP = 6; // px

/**
 * Has `button` open and close it, beside itself: below, or above where there is more room. The browser closes it by
 * Escape or a press elsewhere, and gives the focus back.
 *
 * @param {HTMLButtonElement} button
 * @param {HTMLElement} menu with the attribute `popover`
 * @param {() => void} fill puts into it what it shows
 */
export function opens(button, menu, fill) {
  const put = () => putBeside(button, menu);
  button.popoverTargetElement = menu;
  menu.addEventListener("beforetoggle", ({ newState }) => {
    if (newState !== "open") return;
    fill();
    menu.style.display = "block"; // it has no size before it is shown, and is to be in its place by then
    put();
    menu.style.display = "";
  });
  menu.addEventListener("toggle", ({ newState }) => {
    window[newState === "open" ? "addEventListener" : "removeEventListener"]("resize", put);
  });
}

/**
 * @param {HTMLElement} button
 * @param {HTMLElement} menu
 */
function putBeside(button, menu) {
  const at = button.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = menu;
  const below = at.bottom + GAP + height <= window.innerHeight || at.top < height;
  const left = Math.max(GAP, Math.min(at.right - width, document.documentElement.clientWidth - width - GAP));
  menu.style.left = `${left + window.scrollX}px`;
  menu.style.top = `${(below ? at.bottom + GAP : at.top - GAP - height) + window.scrollY}px`;
}
