/**
 * A table whose rows can be chosen: rows are kept by key, cells are only written when they differ, and one row at a
 * time is in the tab order (arrows, Home and End move, Enter or Space chooses).
 */
import { h, setAttributes, setText } from "./dom.js";

/**
 * @template T
 * @typedef {object} Column
 * @property {string} title
 * @property {string} [kind]  class of its cells; "number" is right-aligned
 * @property {(row: T) => string | number} text
 * @property {(cell: HTMLTableCellElement, row: T) => void} [draw]  instead of text
 */

/** @template T */
export class Grid {
  #body = h("tbody");
  #columns;
  #key;
  #choose;
  /** @type {Map<string, HTMLTableRowElement>} */
  #rows = new Map();
  #current = "";
  #empty;

  /**
   * @param {HTMLElement} host
   * @param {object} options
   * @param {string} options.label
   * @param {string} options.empty  said when there are no rows
   * @param {readonly Column<T>[]} options.columns
   * @param {(row: T) => string} options.key
   * @param {((key: string) => void) | undefined} options.choose
   */
  constructor(host, { label, empty, columns, key, choose }) {
    this.#columns = columns;
    this.#key = key;
    this.#choose = choose;
    this.#empty = h("p", { class: "note" }, empty);
    const head = h("tr");
    for (const column of columns) head.append(h("th", { scope: "col", class: column.kind }, column.title));
    host.append(
      h(
        "table",
        { role: choose ? "grid" : undefined, "aria-label": label },
        h("thead", {}, head),
        this.#body,
      ),
      this.#empty,
    );
    if (!choose) {
      // Nothing in it takes the focus, so that the keyboard could not scroll it.
      setAttributes(host, { role: "region", "aria-label": label, tabindex: 0 });
      return;
    }
    this.#body.addEventListener("click", (event) => this.#pick(rowOf(event.target)));
    this.#body.addEventListener("keydown", (event) => this.#keydown(event));
    this.#body.addEventListener("focusin", (event) => {
      const row = rowOf(event.target);
      if (row) this.#moveTo(row);
    });
  }

  /** @param {readonly T[]} data  in the order of the rows @param {string | undefined} chosen  key of the chosen row */
  update(data, chosen) {
    const keys = new Set();
    /** @type {ChildNode | null} */
    let place = this.#body.firstChild;
    for (const each of data) {
      const key = this.#key(each);
      keys.add(key);
      let row = this.#rows.get(key);
      if (!row) {
        row = this.#make(key);
        this.#rows.set(key, row);
      }
      this.#fill(row, each);
      if (this.#choose) setAttributes(row, { "aria-selected": String(key === chosen) });
      if (row === place) place = row.nextSibling;
      else if (row.parentNode !== this.#body || document.activeElement !== row)
        this.#body.insertBefore(row, place);
      else {
        // Moving the row would take its focus away: move what is before it instead.
        while (place && place !== row) {
          const next = place.nextSibling;
          this.#body.append(place);
          place = next;
        }
        place = row.nextSibling;
      }
    }
    for (const [key, row] of this.#rows) {
      if (keys.has(key)) continue;
      row.remove();
      this.#rows.delete(key);
    }
    if (this.#choose && !this.#rows.has(this.#current)) {
      const first = /** @type {HTMLTableRowElement | null} */ (this.#body.firstElementChild);
      if (first) this.#moveTo(first);
    }
    this.#empty.hidden = data.length > 0;
  }

  /** @param {string} key */
  #make(key) {
    const row = h("tr", this.#choose ? { "data-key": key, tabindex: -1 } : { "data-key": key });
    for (const column of this.#columns) row.append(h("td", { class: column.kind }));
    return row;
  }

  /** @param {HTMLTableRowElement} row @param {T} data */
  #fill(row, data) {
    this.#columns.forEach((column, index) => {
      const cell = row.cells[index];
      if (!cell) return;
      if (column.draw) column.draw(cell, data);
      else setText(cell, column.text(data));
    });
  }

  /** @param {HTMLTableRowElement} row */
  #moveTo(row) {
    const before = this.#rows.get(this.#current);
    if (before && before !== row) before.tabIndex = -1;
    row.tabIndex = 0;
    this.#current = row.dataset.key ?? "";
  }

  /** @param {HTMLTableRowElement | undefined} row */
  #pick(row) {
    if (row?.dataset.key !== undefined) this.#choose?.(row.dataset.key);
  }

  /** @param {KeyboardEvent} event */
  #keydown(event) {
    const row = rowOf(event.target);
    if (!row) return;
    const to = {
      ArrowDown: row.nextElementSibling,
      ArrowUp: row.previousElementSibling,
      Home: this.#body.firstElementChild,
      End: this.#body.lastElementChild,
    }[event.key];
    if (to instanceof HTMLTableRowElement) to.focus();
    else if (event.key === "Enter" || event.key === " ") this.#pick(row);
    else return;
    event.preventDefault();
  }
}

/** @param {EventTarget | null} target */
function rowOf(target) {
  const row = target instanceof Element ? target.closest("tr") : null;
  return row ?? undefined;
}
