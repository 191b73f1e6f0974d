/**
 * One tensor of x1 on its way in: its credit, its digest, its end, and the three ways to read it (RFC-0005).
 *
 * It never makes its connection wait: what it may bring is what there is memory for (`inbound_memory.ts`). It outlives its
 * connection: a resumed transfer goes on where it was.
 */
import type { AsocError } from "../errors.ts";
import { equalBytes } from "../wire/bytes.ts";
import type { CloseRecord } from "../wire/records/close.ts";
import type { TensorDescription } from "./description.ts";
import { digestText, TensorDigest } from "./digest.ts";
import type { MemoryContext } from "./inbound_context.ts";
import { badEnd, cannotAssemble, digestMismatch, intoTooSmall } from "./inbound_faults.ts";
import { InboundMemory } from "./inbound_memory.ts";
import type { Piece, Whole } from "./inbound_stream.ts";

/** What a tensor needs to know of its connection; another one after a resume. */
export interface TensorContext extends MemoryContext {
  /** A reader has done something: there may be more to grant. */
  readonly changed: (stream: InboundTensor) => void;
}

export class InboundTensor {
  readonly description: TensorDescription;
  readonly transferId: Uint8Array;
  readonly #digest: TensorDigest;
  #id: number;
  #context: TensorContext;
  readonly #memory: InboundMemory;
  #taken = false;
  #close: CloseRecord | undefined;
  /** Where in the tensor this connection's first byte lies. */
  baseOffset: number;
  /** Payload bytes that headers of this connection have announced, and how far they may go. */
  announcedBytes = 0;
  limitBytes: number;
  /** As of the last ACK. */
  ackedBytes: number;
  /** When it is of no use any more; Infinity: never. */
  deadlineAtMs = Number.POSITIVE_INFINITY;
  ended = false;
  error: AsocError | undefined;
  /** @internal The next seq that is in order. */
  expectedSeq = 0;
  /** @internal The reader wants a `readable` event for bytes, not only for the end. */
  wantsBytes = false;
  /** @internal A `readable` event is queued. */
  signalled = false;

  constructor(
    id: number,
    description: TensorDescription,
    transferId: Uint8Array,
    context: TensorContext,
    crypto: ConstructorParameters<typeof TensorDigest>[1],
  ) {
    this.#id = id;
    this.description = description;
    this.transferId = transferId;
    this.#digest = new TensorDigest(description.digest, crypto);
    this.#context = context;
    this.#memory = new InboundMemory(id, description.totalBytes, context);
    this.baseOffset = this.ackedBytes = 0;
    this.limitBytes = context.window.initialBytes;
  }

  /** Its number on its connection. */
  get id(): number {
    return this.#id;
  }
  /** Bytes of the tensor that have come, from byte 0 without a gap. */
  get receivedBytes(): number {
    return this.#memory.receivedBytes;
  }
  get hasPieces(): boolean {
    return this.#memory.hasPieces;
  }
  /** Its digest as people read it, once it has come whole. */
  get digestText(): string | undefined {
    if (!this.ended || this.error) return undefined;
    return digestText(this.description.digest, this.#digest.finish());
  }
  get discarded(): boolean {
    return this.#memory.discarded;
  }
  /** Whether a reader has come. */
  get claimed(): boolean {
    return this.#taken;
  }
  /** Tensor memory that it holds. */
  get heldBytes(): number {
    return this.#memory.heldBytes;
  }
  /** It waits for memory that somebody may release. */
  get wantsMemory(): boolean {
    return this.#memory.wanted;
  }

  // --- its connection

  /** It goes on as stream `id` of another connection, from where it is. */
  resume(id: number, context: TensorContext): void {
    this.#id = id;
    this.#context = context;
    this.#memory.resume(id, context);
    this.baseOffset = this.ackedBytes = this.receivedBytes;
    this.announcedBytes = 0;
    this.expectedSeq = 0;
    this.limitBytes = context.window.initialBytes;
    this.#close = undefined;
  }

  /** What comes may be a reason to grant more: not all of it has been granted yet. */
  get mayGrant(): boolean {
    const { totalBytes } = this.description;
    return totalBytes === undefined || this.baseOffset + this.limitBytes < totalBytes;
  }

  /** How far this connection may go with what there is memory for now. */
  grant(): number {
    if (!this.ended) this.#memory.reserve(this.#taken);
    const end = this.#memory.grantableEnd;
    return Math.max(this.#context.window.initialBytes, end - this.baseOffset, this.limitBytes);
  }

  /** See `FrameConsumer.payloadTarget`. Throws ASOC_TENSOR_TOO_LARGE when that is more than there may be. */
  target(remainingBytes: number, spareBytes: number): Uint8Array {
    return this.#memory.target(remainingBytes, spareBytes);
  }

  /** True when the next target will be elsewhere than the last one said. */
  get moved(): boolean {
    return this.#memory.moved;
  }

  /** `byteCount` bytes lie at the start of the last target. */
  filled(byteCount: number): void {
    const memory = this.#memory;
    if (this.#digest.wanted) this.#digest.update(memory.arrived(byteCount), memory.receivedBytes);
    memory.filled(byteCount);
  }

  /** CLOSE has come. Throws ProtocolError ASOC_BAD_STREAM where it does not fit what came. */
  close(record: CloseRecord): void {
    const { totalBytes } = this.description;
    const { rawBytes, status, algorithm, transferId } = record;
    const received = this.baseOffset + this.announcedBytes;
    if (this.#close) throw this.#bad("a second CLOSE");
    if (!equalBytes(transferId, this.transferId)) throw this.#bad("CLOSE of another transfer");
    if (status !== 0) throw this.#bad(`CLOSE with status ${status}`);
    if (algorithm !== this.#digest.algorithm) throw this.#bad(`CLOSE with digest algorithm ${algorithm}`);
    if (rawBytes !== received || rawBytes !== (totalBytes ?? rawBytes))
      throw this.#bad(`CLOSE says ${rawBytes} bytes, ${received} of ${totalBytes ?? "any number"} came`);
    this.#close = record;
  }

  /** END has come. Throws ASOC_BAD_STREAM without CLOSE, ASOC_DIGEST_MISMATCH, ASOC_TENSOR_TOO_LARGE for too small an `into`. */
  finish(): void {
    if (this.#close?.rawBytes !== this.receivedBytes) throw this.#bad("END is not right behind CLOSE");
    if (!equalBytes(this.#digest.finish(), this.#close.digest)) {
      const { transferId, digest } = this.description;
      throw digestMismatch(this.#id, transferId, digest);
    }
    this.#memory.move();
    this.ended = true;
    this.#memory.finish();
  }

  /** It ends here with `error`. */
  fail(error: AsocError): void {
    this.error ??= error;
    this.ended = true;
  }

  /** The socket holds none of its memory any more. */
  dropMemory(): void {
    this.#memory.drop();
  }

  // --- its reader

  /** Memory chosen before the first byte; a reader may still claim the whole. Throws ASOC_TENSOR_TOO_LARGE. */
  prepareInto(memory: Uint8Array): void {
    const totalBytes = Math.max(this.description.totalBytes ?? 0, this.receivedBytes);
    if (memory.byteLength < totalBytes) {
      throw intoTooSmall(this.#id, memory.byteLength, totalBytes, `${totalBytes}`);
    }
    this.#memory.use(memory);
    if (this.ended) this.#memory.move();
    this.#context.changed(this);
  }

  /** The bytes go to `memory` from now on; those that came before are copied there. Throws ASOC_TENSOR_TOO_LARGE. */
  readInto(memory: Uint8Array): void {
    this.#claim();
    this.prepareInto(memory);
  }

  /** The bytes are assembled. Throws ASOC_TENSOR_TOO_LARGE where they may not be. */
  readWhole(): void {
    this.#claim();
    const { totalBytes = 0 } = this.description;
    const cap = this.#context.session.limits.maxTensorBytes;
    if (totalBytes > cap && !this.#memory.complete)
      throw cannotAssemble(this.#id, `${totalBytes} bytes, at most ${cap}`, cap, totalBytes);
    this.#context.changed(this);
  }

  /** The bytes are handed on as they come. */
  readChunks(): void {
    this.#claim();
    this.#memory.readChunks();
    if (this.ended) this.#memory.dropRead();
    this.#context.changed(this);
  }

  #claim(): void {
    if (this.#taken) throw new TypeError(`Cannot read stream ${this.#id}: it has a reader already`);
    this.#taken = true;
  }

  /** Nobody wants it; the session drops its memory. `byReader`: nor may anybody ask for it again. */
  discard(byReader = false): void {
    this.#memory.discard();
    this.#taken ||= byReader;
  }

  /** The whole tensor, once `ended` without `error`; the taker releases the buffer. */
  takeWhole(): Whole {
    return this.#memory.takeWhole();
  }

  /** The next bytes in order for a reader of chunks, or undefined when none are here. */
  takePiece(): Piece | undefined {
    return this.#memory.takePiece(this.ended);
  }

  /** The taker of a piece is done with it. */
  releasePiece(piece: Piece): void {
    if (this.#memory.releasePiece(piece) && !this.ended) this.#context.changed(this);
  }

  #bad(what: string): AsocError {
    return badEnd(this.#id, this.description.transferId, what);
  }
}
