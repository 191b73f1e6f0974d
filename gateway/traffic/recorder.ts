/**
 * Watches a node's streams and remembers: those that live, the last ones that ended, what each topic had last, and the
 * bytes of recent ones. It does little for each call, since it is called on the data path: whoever wants to know more is
 * told afterwards (`RecorderListener`).
 *
 * A received tensor shows its bytes when its reader takes them, which may be after its end: until then it is whole for its
 * sender, and not yet for us.
 */
import type { GatewayLimits } from "../limits.ts";
import { Entry } from "./entry.ts";
import { PeerCounters } from "./peer_counters.ts";
import type { Capture } from "./recent.ts";
import { RecentTensors } from "./recent.ts";
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

/** Called on the data path. */
export interface RecorderListener {
  onStarted(entry: Entry): void;
  onEnded(entry: Entry): void;
  /** It is done, and its bytes are here, or will never be. */
  onWhole(entry: Entry): void;
}

export class TrafficRecorder implements TrafficObserver {
  readonly #limits: GatewayLimits;
  readonly #listener: RecorderListener;
  readonly #now: () => number;
  /** Live ones, and the last ended ones, by id: in order of their start. */
  readonly #entries = new Map<number, Entry>();
  /** Ids of ended ones, the oldest first. */
  readonly #ended: number[] = [];
  /** Done, and not read to the end by whom they came for. The oldest first. */
  readonly #unread = new Set<Entry>();
  /** Streams that are not listed any more, and since when. */
  readonly #gone = new Map<number, number>();
  readonly #topics = new Map<string, TopicRecord>();
  /** Sends to several peers have the same bytes: they are kept once. */
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
    this.recent = new RecentTensors(
      limits.recentBytes,
      limits.captureBytesPerSecond,
      limits.captureBurstBytes,
    );
    this.peers = new PeerCounters(limits.peers);
  }

  // --- what the node tells

  started(stream: TrafficStream): boolean {
    const entry = this.#open(stream);
    this.#listener.onStarted(entry);
    return entry.capture !== undefined;
  }

  data(stream: TrafficStream, bytes: Uint8Array, offset: number): void {
    const entry = this.#entries.get(stream.id);
    if (!entry?.capture) return;
    this.recent.append(entry.capture, bytes, offset, this.#now());
    if (this.#unread.has(entry) && entry.isCaptured) this.#whole(entry);
  }

  ended(stream: TrafficStream): void {
    const entry = this.#entries.get(stream.id);
    if (!entry) return;
    this.#live--;
    this.peers.ended(stream);
    if (stream.direction === "in") this.counts.bytesIn += stream.movedBytes;
    else this.counts.bytesOut += stream.movedBytes;
    if (stream.state === "done") this.#done(entry);
    else {
      if (stream.direction === "in") this.counts.failedIn++;
      else this.counts.failedOut++;
      this.#leave(entry);
    }
    this.#ended.push(stream.id);
    this.#listener.onEnded(entry);
    if (this.#ended.length > this.#limits.endedStreams) this.#prune();
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
  /** Streams that are done, since the start. */
  get doneCount(): number {
    return this.#doneNumber;
  }
  get liveStreams(): number {
    return this.#live;
  }
  get topicCount(): number {
    return this.#topics.size;
  }

  // --- inside

  #open(stream: TrafficStream): Entry {
    const { id, direction, transferId, totalBytes } = stream;
    if (direction === "in") this.counts.startedIn++;
    else this.counts.startedOut++;
    this.#live++;
    this.peers.started(stream, this.#now());
    const transfer = direction === "out" ? transferId : undefined;
    const shared = transfer === undefined ? undefined : this.#byTransfer.get(transfer);
    const capture = shared ?? this.#beginCapture(totalBytes);
    const entry = new Entry(stream, capture);
    this.#entries.set(id, entry);
    if (capture) {
      capture.users++;
      if (transfer !== undefined) this.#byTransfer.set(transfer, capture);
    }
    return entry;
  }

  #beginCapture(totalBytes: number | undefined) {
    // What nobody has read gives way to what comes.
    const couldFit = (totalBytes ?? 0) <= this.recent.budgetBytes;
    while (couldFit && this.#unread.size > 0 && !this.recent.hasRoomFor(totalBytes)) {
      const [oldest] = this.#unread;
      if (oldest) this.#giveUp(oldest);
    }
    return this.recent.begin(totalBytes, this.#now());
  }

  #done(entry: Entry): void {
    const { stream } = entry;
    entry.doneNumber = ++this.#doneNumber;
    if (stream.topic !== "") this.#countTopic(entry);
    const isMissing = entry.capture === undefined || entry.capture.state === "gone";
    if (isMissing || entry.isCaptured) this.#whole(entry);
    else this.#unread.add(entry);
  }

  #countTopic(entry: Entry): void {
    const { topic, movedBytes, endedAtMs } = entry.stream;
    const lastAtMs = endedAtMs ?? this.#now();
    const record = this.#topics.get(topic) ?? { topic, count: 0, bytes: 0, lastAtMs, last: entry };
    record.count++;
    record.bytes += movedBytes;
    record.lastAtMs = lastAtMs;
    this.#topics.delete(topic); // the newest is the last in the map
    this.#topics.set(topic, record);
    if (this.#topics.size <= this.#limits.topics) return;
    const [oldest] = this.#topics.keys();
    if (oldest !== undefined) this.#topics.delete(oldest);
  }

  /** It is done, and nothing more of it will come. */
  #whole(entry: Entry): void {
    this.#unread.delete(entry);
    const record = this.#topics.get(entry.stream.topic);
    // One that came too fast to be kept does not take the place of one that can be had.
    const isWorse = entry.capture === undefined && record?.last.capture?.state === "kept";
    if (record && record.last.doneNumber < entry.doneNumber && !isWorse) record.last = entry;
    if (entry.capture && entry.isCaptured) this.recent.keep(entry.capture);
    this.#leave(entry);
    this.#listener.onWhole(entry);
  }

  /** Done, but nobody has read it here, and nobody will in time. */
  #giveUp(entry: Entry): void {
    this.#unread.delete(entry);
    this.#leave(entry);
    this.#listener.onWhole(entry);
  }

  /** It needs its capture no more: one that is not whole goes with its last user. */
  #leave({ capture, stream }: Entry): void {
    if (!capture) return;
    capture.users--;
    if (capture.users > 0) return;
    if (capture.state === "live") this.recent.drop(capture, this.#now());
    if (stream.transferId !== undefined && this.#byTransfer.get(stream.transferId) === capture)
      this.#byTransfer.delete(stream.transferId);
  }

  /** The oldest ended one is listed no more. Its bytes stay while a topic shows them as its latest. */
  #prune(): void {
    const id = this.#ended.shift();
    const entry = id === undefined ? undefined : this.#entries.get(id);
    if (id === undefined || !entry) return;
    if (this.#unread.has(entry)) this.#giveUp(entry);
    this.#entries.delete(id);
    this.#gone.set(id, this.#now());
    if (this.#gone.size > this.#limits.goneStreams) {
      const [oldest] = this.#gone.keys();
      if (oldest !== undefined) this.#gone.delete(oldest);
    }
    const isLatest = this.#topics.get(entry.stream.topic)?.last === entry;
    if (entry.capture?.state === "kept" && entry.capture.users === 0 && !isLatest)
      this.recent.drop(entry.capture, this.#now());
  }
}
