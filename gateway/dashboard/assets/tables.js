/** The tables: streams with progress, topics, peers, and what happened. */
import { byId, h, setAttributes, setText } from "./dom.js";
import { Grid } from "./grid.js";
import { matcher } from "./match.js";
import { formatBytes, formatCount, formatMs, formatRate, formatTime, formatType } from "./units.js";

/** @import { LogEntry, Peer, Stream, Topic } from "../types.d.ts" */

/** More rows than this are no help to a reader; the filter finds the others. */
const ROWS = 100;

export class Tables {
  #store;
  #filter = byId("stream-filter", HTMLInputElement);
  #state = byId("stream-state", HTMLSelectElement);
  #direction = byId("stream-direction", HTMLSelectElement);
  #count = byId("stream-count", HTMLElement);
  #streams;
  #topics;
  #peers;
  #log;

  /** @param {import("./store.js").Store} store */
  constructor(store) {
    this.#store = store;
    const name = (/** @type {string} */ id) => store.peerName(id);
    this.#streams = new Grid(byId("streams-table", HTMLElement), {
      label: "Streams",
      empty: "No stream yet, or none that fits the filter.",
      key: (/** @type {Stream} */ stream) => String(stream.id),
      choose: (id) => store.select({ kind: "stream", id }),
      columns: [
        { title: "Started", text: (stream) => formatTime(stream.startedAt) },
        { title: "Way", text: (stream) => (stream.direction === "in" ? "← in" : "→ out"), kind: "way" },
        { title: "Peer", text: (stream) => name(stream.peer) },
        { title: "Topic", text: (stream) => stream.topic || "–", kind: "long" },
        { title: "Type", text: (stream) => formatType(stream.dtype, stream.shape) },
        {
          title: "Size",
          text: (stream) => formatBytes(stream.totalBytes ?? stream.movedBytes),
          kind: "number",
        },
        { title: "Rate", text: (stream) => formatRate(stream.bytesPerSecond), kind: "number" },
        { title: "Progress", text: () => "", draw: drawProgress, kind: "progress" },
      ],
    });
    this.#topics = new Grid(byId("topics-table", HTMLElement), {
      label: "Topics",
      empty: "No tensor has passed yet.",
      key: (/** @type {Topic} */ topic) => topic.topic,
      choose: (id) => store.select({ kind: "topic", id }),
      columns: [
        { title: "Topic", text: (topic) => topic.topic || "(none)", kind: "long" },
        { title: "Tensors", text: (topic) => formatCount(topic.count), kind: "number" },
        { title: "Bytes", text: (topic) => formatBytes(topic.bytes), kind: "number" },
        { title: "Latest", text: (topic) => formatTime(topic.lastAt) },
        { title: "Type", text: (topic) => formatType(topic.dtype, topic.shape) },
        { title: "In memory", text: (topic) => (topic.available ? "yes" : "no") },
      ],
    });
    this.#peers = new Grid(byId("peers-table", HTMLElement), {
      label: "Peers",
      empty: "Nobody is connected yet.",
      key: (/** @type {Peer} */ peer) => peer.id,
      choose: (id) => store.select({ kind: "peer", id }),
      columns: [
        { title: "Peer", text: (peer) => name(peer.id) },
        { title: "Address", text: (peer) => peer.address },
        { title: "Runtime", text: (peer) => peer.runtime ?? "–" },
        { title: "Protocol", text: (peer) => peer.protocol },
        { title: "Round trip", text: (peer) => formatMs(peer.roundTripMs), kind: "number" },
        { title: "In", text: (peer) => formatRate(store.peerRates.get(peer.id)?.in ?? 0), kind: "number" },
        { title: "Out", text: (peer) => formatRate(store.peerRates.get(peer.id)?.out ?? 0), kind: "number" },
        { title: "Received", text: (peer) => formatBytes(peer.receivedBytes), kind: "number" },
        { title: "Sent", text: (peer) => formatBytes(peer.sentBytes), kind: "number" },
        { title: "Since", text: (peer) => formatTime(peer.since) },
      ],
    });
    this.#log = new Grid(byId("log-table", HTMLElement), {
      label: "What happened since this page was opened",
      empty: "Nothing has happened since this page was opened.",
      key: (/** @type {LogEntry} */ entry) => `${entry.atMs} ${entry.what} ${entry.detail}`,
      choose: undefined,
      columns: [
        { title: "At", text: (entry) => formatTime(entry.atMs) },
        { title: "What", text: (entry) => entry.what },
        { title: "Details", text: (entry) => entry.detail, kind: "long" },
      ],
    });
    for (const control of [this.#filter, this.#state, this.#direction])
      control.addEventListener("input", () => this.update());
  }

  update() {
    const { selection } = this.#store;
    const chosen = (/** @type {string} */ kind) =>
      selection.kind === kind && "id" in selection ? selection.id : undefined;
    if (shown("panel-streams")) this.#updateStreams(chosen("stream"));
    if (shown("panel-topics")) {
      const topics = [...this.#store.topics.values()].sort((a, b) => (a.topic < b.topic ? -1 : 1));
      this.#topics.update(topics.slice(0, ROWS), chosen("topic"));
    }
    if (shown("panel-peers"))
      this.#peers.update([...this.#store.peers.values()].slice(0, ROWS), chosen("peer"));
    if (shown("panel-log")) this.#log.update(this.#store.log, undefined);
    setText(byId("tab-count-streams", HTMLElement), formatCount(this.#store.rates?.liveStreams ?? 0));
    setText(byId("tab-count-topics", HTMLElement), formatCount(this.#store.topics.size));
    setText(byId("tab-count-peers", HTMLElement), formatCount(this.#store.peers.size));
  }

  /** @param {string | undefined} chosen */
  #updateStreams(chosen) {
    const fits = matcher(this.#filter.value);
    const state = this.#state.value;
    const direction = this.#direction.value;
    const found = [...this.#store.streams.values()].filter(
      (stream) =>
        (state === "" || stream.state === state) &&
        (direction === "" || stream.direction === direction) &&
        (fits(stream.topic) || fits(stream.peer) || fits(this.#store.peerName(stream.peer))),
    );
    found.sort((a, b) => byNewest(a, b));
    this.#streams.update(found.slice(0, ROWS), chosen);
    setText(
      this.#count,
      found.length > ROWS ? `newest ${ROWS} of ${formatCount(found.length)}` : `${found.length} streams`,
    );
  }
}

/** Live ones first, then the newest. @param {Stream} a @param {Stream} b */
function byNewest(a, b) {
  if ((a.state === "live") !== (b.state === "live")) return a.state === "live" ? -1 : 1;
  return Number(b.id) - Number(a.id);
}

/** @param {string} id */
const shown = (id) => !byId(id, HTMLElement).hidden;

/** @param {HTMLTableCellElement} cell @param {Stream} stream */
function drawProgress(cell, stream) {
  if (stream.state !== "live") {
    const text = stream.state === "done" ? "done" : `failed: ${stream.error?.code ?? "unknown"}`;
    setAttributes(cell, { class: `progress ${stream.state}` });
    setText(cell, text);
    return;
  }
  const total = stream.totalBytes ?? 0;
  const percent = total > 0 ? Math.min(100, Math.floor((stream.movedBytes / total) * 100)) : 0;
  let bar = cell.querySelector("progress");
  if (!bar) {
    bar = h("progress", { max: 100, "aria-label": `Progress of stream ${stream.id}` });
    cell.replaceChildren(bar, h("span"));
    setAttributes(cell, { class: "progress live" });
  }
  if (total > 0) bar.value = percent;
  else bar.removeAttribute("value");
  if (cell.lastElementChild)
    setText(cell.lastElementChild, total > 0 ? `${percent} %` : formatBytes(stream.movedBytes));
}
