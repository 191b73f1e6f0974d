/** One tensor on its way out, as its session sees it. `Outbound.open` makes it. */
import type { AsocError } from "../errors.ts";
import { SMALL_PAYLOAD_BYTES } from "../limits.ts";
import { encodeControl } from "../wire/records/records.ts";
import { StreamCode } from "../wire/records/reset.ts";
import type { TensorDigest } from "./digest.ts";

/** Of v1 streams too; larger goes first. */
export const DEFAULT_PRIORITY = 128;

/** What x1 adds to a stream that we send (RFC-0005). */
export interface TensorSending {
  /** 8 bytes. */
  readonly transferId: Uint8Array;
  /** 0 to 255, larger goes first. */
  readonly priority: number;
  /** Where in the tensor the first DATA byte lies. */
  readonly baseOffset: number;
  /** Payload of the CONTROL frame with OPEN. */
  readonly open: Uint8Array;
  /** Of the whole tensor; shared with other streams that carry the same one. */
  readonly digest: TensorDigest;
  /** When it is of no use any more; Infinity: never. */
  readonly deadlineAtMs: number;
}

export class OutboundStream {
  /** Its number on its connection; a tensor stream gets one when its OPEN goes out, so that they only go up. */
  id: number;
  readonly chunkBytes: number;
  readonly tensor: TensorSending | undefined;
  /** @internal */ pending: Uint8Array | undefined;
  /** @internal */ pendingAt = 0;
  /** @internal */ seq = 0;
  /** @internal OPEN is out, or about to be. */
  opened = false;
  /** @internal */ ending = false;
  /** @internal */ abandoned = false;
  /** @internal */ queued = false;
  /** @internal The rest of the chunk whose header is out. */
  chunkLeft = 0;
  /** @internal Bytes and end that the batch under way carries. */
  inBatch = 0;
  /** @internal */ endInBatch = false;
  /** CLOSE and END may have reached the receiver. */
  endSent = false;
  /** @internal Payload bytes whose header is out, on this connection. */
  promisedBytes = 0;
  /** @internal It has bytes and may not send them now. */
  waits = false;
  /** @internal How far `promisedBytes` may go: the receiver's credit. */
  limitBytes = Number.POSITIVE_INFINITY;
  /** @internal Payload bytes of this connection that the receiver has. */
  ackedBytes = 0;
  /** @internal Why RESET goes out, if it does. */
  reset: { readonly code: number; readonly reason: string; readonly error: AsocError } | undefined;
  /** Payload bytes that are in the kernel. */
  sentBytes = 0;
  /** True once END (or the abandonment) is in the kernel. */
  done = false;
  /** The receiver has the whole tensor and its digest holds (x1). */
  verified = false;
  error: AsocError | undefined;

  /** Only `Outbound.open` makes these. */
  constructor(id: number, chunkBytes: number, tensor?: TensorSending) {
    this.id = id;
    this.chunkBytes = chunkBytes;
    this.tensor = tensor;
  }
  get priority(): number {
    return this.tensor?.priority ?? DEFAULT_PRIORITY;
  }
  /** True when a frame of it has gone out, or is about to. */
  get started(): boolean {
    return this.opened || this.seq > 0;
  }
  /** True when `write` may be called: no bytes of the last one are left. */
  get writable(): boolean {
    return !this.pending && this.inBatch === 0 && !this.ending && !this.done;
  }
  /** It has not begun, and all of it is one small frame. */
  get brief(): boolean {
    return !this.started && this.ending && (this.pending?.byteLength ?? 0) <= SMALL_PAYLOAD_BYTES;
  }
  /** Nothing more will be heard of it. */
  get settled(): boolean {
    return this.error !== undefined || (this.done && (this.verified || !this.tensor || this.abandoned));
  }
}

/** Payload of the CONTROL frame with CLOSE: all bytes of the tensor have been promised. */
export function closePayload(stream: OutboundStream, tensor: TensorSending): Uint8Array {
  const { transferId, digest, baseOffset } = tensor;
  const rawBytes = baseOffset + stream.promisedBytes;
  return encodeControl([
    {
      kind: "close",
      transferId,
      rawBytes,
      algorithm: digest.algorithm,
      status: 0,
      digest: digest.finish(),
    },
  ]);
}

/** Payload of the CONTROL frame with RESET. */
export function resetPayload(stream: OutboundStream): Uint8Array {
  const { code, reason } = stream.reset ?? { code: StreamCode.CANCELLED, reason: "" };
  return encodeControl([{ kind: "reset", code, reason }]);
}
