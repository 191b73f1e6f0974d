/**
 * Watches a node's streams and remembers: those that live, the last ones that ended, what each topic had last, and the
 * bytes of recent ones. It does little for each call, since it is called on the data path: whoever wants to know more is
 * told afterwards (`onStarted`, `onEnded`).
 */
import type { GatewayLimits } from "../limits.ts";
import { Entry } from "./entry.ts";
import { PeerCounters } from "./peer_counters.ts";
import { type Capture, RecentTensors } from "./recent.ts";
import type { TrafficObserver, TrafficStream } from "./traffic.ts";

/** What a topic had. */
export interface TopicRecord {
  readonly topic: string;
  count: number;
  bytes: number;
  lastAtMs: number;
  /** The last one that came, or went, whole. */
  last: Entry;
}

export interface RecorderListener {
  /** Called on the data path. */
  onStarted(entry: Entry): void;
  onEnded(entry: Entry): void;
}

export class TrafficRecorder implements TrafficObserver {
  readonly #limits: GatewayLimits;
  readonly #listener: RecorderListener;
  readonly #now: () => number;
  /** Live ones, and the last ended ones, by id: in order of their start. */
  readonly #entries = new Map<number, Entry>();
  /** Ids of ended ones, the oldest first. */
  readonly #ended: number[] = [];
  /** Streams that are not listed any more, and since when. */
  readonly #gone = new Map<number, number>();
  readonly #topics = new Map<string, TopicRecord>();
  /** Sends to several peers have the same bytes: they are taken once. */
  readonly #byTransfer = new Map<string, Capture>();
  readonly recent: RecentTensors;
  readonly peers: PeerCounters;
  #doneNumber = 0;
  #live = 0;
  /** Since the start; `failed` are among the others. */
  readonly counts = { startedIn: 0, startedOut: 0, failedIn: 0, failedOut: 0, bytesIn: 0, bytesOut: 0 };

  constructor(limits: GatewayLimits, listener: RecorderListener, now: () => number = Date.now) {
    this.#limits = limits;
    this.#listener = listener;
    this.#now = now;
    this.recent = new RecentTensors(limits.recentBytes);
    this.peers = new PeerCounters(limits.peers);
  }

  // --- what the node tells

  started(stream: TrafficStream): boolean {
    const entry = this.#open(stream);
    this.#listener.onStarted(entry);
    return entry.capture !== undefined && entry.capture.state === "live" && this.#owns(entry);
  }

  data(stream: TrafficStream, bytes: Uint8Array): void {
    const capture = this.#entries.get(stream.id)?.capture;
    if (capture) this.recent.append(capture, bytes, this.#now());
  }

  ended(stream: TrafficStream): void {
    const entry = this.#entries.get(stream.id);
    if (!entry) return;
    this.#live--;
    this.peers.ended(stream);
    const isIn = stream.direction === "in";
    if (isIn) this.counts.bytesIn += stream.movedBytes;
    else this.counts.bytesOut += stream.movedBytes;
    if (stream.state === "done") this.#done(entry);
    else {
      if (isIn) this.counts.failedIn++;
      else this.counts.failedOut++;
      if (entry.capture && this.#owns(entry)) this.#forget(entry.capture, stream);
    }
    this.#ended.push(stream.id);
    if (this.#ended.length > this.#limits.endedStreams) this.#prune();
    this.#listener.onEnded(entry);
  }

  // --- what is asked

  /** The newest first. */
  *newestFirst(): Generator<Entry, void, undefined> {
    const entries = [...this.#entries.values()];
    for (let index = entries.length - 1; index >= 0; index--) yield entries[index] as Entry; // within
  }

  find(id: number): Entry | undefined {
    return this.#entries.get(id);
  }

  /** When a stream that is not listed any more was dropped; undefined: it never was, as far as is known. */
  goneAtMs(id: number): number | undefined {
    return this.#gone.get(id);
  }

  /** The newest first. */
  topics(): TopicRecord[] {
    return [...this.#topics.values()].reverse();
  }
  topic(name: string): TopicRecord | undefined {
    return this.#topics.get(name);
  }
  get liveStreams(): number {
    return this.#live;
  }
  get topicCount(): number {
    return this.#topics.size;
  }

  // --- inside

  #open(stream: TrafficStream): Entry {
    const { id, direction, transferId, totalBytes, dtype, shape } = stream;
    if (direction === "in") this.counts.startedIn++;
    else this.counts.startedOut++;
    this.#live++;
    this.peers.started(stream, this.#now());
    const shared =
      transferId !== undefined && direction === "out" ? this.#byTransfer.get(transferId) : undefined;
    const usable = shared && shared.state !== "gone" ? shared : undefined;
    const capture = usable ?? this.recent.begin(totalBytes, dtype, shape);
    const entry = new Entry(stream, capture);
    this.#entries.set(id, entry);
    if (capture && !usable) {
      this.#owners.set(capture, id);
      if (transferId !== undefined && direction === "out") this.#byTransfer.set(transferId, capture);
    }
    return entry;
  }

  /** Which stream fills a capture. */
  readonly #owners = new WeakMap<Capture, number>();

  #owns(entry: Entry): boolean {
    return entry.capture !== undefined && this.#owners.get(entry.capture) === entry.stream.id;
  }

  #done(entry: Entry): void {
    const { stream, capture } = entry;
    if (capture && this.#owns(entry)) {
      if (capture.length === stream.movedBytes || capture.length === stream.totalBytes)
        this.recent.keep(capture);
      else this.#forget(capture, stream); // not all of it was seen
      if (stream.transferId !== undefined) this.#byTransfer.delete(stream.transferId);
    }
    entry.doneNumber = ++this.#doneNumber;
    const { topic } = stream;
    if (topic === "") return;
    const record = this.#topics.get(topic);
    const lastAtMs = stream.endedAtMs ?? this.#now();
    this.#topics.delete(topic); // the newest is the last in the map
    if (record) {
      record.count++;
      record.bytes += stream.movedBytes;
      record.lastAtMs = lastAtMs;
      record.last = entry;
      this.#topics.set(topic, record);
    } else {
      this.#topics.set(topic, { topic, count: 1, bytes: stream.movedBytes, lastAtMs, last: entry });
      if (this.#topics.size > this.#limits.topics) {
        const [oldest] = this.#topics.keys();
        if (oldest !== undefined) this.#topics.delete(oldest);
      }
    }
  }

  #forget(capture: Capture, stream: TrafficStream): void {
    this.recent.drop(capture, this.#now());
    if (stream.transferId !== undefined) this.#byTransfer.delete(stream.transferId);
  }

  /** The oldest ended one is listed no more. Its bytes stay while a topic shows them as its latest. */
  #prune(): void {
    const id = this.#ended.shift();
    const entry = id === undefined ? undefined : this.#entries.get(id);
    if (id === undefined || !entry) return;
    this.#entries.delete(id);
    this.#gone.set(id, this.#now());
    if (this.#gone.size > this.#limits.goneStreams) {
      const [oldest] = this.#gone.keys();
      if (oldest !== undefined) this.#gone.delete(oldest);
    }
    const isLatest = this.#topics.get(entry.stream.topic)?.last === entry;
    if (entry.capture && this.#owns(entry) && !isLatest) this.recent.drop(entry.capture, this.#now());
  }
}
