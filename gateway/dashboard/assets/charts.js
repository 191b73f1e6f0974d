/** Bytes per second and live streams over time, of the node or of the selected peer, drawn by uPlot. */

import { byId, cssColour, h, setText } from "./dom.js";
import { formatRate, formatTime } from "./units.js";
import uPlot from "./vendor/uplot.js";

/** uPlot writes into these: fixed axis width keeps both charts aligned. */
const AXIS_PX = 76;

export class Charts {
  #store;
  #host;
  #range = byId("range", HTMLSelectElement);
  #scope = byId("chart-scope", HTMLElement);
  #figures = {
    in: byId("figure-in", HTMLElement),
    out: byId("figure-out", HTMLElement),
    live: byId("figure-live", HTMLElement),
    at: byId("figure-at", HTMLElement),
  };
  /** @type {{ rates: uPlot, live: uPlot } | undefined} */
  #plots;
  /** @type {HTMLElement[]} */
  #places = [];
  /** Index under the pointer. @type {number | null | undefined} */
  #hovered;
  #drawnAt = 0;
  #drawnScope = "";

  /** @param {import("./store.js").Store} store @param {HTMLElement} host */
  constructor(store, host) {
    this.#store = store;
    this.#host = host;
    this.#range.addEventListener("change", () => this.#redraw());
    new ResizeObserver(() => this.#resize()).observe(host);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.restyle());
  }

  /** After a change of theme: the canvas keeps its old colours otherwise. */
  restyle() {
    this.#plots?.rates.destroy();
    this.#plots?.live.destroy();
    for (const place of this.#places) place.remove();
    this.#plots = undefined;
    this.update();
  }

  update() {
    const { series, selection } = this.#store;
    if (series.at.length === 0) return;
    this.#plots ??= this.#make();
    const last = series.at.at(-1) ?? 0;
    const scope = selection.kind === "peer" && series.peers.has(selection.id) ? selection.id : "";
    if (last !== this.#drawnAt || scope !== this.#drawnScope) {
      this.#drawnAt = last;
      this.#drawnScope = scope;
      setText(this.#scope, scope === "" ? "all peers" : `peer ${this.#store.peerName(scope)}`);
      this.#redraw();
    }
    this.#read();
  }

  #redraw() {
    if (!this.#plots) return;
    const { series } = this.#store;
    const last = series.at.at(-1) ?? 0;
    const seconds = Number(this.#range.value);
    const peer = series.peers.get(this.#drawnScope);
    this.#plots.rates.setData([series.at, (peer ?? series).in, (peer ?? series).out], false);
    this.#plots.live.setData([series.at, series.live], false);
    const x = { min: last - seconds, max: last };
    this.#plots.rates.setScale("x", x);
    this.#plots.live.setScale("x", x);
    this.#host.dataset.points = String(series.at.length);
  }

  /** The figures beside the charts: under the pointer, or the latest. */
  #read() {
    const { series } = this.#store;
    const index = this.#hovered ?? series.at.length - 1;
    const columns = series.peers.get(this.#drawnScope) ?? series;
    setText(this.#figures.in, formatRate(columns.in[index]));
    setText(this.#figures.out, formatRate(columns.out[index]));
    setText(this.#figures.live, series.live[index] ?? "–");
    setText(this.#figures.at, this.#hovered == null ? "now" : formatTime((series.at[index] ?? 0) * 1000));
  }

  #resize() {
    const width = this.#width();
    this.#plots?.rates.setSize({ width, height: 176 });
    this.#plots?.live.setSize({ width, height: 96 });
  }

  #width() {
    return Math.max(220, this.#host.clientWidth);
  }

  #make() {
    const text = cssColour("muted");
    const grid = { stroke: cssColour("grid"), width: 1 };
    const font = "11px system-ui, sans-serif";
    const time = { stroke: text, grid, ticks: grid, font, size: 24, values: "{HH}:{mm}:{ss}", space: 70 };
    const cursor = { sync: { key: "asoc" }, y: false, drag: { x: false, y: false }, points: { size: 5 } };
    const ratesPlace = h("div", { class: "plot" });
    const livePlace = h("div", { class: "plot" });
    this.#places = [ratesPlace, livePlace];
    this.#host.append(ratesPlace, livePlace);
    const line = (/** @type {string} */ label, /** @type {string} */ colour) => ({
      label,
      stroke: cssColour(colour),
      fill: cssColour(`${colour}-fill`),
      width: 1.5,
      points: { show: false },
    });
    /** @type {uPlot.Padding} */
    const padding = [8, 8, 0, 0];
    const shared = { legend: { show: false }, cursor, padding };
    const paths = uPlot.paths.stepped?.({ align: 1 });
    const none = /** @type {number[]} */ ([]);
    const width = this.#width();
    const rates = new uPlot(
      {
        ...shared,
        width,
        height: 176,
        scales: {
          x: { time: true },
          y: { range: (_plot, _min, max) => [0, Math.max(1000, (max ?? 0) * 1.1)] },
        },
        axes: [
          time,
          {
            stroke: text,
            grid,
            ticks: grid,
            font,
            size: AXIS_PX,
            values: (_plot, values) => values.map((value) => formatRate(value)),
          },
        ],
        series: [{}, line("in", "in"), line("out", "out")],
        hooks: {
          setCursor: [
            (plot) => {
              this.#hovered = plot.cursor.idx;
              this.#read();
            },
          ],
        },
      },
      [none, none, none],
      ratesPlace,
    );
    const live = new uPlot(
      {
        ...shared,
        width,
        height: 96,
        scales: {
          x: { time: true },
          y: { range: (_plot, _min, max) => [0, Math.max(4, Math.ceil((max ?? 0) * 1.1))] },
        },
        axes: [
          { ...time },
          {
            stroke: text,
            grid,
            ticks: grid,
            font,
            size: AXIS_PX,
            incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000],
          },
        ],
        series: [{}, { ...line("live streams", "accent"), ...(paths ? { paths } : {}) }],
      },
      [none, none],
      livePlace,
    );
    this.#drawnAt = 0;
    return { rates, live };
  }
}
