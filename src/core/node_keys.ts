/** The keys of a node, as users see them: a list without secrets, changes, and the rotation of a whole community. */
import { type KeyInfo, KeyRing, type RingKey } from "./auth/key_ring.ts";
import { keyId } from "./auth/proof.ts";
import { ClosedError } from "./errors.ts";
import { KeyKeeper } from "./key_keeper.ts";
import { entryOf, type KeyChange, type KeyOptions, type KeyStore } from "./key_options.ts";
import type { KeyNews, KeyPeer } from "./key_peer.ts";
import { KeyRotator, type RotateOptions, type RotationReport } from "./key_rotator.ts";
import type { NodeConfig, NodeEvent } from "./node_events.ts";
import type { Runtime, Timer } from "./runtime.ts";
import type { Peer } from "./swarm/swarm.ts";
import { toHex, utf8 } from "./wire/bytes.ts";

/** The longest wait of a timer for the wall clock, which may jump. */
const LOOK_AGAIN_MS = 60_000;

interface Tools {
  readonly peers: () => readonly KeyPeer[];
  /** Ends what rests on keys that hold no more; returns in how many ms to look again. */
  readonly end: () => number | undefined;
  /** Bytes of keys that connections may need yet. */
  readonly inUse: () => readonly Uint8Array[];
  readonly emit: (event: NodeEvent) => void;
}

export class NodeKeys {
  readonly #runtime: Runtime;
  readonly #store: KeyStore | undefined;
  readonly #tools: Tools;
  readonly #keeper: KeyKeeper;
  readonly #rotator: KeyRotator;
  /** Ids of the keys that held when that was last looked at. */
  readonly #valid = new Set<string>();
  #timer: Timer | undefined;
  #closed = false;
  /** @internal */ readonly ring: KeyRing;

  /** @internal */
  constructor(runtime: Runtime, config: NodeConfig, tools: Tools) {
    const { clock, crypto } = runtime;
    this.#runtime = runtime;
    this.#store = config.keyStore;
    this.#tools = tools;
    this.ring = new KeyRing(config.keys, crypto, clock.unixMs());
    const { ring } = this;
    const save = () => this.#save();
    this.#rotator = new KeyRotator({
      ring,
      clock,
      crypto,
      peers: tools.peers,
      save,
      switched: (key) => this.#changed("current", key),
    });
    this.#keeper = new KeyKeeper({
      ring,
      clock,
      limits: config.limits,
      policy: config.rotation,
      save,
      changed: (change, key, peer, error) => this.#changed(change, key, peer, error),
      givesWay: (key, other) => this.#rotator.givesWay(key, other),
    });
    this.#look();
  }

  /** Every key, the current one first, without secrets. */
  list(): readonly KeyInfo[] {
    return this.ring.list(this.#runtime.clock.unixMs());
  }

  /**
   * Adds a key, and returns its id. One whose state is "current" signs from now on. Throws RangeError on one that is there
   * or was revoked, and where as many hold as can be tried (4). Rejects when the store does.
   */
  async add(options: KeyOptions): Promise<string> {
    const id = this.ring.add(entryOf(options), this.#runtime.clock.unixMs());
    return this.#kept("added", id).then(() => id);
  }

  /** This key signs from now on; the one that did stays accepted. Throws RangeError. Rejects when the store does. */
  async setCurrent(id: string): Promise<void> {
    this.ring.setCurrent(id, this.#runtime.clock.unixMs());
    await this.#kept("current", id);
  }

  /**
   * Ends a key for good, and every connection that rests on it at once: transfers go on over the next one where the peer has
   * another key. Throws RangeError on an id that is not there, and on the last key. Rejects when the store does.
   */
  async revoke(id: string): Promise<void> {
    this.ring.revoke(id, this.#runtime.clock.unixMs());
    await this.#kept("revoked", id);
  }

  /**
   * Sets when a key ends, in ms since 1970; undefined: never. Connections that rest on it go over to another key then.
   * Throws RangeError. Rejects when the store does.
   */
  async setEnd(id: string, notAfterMs: number | undefined): Promise<void> {
    this.ring.setEnd(id, notAfterMs, this.#runtime.clock.unixMs());
    await this.#kept("limited", id);
  }

  /** The id of a key, whether it is one of these or not. */
  idOf(key: string | Uint8Array): string {
    return toHex(keyId(typeof key === "string" ? utf8(key) : key, this.#runtime.crypto));
  }

  /** Puts others in place of all keys; the store is not told, since this is for whoever reads it. Throws RangeError. */
  replace(keys: readonly KeyOptions[]): void {
    const unixMs = this.#runtime.clock.unixMs();
    this.ring.replace(keys.map(entryOf), unixMs);
    const signing = this.ring.signing(unixMs);
    this.#changed("replaced", signing ?? { id: "", epoch: this.ring.epoch });
  }

  /**
   * Makes a new key, gives it to every peer that is connected and speaks x1, and signs with it once all of them have it; the
   * key before is believed for `graceMs` more. Where one does not take it in time everything stays as it was: the report says
   * which. Throws ASOC_ROTATION, before anything was sent, while another rotation is under way and where peers cannot follow
   * unless `leaveBehind`; RangeError. Rejects with the signal's reason, or when the store does; nothing has changed then.
   */
  async rotate(options: RotateOptions = {}): Promise<RotationReport> {
    if (this.#closed) throw new ClosedError("ASOC_CLOSED", "Cannot rotate: the node is closed");
    return this.#rotator.rotate(options).finally(() => this.wipeUnused());
  }

  /** @internal Something came on a connection. */
  handleNews(from: KeyPeer, event: KeyNews): void {
    if (event.kind === "keyOffered") this.#keeper.handleOffered(from, event.grant);
    else this.#rotator.handleAnswered(from, event.receipt);
  }

  /** @internal A peer has proven a key that was only on offer here. */
  handleSeen(key: RingKey, peer: Peer): void {
    this.#keeper.handleSeen(key, peer);
  }

  /** @internal Ends what rests on keys that hold no more, and waits for the next one's end. */
  look(): void {
    this.#look();
  }

  /** @internal */
  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    this.#rotator.close();
  }

  /** @internal Something that may have used a key has ended: what has left the ring and nothing needs is overwritten. */
  wipeUnused(): void {
    if (!this.ring.hasLeft) return;
    this.ring.wipeLeft(new Set([...this.#tools.inUse(), ...this.#rotator.keysInUse]));
  }

  /** @internal Nothing is signed or read any more. */
  wipe(): void {
    this.ring.wipe();
  }

  // --- inside

  async #kept(change: KeyChange, id: string): Promise<void> {
    const key = this.ring.find(id);
    this.#changed(change, { id, epoch: key?.epoch ?? 0 });
    await this.#save();
  }

  async #save(): Promise<void> {
    await this.#store?.save(this.ring.snapshot());
  }

  #changed(
    change: KeyChange,
    { id, epoch }: Pick<RingKey, "id" | "epoch">,
    peer?: Peer,
    error?: unknown,
  ): void {
    const kept = this.#store !== undefined && error === undefined;
    this.#tools.emit({ kind: "key", change, keyId: id, epoch, peer, kept, error });
    this.#look();
  }

  /** Tells of keys whose time is over since the last look. */
  #tellEnded(unixMs: number): void {
    for (const { id, epoch, state, valid, notAfterMs } of this.ring.list(unixMs)) {
      if (valid) this.#valid.add(id);
      else if (this.#valid.delete(id) && state !== "revoked" && notAfterMs !== undefined)
        this.#tools.emit({
          kind: "key",
          change: "ended",
          keyId: id,
          epoch,
          peer: undefined,
          kept: true,
          error: undefined,
        });
    }
  }

  #look(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    if (this.#closed) {
      this.wipeUnused();
      return;
    }
    const { clock } = this.#runtime;
    this.#tellEnded(clock.unixMs());
    const againMs = this.#tools.end();
    this.wipeUnused();
    const unixMs = clock.unixMs();
    const nextMs = this.ring.nextChangeMs(unixMs);
    if (againMs === undefined && nextMs === undefined) return;
    const dueMs = Math.min(againMs ?? LOOK_AGAIN_MS, nextMs === undefined ? LOOK_AGAIN_MS : nextMs - unixMs);
    this.#timer = clock.after(Math.max(1, Math.min(dueMs, LOOK_AGAIN_MS)), () => this.#look());
  }
}
