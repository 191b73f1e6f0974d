/**
 * The 14-byte frame header (RFC-0001, Frames).
 *
 * `version u8 | type u8 | stream_id u32 | seq u32 | payload_len u32`, big-endian.
 * This file knows the layout and the version; what a type may do, and when,
 * is the session's business.
 */
import { ProtocolError } from "../errors.ts";

export const HEADER_BYTES = 14;
export const WIRE_VERSION = 1;

/** Frame types of wire v1; every other value is reserved and skipped. */
export const FrameType = { DATA: 1, END: 2, CONTROL: 3, HELLO: 4, ACCEPT: 5 } as const;

/** A decoded header. The reader keeps one and overwrites it: no allocation per frame. */
export interface Header {
  type: number;
  streamId: number;
  seq: number;
  payloadBytes: number;
}

/** Writes a header at `offset`; the caller has made sure that 14 bytes fit. */
export function encodeHeader(
  into: Uint8Array,
  offset: number,
  type: number,
  streamId: number,
  seq: number,
  payloadBytes: number,
): void {
  into[offset] = WIRE_VERSION;
  into[offset + 1] = type;
  writeU32(into, offset + 2, streamId);
  writeU32(into, offset + 6, seq);
  writeU32(into, offset + 10, payloadBytes);
}

/** Reads the 14 bytes at `offset` into `header`. Throws ASOC_BAD_VERSION. */
export function decodeHeader(from: Uint8Array, offset: number, header: Header): void {
  const version = from[offset];
  if (version !== WIRE_VERSION) {
    throw new ProtocolError(
      "ASOC_BAD_VERSION",
      `Cannot read frame: version ${version}, expected ${WIRE_VERSION}${isTls(from, offset) ? "; the other side speaks TLS" : ""}`,
      { details: { expected: WIRE_VERSION, got: version } },
    );
  }
  header.type = from[offset + 1] as number;
  header.streamId = readU32(from, offset + 2);
  header.seq = readU32(from, offset + 6);
  header.payloadBytes = readU32(from, offset + 10);
}

/** An alert or a handshake of TLS begins so. */
function isTls(from: Uint8Array, offset: number): boolean {
  return (from[offset] === 0x15 || from[offset] === 0x16) && from[offset + 1] === 3;
}

/** Name of a type for messages. */
export function frameName(type: number): string {
  for (const [name, value] of Object.entries(FrameType)) if (value === type) return name;
  return `type ${type}`;
}

export function writeU32(into: Uint8Array, offset: number, value: number): void {
  into[offset] = value >>> 24;
  into[offset + 1] = value >>> 16;
  into[offset + 2] = value >>> 8;
  into[offset + 3] = value;
}

export function readU32(from: Uint8Array, offset: number): number {
  // The four indices are inside: callers pass whole headers or payloads of fixed size.
  return (
    (((from[offset] as number) << 24) |
      ((from[offset + 1] as number) << 16) |
      ((from[offset + 2] as number) << 8) |
      (from[offset + 3] as number)) >>>
    0
  );
}
