/** The records of an open session (RFC-0004 to RFC-0006): each goes to the part of the session that it is about. */
import { ConnectionError } from "../errors.ts";
import { MAX_WAITING_ANSWERS } from "../limits.ts";
import { equalBytes, toHex } from "../wire/bytes.ts";
import type { AckRecord } from "../wire/records/ack.ts";
import type { RawRecord } from "../wire/records/framing.ts";
import { decodeRecord, unknownCritical, type X1Record } from "../wire/records/records.ts";
import { StreamCode } from "../wire/records/reset.ts";
import type { Arrivals } from "./arrivals.ts";
import { ackBeyondSent, leaving, stoppedBy, unexpectedRecord } from "./faults.ts";
import type { InboundTensors } from "./inbound_tensors.ts";
import type { KeyChannel } from "./key_channel.ts";
import type { Lifecycle } from "./lifecycle.ts";
import type { Outbound } from "./outbound.ts";
import { Pings } from "./pings.ts";
import type { RecordSender } from "./record_sender.ts";
import type { SessionEvents } from "./session_events.ts";
import type { SessionConfig } from "./session_types.ts";

export class RecordDispatch {
  readonly #config: SessionConfig;
  readonly #lifecycle: Lifecycle;
  readonly #outbound: Outbound;
  readonly #arrivals: Arrivals;
  readonly #sender: RecordSender;
  readonly #events: SessionEvents;
  readonly pings = new Pings();
  /** Reads KEY_NEW and KEY_ACK; undefined where they cannot be sealed. */
  keys: KeyChannel | undefined;
  /** The other side has said GOAWAY. */
  leaving = false;
  /** We have said GOAWAY and wait for a PONG: the other side knows then. */
  goawayUnheard = false;

  constructor(
    config: SessionConfig,
    lifecycle: Lifecycle,
    outbound: Outbound,
    arrivals: Arrivals,
    sender: RecordSender,
    events: SessionEvents,
  ) {
    this.#config = config;
    this.#lifecycle = lifecycle;
    this.#outbound = outbound;
    this.#arrivals = arrivals;
    this.#sender = sender;
    this.#events = events;
  }

  /** The records of a frame about `streamId`. Throws what ends the connection. */
  handle(raws: readonly RawRecord[], streamId: number): void {
    for (const raw of raws) {
      const record = decodeRecord(raw);
      if (!record) continue;
      const { tensors } = this.#arrivals;
      if (tensors && this.#handleTensorRecord(tensors, streamId, record)) continue;
      this.#handleRecord(record, raw);
    }
  }

  /** False for a record that is not about tensor streams. */
  #handleTensorRecord(tensors: InboundTensors, streamId: number, record: X1Record): boolean {
    const outbound = this.#outbound;
    const events = this.#events;
    switch (record.kind) {
      case "open":
        tensors.handleOpen(streamId, record, this.#lifecycle.nowMs);
        return true;
      case "close":
        tensors.handleClose(streamId, record);
        return true;
      case "reset":
        tensors.handleReset(streamId, record);
        return true;
      case "blocked":
        return true; // for people who look at the wire
      case "stop": {
        const stream = outbound.tensorStream(streamId);
        if (stream) outbound.refuse(stream, stoppedBy(stream, record), StreamCode.CANCELLED, events.sent);
        return true;
      }
      case "credit":
        outbound.handleCredit(streamId, record.limitBytes);
        return true;
      case "ack":
        this.#handleAck(streamId, record);
        return true;
      case "resume_query":
        events.emit({ kind: "resumeAsked", transferId: toHex(record.transferId) });
        return true;
      case "resume_answer":
        events.emit({
          kind: "resumeAnswered",
          transferId: toHex(record.transferId),
          offset: record.offset,
        });
        return true;
      case "goaway":
        this.leaving = true;
        outbound.failUnopened(leaving(record.code), events.sent);
        events.emit({ kind: "goaway", code: record.code });
        return true;
      case "tap":
      case "untap":
        events.emit({ kind: "tapAsked", record });
        return true;
      default:
        return false;
    }
  }

  #handleAck(streamId: number, { transferId, contiguousBytes, level }: AckRecord): void {
    const stream = this.#outbound.tensorStream(streamId);
    if (!stream?.tensor || !equalBytes(stream.tensor.transferId, transferId)) return; // it is settled
    const { baseOffset } = stream.tensor;
    const ackedBytes = contiguousBytes - baseOffset;
    const all = stream.promisedBytes;
    const verified = level !== "received";
    if (ackedBytes > all || (verified && stream.endSent && ackedBytes !== all))
      throw ackBeyondSent(streamId, baseOffset + all, contiguousBytes);
    this.#outbound.handleAck(stream, ackedBytes, verified, this.#events.sent);
  }

  #handleRecord(record: X1Record, raw: RawRecord): void {
    switch (record.kind) {
      case "ping":
        // Who asks and does not read gets no more answers than this; the latest ones are not worth memory.
        if (this.#outbound.waitingControl >= MAX_WAITING_ANSWERS) break;
        this.#sender.sendRecords(this.pings.answer(record, this.#config));
        break;
      case "pong":
        if (!this.pings.handlePong(record, this.#config, this.#lifecycle.nowMs)) break;
        this.goawayUnheard = false;
        this.#events.emit({ kind: "heard" });
        break;
      case "agent":
        this.#events.emit({ kind: "introduced", runtime: record.text });
        break;
      case "error":
        throw new ConnectionError("ASOC_PEER_ERROR", `The other side ended the connection: ${record.text}`, {
          details: { code: record.code, streamId: record.stream, seq: record.frameSeq },
        });
      case "key_new":
      case "key_ack":
        if (this.keys) this.#events.emit(this.keys.handle(record));
        else if (raw.critical) throw unknownCritical(raw.op);
        break;
      case "caps":
      case "proof":
        throw unexpectedRecord("a record of an open session", raw.op);
      default:
        // Laid out in RFC-0004 and not used by this side: as if it were not known.
        if (raw.critical) throw unknownCritical(raw.op);
    }
  }
}
