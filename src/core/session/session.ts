/**
 * ONE connection, sans-IO: streams, keepalive and deadlines of RFC-0001, and the records of RFC-0004 once the
 * handshake (`handshake.ts`) has shown that both sides speak x1.
 *
 * No sockets, no clock, no timers: bytes and times come in through `handle*`, wishes
 * through commands, and all that results is polled: `pollTransmit`, then `pollEvent`
 * until undefined, then `pollDeadline`. After `closed` only the fates of streams still come out.
 *
 * Whoever drives it calls, after each `handle*` or command: pollTransmit → write,
 * pollEvent, pollDeadline, and pauses the connection while `stalled`.
 *
 * What comes goes through `frame_intake.ts` to `arrivals.ts` and `record_dispatch.ts`; what goes, through `outbound.ts` and
 * `record_sender.ts`. When the connection ends, and how, is decided in `ending.ts`.
 */
import { AsocError } from "../errors.ts";
import { CHUNK_BYTES, KiB, MIN_STREAM_IDS } from "../limits.ts";
import type { TensorMemory } from "../tensor/memory_account.ts";
import { FrameReader } from "../wire/frame_reader.ts";
import { FrameType } from "../wire/header.ts";
import { Capability, type CapsRecord } from "../wire/records/caps.ts";
import { GoawayCode } from "../wire/records/goaway.ts";
import type { KeyRecord } from "../wire/records/key.ts";
import { StreamCode } from "../wire/records/reset.ts";
import type { TapRecord, UntapRecord } from "../wire/records/tap.ts";
import { Arrivals } from "./arrivals.ts";
import { ControlFrames } from "./control_frames.ts";
import { Deadlines } from "./deadlines.ts";
import { Ending } from "./ending.ts";
import { cannotOpen, givenUp, peerFull, takesNone, timedOut, tooLate } from "./faults.ts";
import { FrameIntake, type FramePlace } from "./frame_intake.ts";
import { Handshake } from "./handshake.ts";
import type { ByteQuota } from "./inbound_context.ts";
import { InboundTensor } from "./inbound_tensor.ts";
import type { InboundTensors } from "./inbound_tensors.ts";
import { KeyChannel } from "./key_channel.ts";
import { Lifecycle } from "./lifecycle.ts";
import { Outbound, type OutboundStream, type TensorSending } from "./outbound.ts";
import { RecordDispatch } from "./record_dispatch.ts";
import { RecordSender } from "./record_sender.ts";
import { SessionEvents } from "./session_events.ts";
import type { ArrivingStream, SessionConfig, SessionCounters, SessionEvent } from "./session_types.ts";
import { type State, stateName } from "./transitions.ts";

/** Where bytes go that nobody reads: the session is closed. */
const TRASH = new Uint8Array(16 * KiB);

export class Session {
  readonly #config: SessionConfig;
  readonly #lifecycle: Lifecycle;
  readonly #events = new SessionEvents();
  readonly #control = new ControlFrames();
  readonly #outbound: Outbound;
  readonly #sender: RecordSender;
  readonly #arrivals: Arrivals;
  readonly #records: RecordDispatch;
  readonly #intake: FrameIntake;
  readonly #reader: FrameReader;
  readonly #deadlines: Deadlines;
  readonly #handshake: Handshake;
  readonly #ending: Ending;
  #finPending = false;

  constructor(config: SessionConfig, nowMs: number) {
    const { role, limits, x1 } = config;
    const lifecycle = new Lifecycle(role, nowMs);
    const { firstStreamId = role === "dialler" ? 1 : 2 } = config;
    const outbound = new Outbound(firstStreamId, () => this.#control.number());
    const sender = new RecordSender(x1 !== undefined, lifecycle, outbound);
    const arrivals = new Arrivals(config, sender, this.#events);
    const records = new RecordDispatch(config, lifecycle, outbound, arrivals, sender, this.#events);
    const handshake = new Handshake(config, (type, payload) => sender.send(type, payload));
    this.#handshake = handshake;
    this.#config = config;
    this.#lifecycle = lifecycle;
    this.#outbound = outbound;
    this.#sender = sender;
    this.#arrivals = arrivals;
    this.#records = records;
    this.#intake = new FrameIntake(config, lifecycle, handshake, this.#control, arrivals, records, {
      opened: (nodeId, peer) => this.#opened(nodeId, peer),
    });
    this.#reader = new FrameReader(this.#intake);
    this.#deadlines = new Deadlines(limits, lifecycle, this.#intake, arrivals, outbound);
    this.#ending = new Ending({
      config,
      lifecycle,
      events: this.#events,
      control: this.#control,
      outbound,
      sender,
      arrivals,
      records,
      intake: this.#intake,
      deadlines: this.#deadlines,
    });
  }

  // --- what it is now

  get state(): State {
    return this.#lifecycle.state;
  }
  get open(): boolean {
    return this.#lifecycle.open;
  }
  get closed(): boolean {
    return this.#lifecycle.closed;
  }
  /** What the other side said in CAPS; undefined before its proof, and for a v0.1 peer. */
  get peer(): CapsRecord | undefined {
    return this.#intake.peer;
  }
  /** The key that this connection rests on; an acceptor's is a guess until HELLO has come. */
  get key(): Uint8Array {
    return this.#handshake.key;
  }
  /** The keys that this connection may need yet. */
  get keys(): readonly Uint8Array[] {
    return this.#handshake.keys;
  }
  /** What KEY_NEW and KEY_ACK go through; undefined before both proofs, and without a key exchange. */
  get keyChannel(): KeyChannel | undefined {
    return this.#records.keys;
  }
  /** Round trip of the last PING that was answered, in ms. */
  get roundTripMs(): number | undefined {
    return this.#records.pings.roundTripMs;
  }
  /** How far the other side's wall clock is ahead of ours, in ms, as of the last PING. */
  get clockSkewMs(): number | undefined {
    return this.#records.pings.clockSkewMs;
  }
  /** One frame to send before the connection is cut: why. */
  get lastWords(): Uint8Array | undefined {
    return this.#ending.lastWords;
  }
  /** Nothing should be read: memory is used up, or a reader is behind. */
  get stalled(): boolean {
    return this.#reader.stalled;
  }
  /** Nothing to tell, to send or to wait for has come of the last read: most reads are in the middle of a payload. */
  get quiet(): boolean {
    return this.#events.empty && !this.#reader.stalled && !this.#outbound.waiting;
  }
  /** Streams are those of RFC-0005. */
  get tensors(): boolean {
    return this.#arrivals.tensors !== undefined;
  }
  /** The other side wants no new streams. */
  get leaving(): boolean {
    return this.#records.leaving;
  }
  /** Ids for further streams run out: another connection has to take its place. */
  get wornOut(): boolean {
    return this.tensors && this.#outbound.idsLeft < MIN_STREAM_IDS;
  }
  /** Readers have done something that `handleRoom` carries out. */
  get wantsRoom(): boolean {
    return this.#reader.stalled || this.#arrivals.tensors?.dirty === true;
  }
  /** `handleMemory` wants to be called when memory was released. */
  get wantsMemory(): boolean {
    return this.#reader.stalled || this.#arrivals.tensors?.wantsMemory === true;
  }
  /** When bytes last came. */
  get lastReadMs(): number {
    return this.#deadlines.lastReadMs;
  }
  /** Frames whose headers have come. */
  get framesIn(): number {
    return this.#intake.frames;
  }
  /** Payload bytes that have come. */
  get payloadBytesIn(): number {
    return this.#arrivals.streams.payloadBytes;
  }
  get outboundStreams(): number {
    return this.#outbound.openStreams;
  }
  get inboundStreams(): number {
    return this.#arrivals.openStreams;
  }
  get counters(): SessionCounters {
    const { frames, payloadBytes, coalescedBytes } = this.#outbound.counters;
    return {
      framesIn: this.framesIn,
      framesOut: frames,
      payloadBytesIn: this.payloadBytesIn,
      payloadBytesOut: payloadBytes,
      unknownFrames: this.#intake.unknownFrames,
      controlFrames: this.#intake.controlFrames,
      copiedBytes: this.#reader.copiedBytes,
      grownBytes: this.#arrivals.grownBytes,
      coalescedBytes,
      creditStalls: this.#outbound.creditStalls,
    };
  }

  // --- inputs

  /** See `Sink.next`. */
  readTarget(): Uint8Array {
    if (this.closed) return TRASH;
    try {
      return this.#reader.next();
    } catch (error) {
      this.#readFailed(error, this.#intake.frame);
      return TRASH;
    }
  }

  handleCommit(byteCount: number, nowMs: number): void {
    if (!this.#beginRead(nowMs)) return;
    try {
      this.#reader.commit(byteCount);
    } catch (error) {
      this.#readFailed(error, this.#intake.frame);
      return;
    }
    this.#endRead(nowMs);
  }

  handlePart(part: Uint8Array, nowMs: number): void {
    if (!this.#beginRead(nowMs)) return;
    try {
      this.#reader.push(part);
    } catch (error) {
      this.#readFailed(error, this.#intake.frame);
      return;
    }
    this.#endRead(nowMs);
  }

  /** Memory was released. */
  handleMemory(nowMs: number): void {
    this.#arrivals.tensors?.wake();
    this.handleRoom(nowMs);
  }

  /** There may be room again. */
  handleRoom(nowMs: number): void {
    this.#lifecycle.nowMs = nowMs;
    this.#flush();
    if (!this.#reader.stalled || !this.#beginRead(nowMs)) return;
    const before = this.#readSoFar;
    try {
      this.#reader.retry();
    } catch (error) {
      this.#readFailed(error, this.#intake.frame);
      return;
    }
    if (this.#readSoFar > before) this.#arrivals.pause.handleRoom(nowMs);
    this.#endRead(nowMs);
    if (this.#finPending && !this.#reader.stalled) this.handleFin(nowMs);
  }

  /** Frames and payload bytes: it grows with whatever a read has brought. */
  get #readSoFar(): number {
    return this.#intake.frames + this.#arrivals.streams.payloadBytes;
  }

  /** The peer's FIN; the socket has let go of its buffer. */
  handleFin(nowMs: number): void {
    this.#lifecycle.nowMs = nowMs;
    if (this.closed) {
      this.#ending.letGo(); // it has read why it was cut, and closes
      return;
    }
    this.#finPending = this.#reader.stalled;
    if (this.#finPending) return; // what was spilled comes first
    if (this.#intake.mayFallBack && this.#reader.atBoundary) this.#intake.fallBack();
    this.#ending.handleFin(this.#reader.atBoundary);
  }

  /** The connection is gone; the socket has let go of its buffer. */
  handleLost(cause: unknown, nowMs: number): void {
    this.#lifecycle.nowMs = nowMs;
    this.#ending.handleLost(cause);
  }

  /** The batch that pollTransmit gave is in the kernel. */
  handleWritten(nowMs: number): void {
    this.#lifecycle.nowMs = nowMs;
    this.#outbound.handleWritten(nowMs, this.#events.sent);
    if (this.closed) return;
    this.#checkDrained();
  }

  /** Some of the batch that is being written has gone to the system: the send does not stand still. */
  handleProgress(nowMs: number): void {
    this.#outbound.handleProgress(nowMs);
  }

  handleTimeout(nowMs: number): void {
    this.#lifecycle.nowMs = nowMs;
    if (this.closed) return;
    const deadline = this.#deadlines.passed(nowMs);
    switch (deadline) {
      case "handshake":
      case "sendStall":
      case "silence":
      case "linger":
        this.#ending.fail(timedOut(deadline, this.state, this.#config.limits));
        break;
      case "reader":
        this.#ending.fail(this.#arrivals.tooSlow());
        break;
      case "streams":
        this.#outbound.handleTimeout(nowMs, (stream) =>
          this.#outbound.refuse(stream, tooLate(stream), StreamCode.DEADLINE, this.#events.sent),
        );
        this.#withTensors((tensors) => tensors.handleTimeout(nowMs));
        break;
      case "caps":
        this.#intake.handleNoCaps();
        break;
      case "sendLook":
        this.#deadlines.lastLookMs = nowMs;
        break;
      case "keepalive":
        if (this.peer) this.probe(nowMs);
        else {
          this.#deadlines.lastSentMs = nowMs;
          this.#sender.send(FrameType.CONTROL, new Uint8Array(0));
        }
    }
  }

  // --- commands

  /**
   * A new stream to the peer; where streams are tensor streams, `tensor` says what it carries. Throws ASOC_CLOSED unless
   * open, ASOC_TOO_MANY_STREAMS, ASOC_STOPPED where the peer takes none at all.
   */
  openStream(chunkBytes?: number, tensor?: TensorSending): OutboundStream {
    if (!this.open || this.leaving)
      throw cannotOpen(this.leaving ? "left by the other side (GOAWAY)" : stateName(this.state));
    const peer = this.peer;
    if (peer?.maxStreams === 0) throw takesNone();
    if (peer && this.outboundStreams >= peer.maxStreams) throw peerFull(peer.maxStreams);
    const mostBytes = peer?.maxFrameBytes ?? Number.POSITIVE_INFINITY;
    return this.#outbound.open(Math.min(chunkBytes ?? CHUNK_BYTES, mostBytes), tensor);
  }

  write(stream: OutboundStream, bytes: Uint8Array): void {
    if (!stream.done) this.#outbound.write(stream, bytes);
  }

  endStream(stream: OutboundStream): void {
    this.#outbound.end(stream);
  }

  abandonStream(stream: OutboundStream): void {
    // CLOSE and END are out: it may come whole all the same, but nobody here waits for that any more.
    if (stream.tensor && stream.endSent)
      this.#outbound.refuse(stream, givenUp(stream), StreamCode.CANCELLED, this.#events.sent);
    else this.#outbound.abandon(stream, this.#events.sent);
    this.#checkDrained();
  }

  /** An arriving stream that nobody wants any more: x1 tells its sender, with `reason`. */
  giveUp(stream: ArrivingStream, reason: string): void {
    if (stream instanceof InboundTensor) this.#withTensors((tensors) => tensors.cancel(stream, reason));
    else stream.discard();
  }

  /** An arriving stream that cannot be taken: its sender, and its reader, get `error`. For streams of x1. */
  refuse(stream: InboundTensor, error: AsocError): void {
    this.#withTensors((tensors) => tensors.refuse(stream, error));
  }

  /** RESUME?: how much of a transfer that broke does the other side have? */
  askResume(transferId: Uint8Array): void {
    this.#sender.sendRecords({ kind: "resume_query", transferId });
  }

  /** RESUME!: so much is here; undefined: it was delivered. */
  answerResume(transferId: Uint8Array, offset: number | undefined): void {
    // Who asks and does not read is cut off.
    this.#withTensors(() => this.#sender.say(0, { kind: "resume_answer", transferId, offset }));
  }

  /** PING: a `heard` event follows its answer. Only for a peer that speaks x1. */
  probe(nowMs: number): void {
    this.#deadlines.lastSentMs = nowMs;
    this.#sender.sendRecords(this.#records.pings.ping(this.#config, nowMs));
  }

  /** AGENT: once, and only for a peer that speaks x1. */
  introduce(text: string): void {
    this.#sender.sendRecords({ kind: "agent", text });
  }

  /** TAP or UNTAP. */
  ask(record: TapRecord | UntapRecord): void {
    this.#sender.sendRecords(record);
  }

  /** Where tensors lie from now on: the account of the peer, known when the session opens. */
  useMemory(memory: TensorMemory): void {
    this.#arrivals.useMemory(memory);
  }

  /** What the other side may send in all; undefined: as much as it likes. */
  useQuota(quota: ByteQuota | undefined): void {
    this.#arrivals.useQuota(quota);
  }

  /** Whether this connection is one that keepalives must hold. */
  setKeepalive(on: boolean): void {
    this.#deadlines.keepalive = on;
  }

  /**
   * Closes when all streams under way are done; `code` of `GoawayCode` tells a peer of x1 why, `drainMs` how long whoever
   * calls this will wait for that. 0: as long as it takes.
   */
  close(nowMs: number, code: number = GoawayCode.SHUTDOWN, drainMs = 0): void {
    this.#lifecycle.nowMs = nowMs;
    this.#ending.close(code, drainMs);
  }

  /** Ends it at once with `error`. */
  abort(error: AsocError, nowMs: number): void {
    this.#lifecycle.nowMs = nowMs;
    if (!this.closed) this.#ending.fail(error);
  }

  // --- outputs

  /** The next batch of parts, in order, or false. The parts stay untouched until `handleWritten`. */
  pollTransmit(parts: Uint8Array[], nowMs: number): boolean {
    this.#lifecycle.nowMs = nowMs;
    if (this.closed && this.#ending.error) return false;
    const any = this.#outbound.pollTransmit(parts, nowMs);
    if (any) this.#deadlines.lastSentMs = nowMs;
    return any;
  }

  pollEvent(): SessionEvent | undefined {
    return this.#events.poll();
  }

  /** When `handleTimeout` wants to be called next; undefined: never. Called after every read: it allocates nothing. */
  pollDeadline(): number | undefined {
    if (this.closed) return undefined;
    const { earliestMs } = this.#deadlines;
    return earliestMs === Number.POSITIVE_INFINITY ? undefined : earliestMs;
  }

  // --- inside

  #opened(nodeId: Uint8Array | undefined, peer: CapsRecord | undefined): void {
    const { rotationKeys } = this.#handshake;
    if (rotationKeys) {
      const send = (record: KeyRecord) => this.#sender.say(0, record);
      this.#records.keys = new KeyChannel(rotationKeys, this.#config.crypto, send);
    }
    if (peer && this.#config.x1?.tensors && (peer.capabilities & Capability.TENSORS) !== 0) {
      this.#outbound.useCredit(peer.initialCreditBytes);
      this.#arrivals.useTensors(peer);
    }
    this.#events.emit({ kind: "open", nodeId, caps: peer });
  }

  /** Runs what may find that the connection has to end. */
  #withTensors(run: (tensors: InboundTensors) => void): void {
    const { tensors } = this.#arrivals;
    if (!tensors || this.closed) return;
    try {
      run(tensors);
    } catch (error) {
      this.#readFailed(error);
    }
  }

  /** As `#withTensors`, and nothing is made for it: it follows every read. */
  #flush(): void {
    const { tensors } = this.#arrivals;
    if (!tensors || this.closed) return;
    try {
      tensors.flush(this.#lifecycle.nowMs);
    } catch (error) {
      this.#readFailed(error);
    }
  }

  #beginRead(nowMs: number): boolean {
    this.#lifecycle.nowMs = nowMs;
    this.#deadlines.lastReadMs = nowMs;
    return !this.closed;
  }

  #readFailed(error: unknown, frame?: FramePlace): void {
    if (!(error instanceof AsocError)) throw error;
    this.#ending.fail(error, frame);
  }

  #endRead(nowMs: number): void {
    this.#arrivals.pause.note(this.#reader.stalled, nowMs);
    this.#flush();
    this.#checkDrained();
  }

  #checkDrained(): void {
    if (this.#lifecycle.draining) this.#ending.checkDrained();
  }
}
