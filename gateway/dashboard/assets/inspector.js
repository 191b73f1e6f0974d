/** What is selected (the node, a peer, a stream or a topic): its facts, its live view, and curl lines to copy. */
import { token } from "./api.js";
import { copyText } from "./copy.js";
import { curlLines } from "./curl.js";
import { byId, h, setText } from "./dom.js";
import { TopicView } from "./topic_view.js";
import {
  formatBytes,
  formatCount,
  formatMs,
  formatRate,
  formatSpan,
  formatTime,
  formatType,
} from "./units.js";

/** @typedef {readonly (readonly [string, string])[]} Facts */

const COPIED_MS = 1500;

export class Inspector {
  #store;
  #title = byId("inspector-title", HTMLElement);
  #facts = byId("inspector-facts", HTMLElement);
  #live = byId("inspector-live", HTMLElement);
  #curl = byId("inspector-curl", HTMLElement);
  #back = byId("inspector-back", HTMLButtonElement);
  /** @type {TopicView | undefined} */
  #view;
  #shown = "";

  /** @param {import("./store.js").Store} store */
  constructor(store) {
    this.#store = store;
    this.#back.addEventListener("click", () => {
      store.select({ kind: "node" });
      this.#title.focus();
    });
  }

  update() {
    const { selection } = this.#store;
    const shown = JSON.stringify([selection, token() !== null]);
    if (shown !== this.#shown) {
      this.#shown = shown;
      this.#build();
    }
    const { title, facts } = this.#describe();
    setText(this.#title, title);
    this.#writeFacts(facts);
  }

  restyle() {
    this.#view?.restyle();
  }

  #build() {
    const { selection } = this.#store;
    this.#view?.close();
    this.#view = undefined;
    this.#live.replaceChildren();
    this.#back.hidden = selection.kind === "node";
    if (selection.kind === "topic") {
      this.#view = new TopicView(selection.id, this.#latestOf(selection.id));
      this.#live.append(this.#view.element);
    }
    this.#curl.replaceChildren(...curlLines(selection, location.origin, token() !== null).map(curlItem));
  }

  /** The newest stream of a topic that is still in memory. @param {string} topic */
  #latestOf(topic) {
    const id = this.#store.topics.get(topic)?.lastStream;
    const last = id === undefined ? undefined : this.#store.streams.get(String(id));
    if (last?.available) return last;
    const found = [...this.#store.streams.values()].filter(
      (stream) => stream.topic === topic && stream.available,
    );
    return found.sort((a, b) => Number(b.id) - Number(a.id))[0];
  }

  /** @param {Facts} facts */
  #writeFacts(facts) {
    while (this.#facts.childElementCount > facts.length) this.#facts.lastElementChild?.remove();
    facts.forEach(([name, value], index) => {
      let row = this.#facts.children[index];
      if (!row) {
        row = h("div", {}, h("dt"), h("dd"));
        this.#facts.append(row);
      }
      const [term, text] = row.children;
      if (term) setText(term, name);
      if (text) setText(text, value);
    });
  }

  /** @returns {{ title: string, facts: Facts }} */
  #describe() {
    const { selection } = this.#store;
    switch (selection.kind) {
      case "node":
        return { title: "This node", facts: this.#nodeFacts() };
      case "peer":
        return { title: `Peer ${this.#store.peerName(selection.id)}`, facts: this.#peerFacts(selection.id) };
      case "stream":
        return { title: `Stream ${selection.id}`, facts: this.#streamFacts(selection.id) };
      case "topic":
        return { title: `Topic ${selection.id || "(none)"}`, facts: this.#topicFacts(selection.id) };
    }
  }

  /** @returns {Facts} */
  #nodeFacts() {
    const { node } = this.#store;
    if (!node) return [];
    return [
      ["Id", node.id],
      ["Community", node.community],
      ["Address", node.address],
      ["Runtime", `${node.runtime}, asoc ${node.version}`],
      ["Up for", formatSpan(Date.now() - Date.parse(node.startedAt))],
      ["Refused", `${formatCount(this.#store.refused)} since this page was opened`],
    ];
  }

  /** @param {string} id @returns {Facts} */
  #peerFacts(id) {
    const peer = this.#store.peers.get(id);
    if (!peer) return [["State", "has left"]];
    const rate = this.#store.peerRates.get(id);
    return [
      ["Id", peer.nodeId ?? peer.id],
      ["Address", peer.address],
      ["Runtime", peer.runtime ?? "not known"],
      ["Protocol", peer.protocol],
      ["Since", formatTime(peer.since)],
      ["Round trip", formatMs(peer.roundTripMs)],
      ["Clock differs by", formatMs(peer.clockSkewMs)],
      [
        "In",
        `${formatRate(rate?.in ?? 0)}, ${formatBytes(peer.receivedBytes)} in ${formatCount(peer.receivedStreams)} streams`,
      ],
      [
        "Out",
        `${formatRate(rate?.out ?? 0)}, ${formatBytes(peer.sentBytes)} in ${formatCount(peer.sentStreams)} streams`,
      ],
      ["Live streams", formatCount(peer.liveStreams)],
    ];
  }

  /** @param {string} id @returns {Facts} */
  #streamFacts(id) {
    const stream = this.#store.streams.get(id);
    if (!stream) return [["State", "no longer known"]];
    const way = stream.direction === "in" ? "from" : "to";
    return [
      ["Topic", stream.topic || "–"],
      ["Type", formatType(stream.dtype, stream.shape)],
      ["Peer", `${way} ${this.#store.peerName(stream.peer)}`],
      [
        "State",
        stream.error ? `${stream.state}: ${stream.error.code}, ${stream.error.message}` : stream.state,
      ],
      ["Moved", `${formatBytes(stream.movedBytes)} of ${formatBytes(stream.totalBytes)}`],
      ["Took", `${formatMs(stream.durationMs)} at ${formatRate(stream.bytesPerSecond)}`],
      ["Priority", String(stream.priority)],
      ["Digest", stream.digest ?? "–"],
      ["Cuts survived", String(stream.cuts)],
      ["In memory", stream.available ? "yes" : "no"],
      ["Metadata", stream.metadata == null ? "–" : JSON.stringify(stream.metadata)],
    ];
  }

  /** @param {string} id @returns {Facts} */
  #topicFacts(id) {
    const topic = this.#store.topics.get(id);
    if (!topic) return [];
    return [
      ["Latest", `${formatType(topic.dtype, topic.shape)} at ${formatTime(topic.lastAt)}`],
      ["So far", `${formatCount(topic.count)} tensors, ${formatBytes(topic.bytes)}`],
    ];
  }
}

/** @param {import("./curl.js").CurlLine} line */
function curlItem({ label, command }) {
  const button = h("button", { type: "button", class: "copy", "aria-label": `Copy: ${label}` }, "Copy");
  button.addEventListener("click", async () => {
    setText(button, (await copyText(command)) ? "Copied" : "Select it");
    setTimeout(() => setText(button, "Copy"), COPIED_MS);
  });
  return h("li", {}, h("span", { class: "label" }, label), button, h("code", {}, command));
}
