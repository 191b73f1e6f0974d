/**
 * Live statistics of one topic: figures, histogram and heat map of its latest tensor. Owns an event stream while it
 * is shown; at most one slice a second is fetched, and none that the gateway no longer has.
 */
import { ApiError, getJson } from "./api.js";
import { h, setText } from "./dom.js";
import { Feed } from "./feed.js";
import { HeatMap } from "./heat_map.js";
import { HistogramView } from "./histogram.js";
import { clampIndex, flatten, planSlice } from "./slice.js";
import { formatCount, formatTime, formatType, formatValue } from "./units.js";

/** @import { Stats, Stream, TensorEvent, TensorJson } from "../types.d.ts" */

const SLICE_EVERY_MS = 1000;
/** A tensor of thousands of axes is possible; so many fields are not. */
const INDEX_FIELDS = 6;

/** @type {readonly [string, (stats: Stats) => string][]} */
const FIGURES = [
  ["min", (stats) => formatValue(stats.min)],
  ["max", (stats) => formatValue(stats.max)],
  ["mean", (stats) => formatValue(stats.mean)],
  ["std", (stats) => formatValue(stats.std)],
  ["NaN", (stats) => formatCount(stats.nan)],
  ["Inf", (stats) => formatCount(stats.inf)],
  ["zeros", (stats) => formatCount(stats.zeros)],
  ["L1 norm", (stats) => formatValue(stats.l1)],
  ["L2 norm", (stats) => formatValue(stats.l2)],
  ["max |x|", (stats) => formatValue(stats.maxAbs)],
];

export class TopicView {
  #feed;
  #figures = FIGURES.map(() => h("dd", {}, "–"));
  #said = h("p", { class: "note" }, "Waiting for the next tensor of this topic.");
  #histogram = new HistogramView();
  #heat = new HeatMap();
  #heatSaid = h("p", { class: "note" });
  #indices = h("div", { class: "indices" });
  /** @type {Stream | undefined} */
  #latest;
  #seen = 0;
  #fetchedAtMs = 0;
  #fetching = new AbortController();
  #busy = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #closed = false;
  element;

  /** @param {string} topic @param {Stream | undefined} latest  its newest stream, if known */
  constructor(topic, latest) {
    const list = h("dl", { class: "stats" });
    FIGURES.forEach(([name], index) => {
      list.append(h("div", {}, h("dt", {}, name), this.#figures[index]));
    });
    this.element = h(
      "div",
      { class: "topic-view" },
      h("h3", {}, "Statistics"),
      this.#said,
      list,
      h("div", {}, h("h3", {}, "Histogram"), this.#histogram.element),
      h("div", {}, h("h3", {}, "Latest tensor"), this.#indices, this.#heatSaid, this.#heat.element),
    );
    this.#histogram.show(undefined);
    this.#feed = new Feed(`/v1/topics/${encodeURIComponent(topic)}/events?stats=1&last=1`, {
      on: { tensor: (data) => this.#tensor(/** @type {TensorEvent} */ (data)) },
      broken: (problem) => {
        if (problem) setText(this.#said, `No live statistics: ${problem.message}`);
      },
    });
    if (latest) this.#show(latest);
  }

  close() {
    this.#closed = true;
    this.#feed.close();
    this.#fetching.abort();
    clearTimeout(this.#timer);
  }

  restyle() {
    this.#heat.draw();
  }

  /** @param {TensorEvent} event */
  #tensor({ stream, stats, last }) {
    if (!last) this.#seen++;
    if (stats) {
      FIGURES.forEach(([, text], index) => {
        const cell = this.#figures[index];
        if (cell) setText(cell, text(stats));
      });
      this.#histogram.show(stats.histogram);
      const sampled = stats.sampled < stats.count ? `, ${formatCount(stats.sampled)} of them sampled` : "";
      setText(
        this.#said,
        `${formatType(stream.dtype, stream.shape)}, ${formatCount(stats.count)} elements${sampled}, at ${formatTime(stream.endedAt ?? stream.startedAt)}; ${formatCount(this.#seen)} seen here`,
      );
      this.element.dataset.seen = String(this.#seen);
    }
    this.#show(stream);
  }

  /** @param {Stream} stream */
  #show(stream) {
    this.#latest = stream;
    this.#schedule();
  }

  #schedule() {
    if (this.#closed || this.#busy || this.#timer !== undefined) return;
    const waitMs = Math.max(0, this.#fetchedAtMs + SLICE_EVERY_MS - Date.now());
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      void this.#fetch();
    }, waitMs);
  }

  async #fetch() {
    const stream = this.#latest;
    if (!stream || stream.dtype === null)
      return setText(this.#heatSaid, "Bytes without a type have no picture.");
    if (document.hidden) return;
    this.#drawIndices(stream.shape);
    const plan = planSlice(stream.shape, this.#chosen());
    if (!plan) return setText(this.#heatSaid, "This tensor has no elements.");
    this.#busy = true;
    this.#fetchedAtMs = Date.now();
    try {
      const query = plan.slice === "" ? "" : `?slice=${encodeURIComponent(plan.slice)}`;
      const path = `/v1/streams/${encodeURIComponent(String(stream.id))}/data.json${query}`;
      /** @type {TensorJson} */
      const tensor = await getJson(path, this.#fetching.signal);
      this.#heat.show({ ...plan, values: flatten(tensor.data, stream.dtype.startsWith("complex")) });
      setText(this.#heatSaid, "");
    } catch (error) {
      if (!this.#closed)
        setText(
          this.#heatSaid,
          `No picture: ${error instanceof ApiError ? error.message : "the node does not answer"}`,
        );
    } finally {
      this.#busy = false;
      this.#heatSaid.hidden = this.#heatSaid.textContent === "";
      if (this.#latest !== stream) this.#schedule();
    }
  }

  /** A field for each axis before the last two. @param {readonly number[]} shape */
  #drawIndices(shape) {
    const leading = shape.slice(0, -2).slice(0, INDEX_FIELDS);
    if (this.#indices.childElementCount !== leading.length) {
      this.#indices.replaceChildren(
        ...leading.map((_, axis) => {
          const field = h("input", { type: "number", min: 0, value: 0, inputmode: "numeric" });
          field.addEventListener("input", () => this.#schedule());
          return h("label", {}, `axis ${axis} `, field);
        }),
      );
    }
    leading.forEach((length, axis) => {
      this.#fields()[axis]?.setAttribute("max", String(length - 1));
    });
  }

  #fields() {
    return [...this.#indices.querySelectorAll("input")];
  }

  #chosen() {
    return this.#fields().map((field) => clampIndex(Number(field.value), Number(field.max) + 1));
  }
}
