/** Tabs as the ARIA practices have them: one in the tab order, arrows, Home and End move and choose. */

/** @param {HTMLElement} list @param {() => void} changed */
export function wireTabs(list, changed) {
  const tabs = [...list.querySelectorAll("button")];
  /** @param {HTMLButtonElement} chosen */
  const choose = (chosen) => {
    for (const tab of tabs) {
      const is = tab === chosen;
      tab.setAttribute("aria-selected", String(is));
      tab.tabIndex = is ? 0 : -1;
      const panel = document.getElementById(tab.getAttribute("aria-controls") ?? "");
      if (panel) panel.hidden = !is;
    }
    changed();
  };
  for (const [index, tab] of tabs.entries()) {
    tab.addEventListener("click", () => choose(tab));
    tab.addEventListener("keydown", (event) => {
      const to = { ArrowRight: index + 1, ArrowLeft: index - 1, Home: 0, End: tabs.length - 1 }[event.key];
      if (to === undefined) return;
      const next = tabs[(to + tabs.length) % tabs.length];
      if (!next) return;
      event.preventDefault();
      choose(next);
      next.focus();
    });
  }
}
