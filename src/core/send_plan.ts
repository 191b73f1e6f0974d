/** What one send is: what its user asks for, what OPEN says of it, and what became of it. */
import type { Crypto } from "./runtime.ts";
import { type DigestName, TensorDigest } from "./session/digest.ts";
import { DEFAULT_PRIORITY, type TensorSending } from "./session/outbound_stream.ts";
import type { Peer } from "./swarm/swarm.ts";
import type { Described } from "./tensor/source.ts";
import { fromHex } from "./wire/bytes.ts";
import { DigestAlgorithm } from "./wire/records/close.ts";
import { ChunkCodec, TensorLayout } from "./wire/records/open.ts";
import type { TensorGroup, TensorShard } from "./wire/records/open_fields.ts";
import { encodeRecord } from "./wire/records/records.ts";
import { TRANSFER_ID_BYTES } from "./wire/records/transfer_id.ts";

export interface SendOptions {
  /** Gives it up: the receiver gets an error, never a short tensor. */
  readonly signal?: AbortSignal;
  /** Called with the payload bytes that are in the kernel, as they go; where a transfer is resumed, of the whole tensor. */
  readonly onProgress?: (sentBytes: number, peer: Peer) => void;
  /** Payload of one frame; default 1 MiB. */
  readonly chunkBytes?: number;
  /** What it is, for whoever subscribes; segments are separated by "/". At most 255 bytes. Default "". */
  readonly topic?: string;
  /** 0 to 255: larger ones overtake between chunks. Default 128. */
  readonly priority?: number;
  /**
   * After so long it is of no use: it is given up with ASOC_DEADLINE, also between two connections. Where the socket stands
   * still and holds memory of it, that is when the connection is given up. What was sent whole by then is waited for.
   * Default 0: never.
   */
  readonly deadlineMs?: number;
  /** Any value that JSON has, at most 8 KiB of it: the receiver sees it before the first byte. */
  readonly metadata?: unknown;
  /** What the receiver checks the bytes with. Default "crc32". */
  readonly digest?: DigestName;
  /** The file that it is a part of. */
  readonly group?: TensorGroup;
  /** The larger tensor that it is a part of. */
  readonly shard?: TensorShard;
  /** Of a training run, or whatever counts. */
  readonly step?: number;
  /** W3C Trace Context. */
  readonly traceparent?: string;
  /**
   * 16 hex digits that name the transfer. Given: the peer is asked first how much of it is there, and the rest is sent.
   * Only for sources that can be read again, and for the node id that began it. Default: random.
   */
  readonly transferId?: string;
  /**
   * With `transferId`: an earlier run has sent all of it, to the receiver that had this `Peer.bootEpoch`, and does not know
   * what became of it. Where that receiver was started again it fails with ASOC_OUTCOME_UNKNOWN instead of coming twice.
   */
  readonly endedEpoch?: number;
}

/** What became of one send. */
export interface SendReport {
  readonly peer: Peer;
  readonly streamId: number;
  /** Of the whole tensor. */
  readonly bytes: number;
  /**
   * How far it is known to have come. "verified": the receiver has it whole and its digest holds. "kernel": to a peer that
   * speaks only v1, which has no acknowledgement.
   */
  readonly delivery: "verified" | "kernel";
  /** Such as "crc32:0a1b2c3d"; undefined without one. */
  readonly digest: string | undefined;
  /** How often its connection broke on the way. */
  readonly cuts: number;
}

/** Random names of transfers, drawn many at a time: one call for each would cost a tenth of a small send. */
export class TransferIds {
  readonly #crypto: Pick<Crypto, "randomBytes">;
  #drawn: Uint8Array = new Uint8Array(0);
  #at = 0;

  constructor(crypto: Pick<Crypto, "randomBytes">) {
    this.#crypto = crypto;
  }

  next(): Uint8Array {
    if (this.#at === this.#drawn.length) {
      this.#drawn = this.#crypto.randomBytes(512 * TRANSFER_ID_BYTES);
      this.#at = 0;
    }
    this.#at += TRANSFER_ID_BYTES;
    return this.#drawn.subarray(this.#at - TRANSFER_ID_BYTES, this.#at);
  }
}

/** One send: what OPEN says of it, whoever it goes to and however often it is begun. */
export class SendPlan {
  readonly described: Described;
  readonly transferId: Uint8Array;
  readonly priority: number;
  readonly digest: TensorDigest;
  readonly #options: SendOptions;
  /** When it is of no use any more; Infinity: never. */
  readonly deadlineAtMs: number;
  /** From byte 0, which is what nearly every send needs, once for all its destinations. */
  readonly #whole: TensorSending;

  /** Throws RangeError and TypeError for options that cannot be. */
  constructor(
    described: Described,
    options: SendOptions,
    crypto: Crypto,
    nowMs: number,
    ids: Pick<TransferIds, "next"> = new TransferIds(crypto),
  ) {
    this.described = described;
    this.#options = options;
    const { priority = DEFAULT_PRIORITY, deadlineMs = 0, transferId, digest = "crc32" } = options;
    this.priority = priority;
    this.transferId = transferId === undefined ? ids.next() : fromHex(transferId);
    if (!(deadlineMs >= 0)) throw new RangeError(`deadlineMs: expected 0 or more, got ${deadlineMs}`);
    this.deadlineAtMs = deadlineMs === 0 ? Number.POSITIVE_INFINITY : nowMs + deadlineMs;
    if (!(digest in DIGESTS))
      throw new RangeError(`digest: expected crc32, sha256 or none, got ${String(digest)}`);
    this.digest = new TensorDigest(digest, crypto);
    if (options.metadata !== undefined && JSON.stringify(options.metadata) === undefined)
      throw new TypeError("metadata: expected a value that JSON has");
    this.#whole = this.#from(0, nowMs); // whatever is wrong with it is found before anything is sent
  }

  /** The stream that carries it from `baseOffset` on. */
  at(baseOffset: number, nowMs: number): TensorSending {
    const isWhole = baseOffset === 0 && this.deadlineAtMs === Number.POSITIVE_INFINITY;
    return isWhole ? this.#whole : this.#from(baseOffset, nowMs); // what is left of a deadline differs each time
  }

  /** Throws RangeError for a field out of its range. */
  #from(baseOffset: number, nowMs: number): TensorSending {
    const { topic = "", metadata, group, shard, step, traceparent, deadlineMs = 0 } = this.#options;
    const { dtype, shape, totalBytes } = this.described;
    const { algorithm } = this.digest;
    const open = encodeRecord({
      kind: "open",
      transferId: this.transferId,
      totalBytes,
      baseOffset,
      dtype,
      shape,
      priority: this.priority,
      codec: ChunkCodec.NONE,
      layout: TensorLayout.ROW_MAJOR,
      deviceType: 0,
      deviceId: 0,
      deadlineMs: deadlineMs === 0 ? 0 : Math.max(1, Math.ceil(this.deadlineAtMs - nowMs)),
      topic,
      group,
      shard,
      step,
      traceparent,
      userMetadata: metadata === undefined ? undefined : JSON.stringify(metadata),
      digest: algorithm === DigestAlgorithm.CRC32 ? undefined : algorithm,
    });
    const { transferId, priority, digest } = this;
    return { transferId, priority, baseOffset, open, digest, deadlineAtMs: this.deadlineAtMs };
  }
}

const DIGESTS: Readonly<Record<DigestName, true>> = { crc32: true, sha256: true, none: true };
