/** What each peer has sent and got, since it was first seen; and the rates of the last minute. */
import type { TrafficStream } from "./traffic.ts";

export interface PeerTotals {
  readonly receivedBytes: number;
  readonly sentBytes: number;
  readonly receivedStreams: number;
  readonly sentStreams: number;
  readonly liveStreams: number;
}

class Counters {
  /** When it joined, as far as we have seen; Unix time. */
  sinceMs: number;
  endedInBytes = 0;
  endedOutBytes = 0;
  receivedStreams = 0;
  sentStreams = 0;
  readonly live = new Set<TrafficStream>();

  constructor(sinceMs: number) {
    this.sinceMs = sinceMs;
  }

  totals(): PeerTotals {
    let receivedBytes = this.endedInBytes;
    let sentBytes = this.endedOutBytes;
    for (const { direction, movedBytes } of this.live) {
      if (direction === "in") receivedBytes += movedBytes;
      else sentBytes += movedBytes;
    }
    const { receivedStreams, sentStreams, live } = this;
    return { receivedBytes, sentBytes, receivedStreams, sentStreams, liveStreams: live.size };
  }
}

const NONE: PeerTotals = {
  receivedBytes: 0,
  sentBytes: 0,
  receivedStreams: 0,
  sentStreams: 0,
  liveStreams: 0,
};

export class PeerCounters {
  readonly #maxPeers: number;
  readonly #peers = new Map<string, Counters>();

  constructor(maxPeers: number) {
    this.#maxPeers = maxPeers;
  }

  ids(): string[] {
    return [...this.#peers.keys()];
  }
  totals(id: string): PeerTotals {
    return this.#peers.get(id)?.totals() ?? NONE;
  }
  sinceMs(id: string): number | undefined {
    return this.#peers.get(id)?.sinceMs;
  }

  joined(id: string, nowMs: number): void {
    this.#of(id, nowMs).sinceMs = nowMs;
  }

  /** The peer that was called HOST:PORT has an id now. */
  named(was: string, id: string): void {
    const old = this.#peers.get(was);
    if (!old || this.#peers.has(id)) return;
    this.#peers.delete(was);
    this.#peers.set(id, old);
  }

  started(stream: TrafficStream, nowMs: number): void {
    const peer = this.#of(stream.peer.id, nowMs);
    peer.live.add(stream);
    if (stream.direction === "in") peer.receivedStreams++;
    else peer.sentStreams++;
  }

  ended(stream: TrafficStream): void {
    for (const peer of [this.#peers.get(stream.peer.id), ...this.#peers.values()]) {
      if (!peer?.live.delete(stream)) continue;
      if (stream.direction === "in") peer.endedInBytes += stream.movedBytes;
      else peer.endedOutBytes += stream.movedBytes;
      return;
    }
  }

  #of(id: string, nowMs: number): Counters {
    let peer = this.#peers.get(id);
    if (!peer) {
      peer = new Counters(nowMs);
      this.#peers.set(id, peer);
      if (this.#peers.size > this.#maxPeers) this.#forgetOne(id);
    }
    return peer;
  }

  #forgetOne(except: string): void {
    for (const [id, { live }] of this.#peers) {
      if (id === except || live.size > 0) continue;
      this.#peers.delete(id);
      return;
    }
  }
}

/** One second of all peers. */
export interface Second {
  readonly atMs: number;
  readonly inBytes: number;
  readonly outBytes: number;
  readonly liveStreams: number;
  readonly peers: ReadonlyMap<string, readonly [inBytes: number, outBytes: number]>;
}

/** The rates of the last seconds: differences of the counters, taken once a second. */
export class Rates {
  readonly #counters: PeerCounters;
  readonly #maxSeconds: number;
  readonly #seconds: Second[] = [];
  readonly #last = new Map<string, PeerTotals>();
  #lastAtMs: number;

  constructor(counters: PeerCounters, maxSeconds: number, nowMs: number) {
    this.#counters = counters;
    this.#maxSeconds = maxSeconds;
    this.#lastAtMs = nowMs;
  }

  get seconds(): readonly Second[] {
    return this.#seconds;
  }

  /** Takes the next second; bytes are scaled to one second if it came late or early. */
  take(nowMs: number): Second {
    const scale = 1000 / Math.max(1, nowMs - this.#lastAtMs);
    this.#lastAtMs = nowMs;
    let inBytes = 0;
    let outBytes = 0;
    let liveStreams = 0;
    const peers = new Map<string, readonly [number, number]>();
    const ids = this.#counters.ids();
    for (const id of ids) {
      const now = this.#counters.totals(id);
      const before = this.#last.get(id);
      this.#last.set(id, now);
      liveStreams += now.liveStreams;
      const came = Math.round(Math.max(0, now.receivedBytes - (before?.receivedBytes ?? 0)) * scale);
      const went = Math.round(Math.max(0, now.sentBytes - (before?.sentBytes ?? 0)) * scale);
      inBytes += came;
      outBytes += went;
      if (came > 0 || went > 0) peers.set(id, [came, went]);
    }
    if (this.#last.size > ids.length) {
      const known = new Set(ids);
      for (const id of this.#last.keys()) if (!known.has(id)) this.#last.delete(id);
    }
    const second = { atMs: nowMs, inBytes, outBytes, liveStreams, peers };
    this.#seconds.push(second);
    if (this.#seconds.length > this.#maxSeconds) this.#seconds.shift();
    return second;
  }
}
