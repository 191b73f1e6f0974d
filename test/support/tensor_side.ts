/** One side of a `TensorPair`: its session, what came out of it, and what is on its way to it. */
import { DEFAULT_LIMITS, type Limits, type Timing } from "../../src/core/limits.ts";
import { type SendOptions, SendPlan } from "../../src/core/send_plan.ts";
import { InboundTensor } from "../../src/core/session/inbound_tensor.ts";
import type { OutboundStream } from "../../src/core/session/outbound.ts";
import { Session } from "../../src/core/session/session.ts";
import type { SessionEvent } from "../../src/core/session/session_types.ts";
import type { TransferBook } from "../../src/core/session/transfer_book.ts";
import { BufferPool } from "../../src/core/tensor/buffer_pool.ts";
import { describeSource, type TensorSource } from "../../src/core/tensor/source.ts";
import { decodeHeader, FrameType, HEADER_BYTES } from "../../src/core/wire/header.ts";
import { decodeRecords, encodeControl, type X1Record } from "../../src/core/wire/records/records.ts";
import { testCrypto } from "./core_crypto.ts";
import { ACCEPTOR_ID, DIALLER_ID, frame, joinBytes, KEY } from "./core_frames.ts";

export interface TensorSideOptions {
  readonly limits?: Partial<Limits & Timing>;
  readonly pools?: { readonly dialler?: BufferPool; readonly acceptor?: BufferPool };
  readonly bootEpoch?: number;
  readonly firstStreamIds?: { readonly dialler?: number; readonly acceptor?: number };
  readonly takesTensors?: { readonly dialler?: boolean; readonly acceptor?: boolean };
  readonly books?: { readonly dialler?: TransferBook; readonly acceptor?: TransferBook };
}

export interface SentFrame {
  readonly type: number;
  readonly streamId: number;
  readonly seq: number;
  readonly payloadBytes: number;
  readonly records: readonly X1Record[];
  readonly atMs: number;
}

export interface Arrived {
  readonly stream: InboundTensor;
  readonly bytes: Uint8Array;
}

let seeds = 0;

export class TensorSide {
  readonly session: Session;
  readonly pool: BufferPool;
  readonly events: SessionEvent[] = [];
  readonly arrived: Arrived[] = [];
  readonly streams: InboundTensor[] = [];
  /** What it wrote after the handshake, whether that arrived or not. */
  readonly frames: SentFrame[] = [];
  /** Reads what arrives; another one may do so in another way, or later. */
  onStream: (stream: InboundTensor) => void = (stream) => stream.readWhole();
  onReadable: (stream: InboundTensor) => void = (stream) => this.take(stream);
  /** Called at every event, before those above. */
  onEvent: (event: SessionEvent) => void = () => {};
  /** What it writes is lost. */
  mute = false;
  /** Its writes are not done. */
  blocked = false;
  /** @internal */ readonly inbox: { readonly atMs: number; readonly bytes: Uint8Array }[] = [];
  /** @internal */ writing: { readonly parts: readonly Uint8Array[]; doneMs: number } | undefined;
  /** @internal */ over = false;
  readonly #unparsed: Uint8Array[] = [];
  readonly #limits: Limits & Timing;
  #forget: (() => void) | undefined;
  #freed = false;
  #controls = 0;

  constructor(role: "dialler" | "acceptor", options: TensorSideOptions, nowMs: number) {
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.pool = options.pools?.[role] ?? new BufferPool(this.#limits);
    const book = options.books?.[role];
    const firstStreamId = options.firstStreamIds?.[role];
    this.session = new Session(
      {
        role,
        nodeId: role === "dialler" ? DIALLER_ID : ACCEPTOR_ID,
        key: KEY,
        challenge: 7,
        limits: this.#limits,
        crypto: testCrypto(++seeds),
        pool: this.pool,
        x1: {
          communityHash: new Uint8Array(8),
          bootEpoch: options.bootEpoch ?? 1,
          tensors: true,
          takesTensors: options.takesTensors?.[role] ?? true,
        },
        ...(book ? { bookOf: () => book } : {}),
        ...(firstStreamId === undefined ? {} : { firstStreamId }),
      },
      nowMs,
    );
  }

  /** Opens a stream for `source`, and writes all of it if it is memory. */
  send(source: TensorSource, options: SendOptions = {}, nowMs = 1000, baseOffset = 0): OutboundStream {
    const plan = new SendPlan(describeSource(source), options, testCrypto(++seeds), nowMs);
    return this.sendPlan(plan, baseOffset, nowMs, options.chunkBytes);
  }

  /** The same for what has been planned, from `baseOffset` on. */
  sendPlan(plan: SendPlan, baseOffset = 0, nowMs = 1000, chunkBytes?: number): OutboundStream {
    const stream = this.session.openStream(chunkBytes, plan.at(baseOffset, nowMs));
    const { memory } = plan.described;
    if (!memory) return stream;
    plan.digest.update(memory.subarray(0, baseOffset), 0);
    this.session.write(stream, memory.subarray(baseOffset));
    this.session.endStream(stream);
    return stream;
  }

  take(stream: InboundTensor): void {
    if (!stream.ended || stream.error || stream.discarded) return;
    const whole = stream.takeWhole();
    this.arrived.push({ stream, bytes: whole.bytes.slice() });
    whole.buffer?.release();
  }

  failures(): string[] {
    return this.events.flatMap((event) =>
      event.kind === "streamFailed" ? [`${event.streamId} ${event.error.code}`] : [],
    );
  }
  closedWith(): string | undefined {
    for (const event of this.events) if (event.kind === "closed") return event.error?.code ?? "clean";
    return undefined;
  }
  /** Records of one kind that it wrote, with their stream. */
  said<K extends X1Record["kind"]>(kind: K): (X1Record & { kind: K; streamId: number })[] {
    return this.frames.flatMap(({ streamId, records }) =>
      records.flatMap((record) => (record.kind === kind ? [{ ...record, streamId }] : [])),
    ) as (X1Record & { kind: K; streamId: number })[];
  }
  dataFrames(streamId?: number): SentFrame[] {
    return this.frames.filter(
      (one) => one.type === FrameType.DATA && (streamId === undefined || one.streamId === streamId),
    );
  }

  /** A CONTROL frame as this side, silenced, would write it next. */
  control(streamId: number, ...records: readonly X1Record[]): Uint8Array {
    return frame(FrameType.CONTROL, streamId, this.#controls++, encodeControl(records));
  }

  /** @internal What it wrote, cut into frames; HELLO and ACCEPT are left out. */
  note(bytes: Uint8Array, atMs: number): void {
    this.#unparsed.push(bytes);
    let all = joinBytes(...this.#unparsed);
    this.#unparsed.length = 0;
    const header = { type: 0, streamId: 0, seq: 0, payloadBytes: 0 };
    while (all.length >= HEADER_BYTES) {
      decodeHeader(all, 0, header);
      const length = HEADER_BYTES + header.payloadBytes;
      if (all.length < length) break;
      const isControl = header.type === FrameType.CONTROL;
      if (isControl && !this.mute) this.#controls++;
      const records = isControl ? decodeRecords(all.subarray(HEADER_BYTES, length)) : [];
      if (header.type <= FrameType.CONTROL) this.frames.push({ ...header, records, atMs });
      all = all.subarray(length);
    }
    this.#unparsed.push(all);
  }

  /** @internal */
  hear(): boolean {
    let any = false;
    for (let event = this.session.pollEvent(); event; event = this.session.pollEvent()) {
      any = true;
      this.events.push(event);
      this.onEvent(event);
      if ((event.kind === "stream" || event.kind === "readable") && !(event.stream instanceof InboundTensor))
        throw new Error("a stream of v1");
      if (event.kind === "stream") {
        this.streams.push(event.stream as InboundTensor);
        this.onStream(event.stream as InboundTensor);
      } else if (event.kind === "readable") this.onReadable(event.stream as InboundTensor);
    }
    return any;
  }

  /** @internal What a driver does when a reader or the pool has made room. */
  tend(nowMs: number): boolean {
    const { session } = this;
    if (session.closed) return false;
    if (this.#freed) {
      this.#freed = false;
      session.handleMemory(nowMs);
      return true;
    }
    if (session.wantsMemory) {
      this.#forget ??= this.pool.whenFreed(() => {
        this.#forget = undefined;
        this.#freed = true;
      });
    }
    if (!session.wantsRoom) return false;
    session.handleRoom(nowMs);
    return true;
  }
}
