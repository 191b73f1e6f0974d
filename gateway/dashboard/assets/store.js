/**
 * What the page knows of the node: a snapshot by REST, kept current by events. Views read its fields and are told,
 * once for many changes, through `changed`. Knows no DOM. Everything in it is bounded.
 */
import { Series } from "./series.js";
import { shortId } from "./units.js";

/** @import { Hello, History, LogEntry, NodeInfo, Peer, Rates, Selection, Stream, Topic } from "../types.d.ts" */

const KEPT_STREAMS = 1100;
const KEPT_LOG = 200;

export class Store extends EventTarget {
  /** @type {NodeInfo | undefined} */
  node;
  /** @type {Map<string, Peer>} */
  peers = new Map();
  /** By id; live ones and those that ended lately. @type {Map<string, Stream>} */
  streams = new Map();
  /** @type {Map<string, Topic>} */
  topics = new Map();
  series = new Series();
  /** @type {Rates | undefined} */
  rates;
  /** @type {Map<string, { in: number, out: number }>} */
  peerRates = new Map();
  /** Newest first. @type {LogEntry[]} */
  log = [];
  refused = 0;
  dropped = 0;
  /** Topics changed since they were fetched. */
  topicsStale = false;
  /** @type {Selection} */
  selection = { kind: "node" };
  /** When the gateway last said anything; Unix milliseconds of this machine. */
  heardAtMs = 0;
  connected = false;
  /** @type {string | undefined} */
  #boot;

  changed() {
    this.dispatchEvent(new Event("changed"));
  }

  /** @param {Selection} selection */
  select(selection) {
    this.selection = selection;
    this.dispatchEvent(new Event("selected"));
    this.changed();
  }

  heard() {
    this.heardAtMs = Date.now();
    this.connected = true;
  }

  /**
   * @param {{ node: NodeInfo, history: History, peers: Peer[], streams: Stream[], topics: Topic[] }} snapshot
   */
  load({ node, history, peers, streams, topics }) {
    this.node = node;
    this.peers = new Map(peers.map((peer) => [peer.id, peer]));
    for (const stream of streams) this.#put(stream);
    this.loadTopics(topics);
    this.series.load(history);
    this.heard();
    this.changed();
  }

  /** @param {Topic[]} topics */
  loadTopics(topics) {
    this.topics = new Map(topics.map((topic) => [topic.topic, topic]));
    this.topicsStale = false;
  }

  /**
   * The first words of an event stream.
   *
   * @param {Hello} hello
   * @returns {boolean} whether the snapshot has to be fetched again: not for the first words since the page opened
   */
  hello({ nodeId, startedAt }) {
    const boot = `${nodeId} ${startedAt}`;
    const first = this.#boot === undefined;
    const restarted = !first && this.#boot !== boot;
    this.#boot = boot;
    if (restarted) {
      // Ids of streams and peers began anew.
      this.streams.clear();
      this.peers.clear();
      this.topics.clear();
      this.peerRates.clear();
      this.note("node", "was started again");
      if (this.selection.kind === "stream" || this.selection.kind === "peer") this.select({ kind: "node" });
    }
    this.changed();
    return !first;
  }

  /** @param {{ kind: string, peer: Peer, reason?: string, was?: string }} event */
  peerEvent({ kind, peer, reason, was }) {
    if (was !== undefined) this.peers.delete(was);
    if (kind === "left") this.peers.delete(peer.id);
    else this.peers.set(peer.id, peer);
    this.note(`peer ${kind}`, [this.peerName(peer.id), peer.address, reason].filter(Boolean).join(" "));
    this.changed();
  }

  /** @param {{ kind: string, stream: Stream }} event */
  streamEvent({ stream }) {
    this.#put(stream);
    if (stream.state !== "live") this.topicsStale = true;
    if (stream.state === "failed")
      this.note("stream failed", `${stream.id} ${stream.topic} ${stream.error?.code ?? ""}`);
    this.changed();
  }

  /** @param {{ address?: string, code?: string, reason?: string }} event */
  refusedEvent({ address, code, reason }) {
    this.refused++;
    this.note("refused", [address, code, reason].filter(Boolean).join(", "));
    this.changed();
  }

  /** @param {Rates} rates */
  ratesEvent(rates) {
    this.rates = rates;
    this.peerRates = new Map(
      rates.peers.map((peer) => [peer.id, { in: peer.inBytesPerSecond, out: peer.outBytesPerSecond }]),
    );
    this.series.add(rates);
    this.changed();
  }

  /** Ids of the streams that are live as far as is known here. */
  liveIds() {
    return [...this.streams.values()].filter(({ state }) => state === "live").map(({ id }) => String(id));
  }

  /**
   * The live streams as the gateway has them now.
   *
   * @param {readonly Stream[]} streams
   * @param {boolean} complete  they are all
   * @param {readonly string[]} known  what was live here before it was asked: the end of such a one may have been dropped
   */
  putLive(streams, complete, known) {
    for (const stream of streams) this.#put(stream);
    const live = new Set(streams.map(({ id }) => String(id)));
    for (const id of complete ? known : []) {
      if (!live.has(id) && this.streams.get(id)?.state === "live") this.streams.delete(id);
    }
    this.changed();
  }

  /** @param {string} what @param {string} detail */
  note(what, detail) {
    this.log.unshift({ atMs: Date.now(), what, detail });
    this.log.length = Math.min(this.log.length, KEPT_LOG);
  }

  /** @param {string} id */
  peerName(id) {
    const peer = this.peers.get(id);
    return peer?.name || shortId(peer?.nodeId ?? id);
  }

  /** @param {Stream} stream */
  #put(stream) {
    const id = String(stream.id);
    const known = this.streams.get(id);
    if (known && known.state !== "live" && stream.state === "live") return; // an answer older than the event
    this.streams.set(id, stream);
    if (this.streams.size <= KEPT_STREAMS) return;
    for (const [oldest, each] of this.streams) {
      if (each.state === "live") continue;
      this.streams.delete(oldest);
      if (this.streams.size <= KEPT_STREAMS) break;
    }
  }
}
