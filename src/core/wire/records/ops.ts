/**
 * The ops of CONTROL records (extension x1). They are written in hexadecimal everywhere: OPEN is 0x10, not ten.
 * Every other value is unassigned: skipped, or refused where its record says that it is critical.
 */
export const RecordOp = {
  CAPS: 0x01,
  PROOF: 0x02,
  OPEN: 0x10,
  CLOSE: 0x11,
  RESET: 0x12,
  STOP: 0x13,
  CREDIT: 0x20,
  BLOCKED: 0x21,
  ACK: 0x22,
  RESUME_QUERY: 0x23,
  RESUME_ANSWER: 0x24,
  PING: 0x30,
  PONG: 0x31,
  GOAWAY: 0x32,
  ERROR: 0x33,
  AGENT: 0x34,
  KEY_NEW: 0x40,
  KEY_ACK: 0x41,
  TAP: 0x50,
  UNTAP: 0x51,
} as const;

const NAMES: ReadonlyMap<number, string> = new Map(Object.entries(RecordOp).map(([name, op]) => [op, name]));

/** Name of an op for messages. */
export function opName(op: number): string {
  return NAMES.get(op) ?? `op 0x${op.toString(16).padStart(2, "0")}`;
}
