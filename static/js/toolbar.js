// A row of buttons that is one stop for the Tab key: the arrows go from one to the next.

/**
 * Makes it so; call `refresh` whenever other buttons are hidden or shown.
 *
 * @param {HTMLElement} row
 */
export function toolbar(row) {
  const shown = () => /** @type {HTMLElement[]} */ ([...row.querySelectorAll(":is(a, button):not([hidden])")]);

  /** @param {HTMLElement | undefined} current */
  const refresh = (current = shown().find((one) => one.tabIndex === 0)) => {
    const all = shown();
    const stop = current && all.includes(current) ? current : all[0];
    for (const one of all) one.tabIndex = one === stop ? 0 : -1;
  };

  row.addEventListener("focusin", ({ target }) => refresh(/** @type {HTMLElement} */ (target)));
  row.addEventListener("keydown", (event) => {
    const all = shown();
    const at = all.indexOf(/** @type {HTMLElement} */ (event.target));
    const forward = getComputedStyle(row).direction === "rtl" ? -1 : 1;
    /** @type {Record<string, number>} */
    const to = { ArrowRight: at + forward, ArrowLeft: at - forward, Home: 0, End: all.length - 1 };
    const next = at >= 0 && event.key in to ? all.at(to[event.key] % all.length) : undefined;
    if (!next) return;
    event.preventDefault();
    next.focus();
  });
  return { refresh: () => refresh() };
}
