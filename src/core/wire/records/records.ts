/**
 * CONTROL payloads to records and back (extension x1). One file beside this one for each family of records says what
 * its fields are; `framing.ts` says how they lie behind each other.
 *
 * Records that this side knows are written without the critical flag: every version of the extension knows them.
 */
import { ProtocolError } from "../../errors.ts";
import { MAX_CONTROL_BYTES } from "../../limits.ts";
import { type AckRecord, readAck, writeAck } from "./ack.ts";
import { type AgentRecord, readAgent, writeAgent } from "./agent.ts";
import { type CapsRecord, readCaps, writeCaps } from "./caps.ts";
import { type CloseRecord, readClose, writeClose } from "./close.ts";
import { type CreditRecord, readCredit, writeCredit } from "./credit.ts";
import { type ErrorRecord, readError, writeError } from "./error.ts";
import { FieldReader } from "./field_reader.ts";
import { FieldWriter } from "./field_writer.ts";
import { type RawRecord, splitRecords, writeRecord } from "./framing.ts";
import { type GoawayRecord, readGoaway, writeGoaway } from "./goaway.ts";
import { type KeyRecord, readKey, writeKey } from "./key.ts";
import { type OpenRecord, readOpen, writeOpen } from "./open.ts";
import { opName, RecordOp } from "./ops.ts";
import { type PingRecord, readPing, writePing } from "./ping.ts";
import { type ProofRecord, readProof, writeProof } from "./proof.ts";
import { type ResetRecord, readReset, writeReset } from "./reset.ts";
import {
  type ResumeAnswerRecord,
  type ResumeQueryRecord,
  readResumeAnswer,
  readResumeQuery,
  writeResumeAnswer,
  writeResumeQuery,
} from "./resume.ts";
import { readTap, readUntap, type TapRecord, type UntapRecord, writeTap, writeUntap } from "./tap.ts";

/** Every record of the extension; `kind` tells which. Those that were decoded own their memory. */
export type X1Record =
  | CapsRecord
  | ProofRecord
  | OpenRecord
  | CloseRecord
  | ResetRecord
  | CreditRecord
  | AckRecord
  | ResumeQueryRecord
  | ResumeAnswerRecord
  | PingRecord
  | GoawayRecord
  | ErrorRecord
  | AgentRecord
  | KeyRecord
  | TapRecord
  | UntapRecord;

const OPS: { readonly [Kind in X1Record["kind"]]: number } = {
  caps: RecordOp.CAPS,
  proof: RecordOp.PROOF,
  open: RecordOp.OPEN,
  close: RecordOp.CLOSE,
  reset: RecordOp.RESET,
  stop: RecordOp.STOP,
  credit: RecordOp.CREDIT,
  blocked: RecordOp.BLOCKED,
  ack: RecordOp.ACK,
  resume_query: RecordOp.RESUME_QUERY,
  resume_answer: RecordOp.RESUME_ANSWER,
  ping: RecordOp.PING,
  pong: RecordOp.PONG,
  goaway: RecordOp.GOAWAY,
  error: RecordOp.ERROR,
  agent: RecordOp.AGENT,
  key_new: RecordOp.KEY_NEW,
  key_ack: RecordOp.KEY_ACK,
  tap: RecordOp.TAP,
  untap: RecordOp.UNTAP,
};

/** Records are written here first, since only then their length is known. Nothing is kept in it between calls. */
const scratch = new Uint8Array(MAX_CONTROL_BYTES);

/**
 * The records of a CONTROL payload in their order; ops that are not known are left out. Throws what `splitRecords`
 * throws, ASOC_UNKNOWN_CRITICAL_RECORD, ASOC_BAD_RECORD and ASOC_RECORD_LIMIT; then none of the payload counts.
 */
export function decodeRecords(payload: Uint8Array): X1Record[] {
  const records: X1Record[] = [];
  for (const raw of splitRecords(payload)) {
    const record = decodeRecord(raw);
    if (record) records.push(record);
  }
  return records;
}

/** One record; undefined for an op that is not known and not critical. Throws as `decodeRecords` does. */
export function decodeRecord(raw: RawRecord): X1Record | undefined {
  const from = new FieldReader(raw.body, opName(raw.op));
  switch (raw.op) {
    case RecordOp.CAPS:
      return readCaps(from);
    case RecordOp.PROOF:
      return readProof(from);
    case RecordOp.OPEN:
      return readOpen(from);
    case RecordOp.CLOSE:
      return readClose(from);
    case RecordOp.RESET:
      return readReset("reset", from);
    case RecordOp.STOP:
      return readReset("stop", from);
    case RecordOp.CREDIT:
      return readCredit("credit", from);
    case RecordOp.BLOCKED:
      return readCredit("blocked", from);
    case RecordOp.ACK:
      return readAck(from);
    case RecordOp.RESUME_QUERY:
      return readResumeQuery(from);
    case RecordOp.RESUME_ANSWER:
      return readResumeAnswer(from);
    case RecordOp.PING:
      return readPing("ping", from);
    case RecordOp.PONG:
      return readPing("pong", from);
    case RecordOp.GOAWAY:
      return readGoaway(from);
    case RecordOp.ERROR:
      return readError(from);
    case RecordOp.AGENT:
      return readAgent(from);
    case RecordOp.KEY_NEW:
      return readKey("key_new", from);
    case RecordOp.KEY_ACK:
      return readKey("key_ack", from);
    case RecordOp.TAP:
      return readTap(from);
    case RecordOp.UNTAP:
      return readUntap(from);
    default:
      if (!raw.critical) return undefined;
      throw unknownCritical(raw.op);
  }
}

/** What a critical record meets whose op is not known, or not used, here. */
export function unknownCritical(op: number): ProtocolError {
  return new ProtocolError(
    "ASOC_UNKNOWN_CRITICAL_RECORD",
    `Cannot read CONTROL: expected a known op in a critical record, got ${opName(op)}`,
    { details: { expected: "a known op", got: op } },
  );
}

/** One record from op to the end of its body, in fresh memory. Throws RangeError on a field out of its range. */
export function encodeRecord(record: X1Record): Uint8Array {
  return encodeControl([record]);
}

/** The payload of one CONTROL frame, in fresh memory. Throws RangeError over 16 KiB and as `encodeRecord` does. */
export function encodeControl(records: readonly X1Record[]): Uint8Array {
  return scratch.slice(0, encodeControlInto(records, scratch));
}

/**
 * The same into the start of the caller's memory; returns how many bytes it wrote. Throws RangeError also where `into`
 * is too small; what it holds is then of no use.
 */
export function encodeControlInto(records: readonly X1Record[], into: Uint8Array): number {
  const room = into.length > MAX_CONTROL_BYTES ? into.subarray(0, MAX_CONTROL_BYTES) : into;
  const out = new FieldWriter(room, "CONTROL");
  for (const record of records) writeRecord(out, OPS[record.kind], false, () => writeBody(record, out));
  return out.length;
}

function writeBody(record: X1Record, out: FieldWriter): void {
  switch (record.kind) {
    case "caps":
      writeCaps(record, out);
      break;
    case "proof":
      writeProof(record, out);
      break;
    case "open":
      writeOpen(record, out);
      break;
    case "close":
      writeClose(record, out);
      break;
    case "reset":
    case "stop":
      writeReset(record, out);
      break;
    case "credit":
    case "blocked":
      writeCredit(record, out);
      break;
    case "ack":
      writeAck(record, out);
      break;
    case "resume_query":
      writeResumeQuery(record, out);
      break;
    case "resume_answer":
      writeResumeAnswer(record, out);
      break;
    case "ping":
    case "pong":
      writePing(record, out);
      break;
    case "goaway":
      writeGoaway(record, out);
      break;
    case "error":
      writeError(record, out);
      break;
    case "agent":
      writeAgent(record, out);
      break;
    case "key_new":
    case "key_ack":
      writeKey(record, out);
      break;
    case "tap":
      writeTap(record, out);
      break;
    case "untap":
      writeUntap(record, out);
      break;
    default:
      record satisfies never;
  }
}
