/**
 * A heat map of up to 64 × 64 elements on a canvas. Values of both signs are coloured around zero, others from the
 * smallest to the largest; NaN and infinities stand out. Pointer or arrow keys read single elements.
 */
import { cssColour, h, setText } from "./dom.js";
import { formatValue } from "./units.js";

/** Viridis and a blue-white-red scale, as anchor points [r, g, b]. */
const SEQUENTIAL = [
  [68, 1, 84],
  [59, 82, 139],
  [33, 145, 140],
  [94, 201, 98],
  [253, 231, 37],
];
const DIVERGING = [
  [33, 102, 172],
  [146, 197, 222],
  [247, 247, 247],
  [244, 165, 130],
  [178, 24, 43],
];

/** @typedef {{ values: Float64Array, rows: number, columns: number, rowStep: number, columnStep: number }} HeatData */

export class HeatMap {
  #canvas = h("canvas", { class: "heat", tabindex: 0, role: "img", width: 1, height: 1 });
  #reading = h("p", { class: "reading" });
  #scale = h("p", { class: "note" });
  element = h("div", { class: "heat-map" }, this.#canvas, this.#scale, this.#reading);
  /** @type {HeatData | undefined} */
  #data;
  #at = { row: 0, column: 0, shown: false };

  constructor() {
    this.#canvas.addEventListener("pointermove", (event) => {
      if (!this.#data) return;
      const box = this.#canvas.getBoundingClientRect();
      this.#point(
        Math.floor(((event.clientY - box.top) / box.height) * this.#data.rows),
        Math.floor(((event.clientX - box.left) / box.width) * this.#data.columns),
      );
    });
    this.#canvas.addEventListener("pointerleave", () => this.#leave());
    this.#canvas.addEventListener("blur", () => this.#leave());
    this.#canvas.addEventListener("keydown", (event) => {
      const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
      if (!step) return;
      event.preventDefault();
      const [down = 0, right = 0] = this.#at.shown ? step : [0, 0];
      this.#point(this.#at.row + down, this.#at.column + right);
    });
  }

  /** @param {HeatData} data */
  show(data) {
    this.#data = data;
    this.draw();
  }

  /** Also after a change of theme or width. */
  draw() {
    if (!this.#data) return;
    const { values, rows, columns, rowStep, columnStep } = this.#data;
    const finite = values.filter(Number.isFinite);
    const low = finite.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
    const high = finite.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
    const signed = low < 0 && high > 0;
    const bound = Math.max(-low, high);
    const [from, to] = signed ? [-bound, bound] : [low, high];
    const colours = signed ? DIVERGING : SEQUENTIAL;
    const cell = Math.max(2, Math.floor(Math.min(320 / columns, 256 / rows, 24)));
    this.#canvas.width = columns * cell;
    this.#canvas.height = rows * cell;
    const context = this.#canvas.getContext("2d");
    if (!context) return;
    const odd = cssColour("odd");
    values.forEach((value, index) => {
      const [x, y] = [(index % columns) * cell, Math.floor(index / columns) * cell];
      const share = to > from ? (value - from) / (to - from) : 0.5;
      context.fillStyle = Number.isFinite(value) ? colour(colours, share) : odd;
      context.fillRect(x, y, cell, cell);
    });
    if (this.#at.shown) {
      context.strokeStyle = cssColour("text");
      context.lineWidth = 2;
      context.strokeRect(this.#at.column * cell, this.#at.row * cell, cell, cell);
    }
    const every =
      rowStep * columnStep > 1 ? `, every ${ordinal(rowStep)}row and ${ordinal(columnStep)}column` : "";
    const range = finite.length > 0 ? `${formatValue(from)} to ${formatValue(to)}` : "no finite element";
    const text = `${rows} × ${columns} elements${every}; ${signed ? "blue to red" : "dark to bright"}: ${range}`;
    setText(this.#scale, text);
    this.#canvas.setAttribute("aria-label", `Heat map. ${text}. Arrow keys read elements.`);
    this.#canvas.dataset.drawn = String(values.length);
    this.#read();
  }

  /** @param {number} row @param {number} column */
  #point(row, column) {
    if (!this.#data) return;
    const clamp = (/** @type {number} */ n, /** @type {number} */ length) =>
      Math.min(Math.max(0, n), length - 1);
    this.#at = { row: clamp(row, this.#data.rows), column: clamp(column, this.#data.columns), shown: true };
    this.draw();
  }

  #leave() {
    this.#at.shown = false;
    this.draw();
  }

  #read() {
    if (!this.#data || !this.#at.shown) return setText(this.#reading, "\u00a0");
    const { values, columns, rowStep, columnStep } = this.#data;
    const value = values[this.#at.row * columns + this.#at.column];
    const where = `[${this.#at.row * rowStep}, ${this.#at.column * columnStep}]`;
    setText(this.#reading, value === undefined ? where : `${where} = ${formatValue(value)}`);
  }
}

/** "", "2nd ", "3rd ", "4th " and so on. @param {number} n */
function ordinal(n) {
  if (n === 1) return "";
  const last = n % 100 >= 11 && n % 100 <= 13 ? 0 : n % 10;
  return `${n}${["th", "st", "nd", "rd"][last] ?? "th"} `;
}

/** @param {number[][]} anchors @param {number} share  0 to 1 */
function colour(anchors, share) {
  const place = Math.min(Math.max(0, share), 1) * (anchors.length - 1);
  const index = Math.min(Math.floor(place), anchors.length - 2);
  const mix = (/** @type {number} */ channel) => {
    const [a = 0, b = 0] = [anchors[index]?.[channel], anchors[index + 1]?.[channel]];
    return Math.round(a + (b - a) * (place - index));
  };
  return `rgb(${mix(0)} ${mix(1)} ${mix(2)})`;
}
