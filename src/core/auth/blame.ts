/** Which faults of a handshake count against the address that they come from (RFC-0001, Abuse). */
import type { AsocError } from "../errors.ts";

const BLAMED = new Set([
  "ASOC_WRONG_KEY",
  "ASOC_BAD_HANDSHAKE",
  "ASOC_BAD_VERSION",
  "ASOC_REPLAYED_HELLO",
  "ASOC_HANDSHAKE_TIMEOUT",
  "ASOC_TRUNCATED_FRAME",
  "ASOC_WRONG_COMMUNITY",
  "ASOC_BAD_PROOF",
  "ASOC_DOWNGRADE",
  "ASOC_BAD_PUBLIC_KEY",
  "ASOC_BAD_RECORD",
  "ASOC_UNEXPECTED_RECORD",
  "ASOC_UNKNOWN_CRITICAL_RECORD",
  "ASOC_RECORD_LIMIT",
  "ASOC_FRAME_TOO_LARGE",
  "ASOC_TLS_MISMATCH",
  "ASOC_TLS_VERSION",
  "ASOC_TLS_NO_CERTIFICATE",
  "ASOC_TLS_UNTRUSTED",
  "ASOC_TLS_EXPIRED",
  "ASOC_WRONG_IDENTITY",
]);

/** What a network that fails in the middle of a handshake makes of an honest one. */
const ACCIDENTS = new Set(["ASOC_HANDSHAKE_TIMEOUT", "ASOC_TRUNCATED_FRAME"]);

/** Not held against an address that had a session lately: its slots and attempts are bounded all the same. */
export function isAccident(error: AsocError | undefined): boolean {
  return error !== undefined && ACCIDENTS.has(error.code);
}

/** A connection that said nothing may be a health check, and one that was cut an accident. */
export function isBlamed(error: AsocError | undefined): boolean {
  return error !== undefined && BLAMED.has(error.code);
}
