/** How the elements of a tensor are spread: bars in SVG, their meaning in its label. */
import { setAttributes, svg } from "./dom.js";
import { formatCount, formatValue } from "./units.js";

const WIDTH = 320;
const HEIGHT = 84;

export class HistogramView {
  #bars = svg("g", { class: "bars" });
  #from = svg("text", { x: 0, y: HEIGHT + 13 });
  #most = svg("text", { x: WIDTH / 2, y: HEIGHT + 13, "text-anchor": "middle" });
  #to = svg("text", { x: WIDTH, y: HEIGHT + 13, "text-anchor": "end" });
  element = svg(
    "svg",
    { class: "histogram", role: "img", viewBox: `0 0 ${WIDTH} ${HEIGHT + 17}` },
    this.#bars,
    this.#from,
    this.#most,
    this.#to,
  );

  /** @param {import("../types.d.ts").Histogram | null | undefined} histogram */
  show(histogram) {
    const counts = histogram?.counts ?? [];
    const most = Math.max(1, ...counts);
    while (this.#bars.childElementCount < counts.length) this.#bars.append(svg("rect"));
    while (this.#bars.childElementCount > counts.length) this.#bars.lastElementChild?.remove();
    const width = WIDTH / Math.max(1, counts.length);
    counts.forEach((count, index) => {
      const bar = this.#bars.children[index];
      const height = count === 0 ? 0 : Math.max(1, (count / most) * HEIGHT);
      if (bar)
        setAttributes(bar, {
          x: (index * width + 0.5).toFixed(2),
          y: (HEIGHT - height).toFixed(2),
          width: Math.max(1, width - 1).toFixed(2),
          height: height.toFixed(2),
        });
    });
    this.#from.textContent = formatValue(histogram?.from);
    this.#to.textContent = formatValue(histogram?.to);
    this.#most.textContent = counts.length > 0 ? `at most ${formatCount(most)} in a bar` : "";
    const label = histogram
      ? `Histogram of ${counts.length} bars from ${formatValue(histogram.from)} to ${formatValue(histogram.to)}, at most ${most} elements in one`
      : "No histogram yet";
    setAttributes(this.element, { "aria-label": label });
  }
}
