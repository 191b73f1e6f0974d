/**
 * AGENT (op 0x34), on stream 0: the program that speaks, for people. Said once, when both proofs have held, so that no
 * stranger learns it and no handshake grows by it. Body: text, all of it, 1 to 64 bytes of UTF-8.
 */
import { MAX_AGENT_BYTES } from "../../limits.ts";
import type { FieldReader } from "./field_reader.ts";
import type { FieldWriter } from "./field_writer.ts";

export interface AgentRecord {
  readonly kind: "agent";
  /** Such as "node 26.10.0". Nothing may depend on it. */
  readonly text: string;
}

/** Throws RangeError on a text that is empty or too long. */
export function writeAgent(record: AgentRecord, out: FieldWriter): void {
  out.text("agent", record.text, MAX_AGENT_BYTES, 1);
}

/** Throws ASOC_BAD_RECORD, or ASOC_RECORD_LIMIT on a text that is too long. */
export function readAgent(from: FieldReader): AgentRecord {
  return { kind: "agent", text: from.restText("agent", MAX_AGENT_BYTES, 1) };
}
