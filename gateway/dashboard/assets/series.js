/**
 * Traffic by the second: of the node and of each peer, in columns as uPlot wants them. Keeps 15 minutes.
 * A gap (the node was away) is a row of nulls. Knows no DOM.
 */

const KEPT_SECONDS = 900;
const KEPT_PEERS = 256;

/** @typedef {(number | null)[]} Column */

export class Series {
  /** Unix seconds. @type {number[]} */
  at = [];
  /** Bytes per second. @type {Column} */
  in = [];
  /** Bytes per second. @type {Column} */
  out = [];
  /** Live streams. @type {Column} */
  live = [];
  /** By peer; as long as `at`. @type {Map<string, { in: Column, out: Column }>} */
  peers = new Map();

  /** What the node remembers; replaces the part that overlaps. @param {import("../types.d.ts").History} history */
  load(history) {
    const first = secondsOf(history.seconds[0]?.at);
    if (first === undefined) return;
    this.#keep(this.at.filter((at) => at < first - 0.5).length);
    history.seconds.forEach((second, index) => {
      const at = secondsOf(second.at) ?? 0;
      this.#gap(at);
      /** @type {Map<string, [number, number]>} */
      const peers = new Map();
      for (const [id, rates] of Object.entries(history.peers)) {
        // The last entries belong together: a peer that came later has fewer.
        const rate = rates[index - (history.seconds.length - rates.length)];
        if (rate) peers.set(id, rate);
      }
      this.#push(at, second.in, second.out, second.live, peers);
    });
  }

  /** @param {import("../types.d.ts").Rates} rates */
  add(rates) {
    const at = secondsOf(rates.at) ?? Date.now() / 1000;
    const last = this.at.at(-1);
    if (last !== undefined && at <= last) return; // history had it
    this.#gap(at);
    this.#push(
      at,
      rates.inBytesPerSecond,
      rates.outBytesPerSecond,
      rates.liveStreams,
      new Map(rates.peers.map((peer) => [peer.id, [peer.inBytesPerSecond, peer.outBytesPerSecond]])),
    );
  }

  /** More than 5 s without a row: lines must not cross that. @param {number} at */
  #gap(at) {
    const last = this.at.at(-1);
    if (last !== undefined && at - last > 5) this.#push(last + 1, null, null, null, new Map());
  }

  /**
   * @param {number} at
   * @param {number | null} inRate
   * @param {number | null} outRate
   * @param {number | null} live
   * @param {Map<string, readonly [number, number]>} peers
   */
  #push(at, inRate, outRate, live, peers) {
    this.at.push(at);
    this.in.push(inRate);
    this.out.push(outRate);
    this.live.push(live);
    for (const id of peers.keys()) {
      if (this.peers.has(id) || this.peers.size >= KEPT_PEERS) continue;
      const nulls = () => new Array(this.at.length - 1).fill(null);
      this.peers.set(id, { in: nulls(), out: nulls() });
    }
    for (const [id, columns] of this.peers) {
      const rate = peers.get(id);
      columns.in.push(rate?.[0] ?? null);
      columns.out.push(rate?.[1] ?? null);
      if (!rate && columns.in.every((value) => value === null)) this.peers.delete(id);
    }
    if (this.at.length > KEPT_SECONDS) this.#each((column) => column.splice(0, column.length - KEPT_SECONDS));
  }

  /** @param {number} length */
  #keep(length) {
    this.#each((column) => column.splice(length));
  }

  /** @param {(column: (number | null)[]) => void} change */
  #each(change) {
    for (const column of [this.at, this.in, this.out, this.live]) change(column);
    for (const columns of this.peers.values()) {
      change(columns.in);
      change(columns.out);
    }
  }
}

/** @param {string | undefined} at */
function secondsOf(at) {
  const ms = at === undefined ? Number.NaN : Date.parse(at);
  return Number.isNaN(ms) ? undefined : ms / 1000;
}
