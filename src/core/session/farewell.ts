/** ERROR, the last frame of a session that speaks x1: what the other side did (RFC-0004, Errors). */
import { type AsocError, type AsocErrorCode, LimitError, ProtocolError } from "../errors.ts";
import { encodeHeader, FrameType, HEADER_BYTES } from "../wire/header.ts";
import { ErrorCode } from "../wire/records/error.ts";
import { encodeControl } from "../wire/records/records.ts";
import type { FramePlace } from "./frame_intake.ts";
import { clippedReason } from "./reasons.ts";

/** Limits that only the other side can have gone over; our own readers' faults are no news for it. */
const PUSHED: ReadonlySet<AsocErrorCode> = new Set([
  "ASOC_FRAME_TOO_LARGE",
  "ASOC_RECORD_LIMIT",
  "ASOC_TOO_MANY_STREAMS",
]);

/** The key of the connection is no longer believed here. */
const OF_KEYS: ReadonlySet<AsocErrorCode> = new Set(["ASOC_KEY_REVOKED", "ASOC_KEY_ENDED"]);

/**
 * The frame that tells of `error`, with `seq` of the CONTROL counter; undefined where there is nothing that it should know.
 * `at`: the frame that is wrong, where it is one.
 */
export function farewell(error: AsocError, seq: number, at?: FramePlace): Uint8Array | undefined {
  if (!(error instanceof ProtocolError || PUSHED.has(error.code) || OF_KEYS.has(error.code)))
    return undefined;
  const { streamId } = error.details;
  const payload = encodeControl([
    {
      kind: "error",
      code: codeOf(error),
      stream: typeof streamId === "number" ? streamId : (at?.streamId ?? 0),
      frameSeq: at?.seq ?? 0,
      text: clippedReason(error.message),
    },
  ]);
  const frame = new Uint8Array(HEADER_BYTES + payload.length);
  encodeHeader(frame, 0, FrameType.CONTROL, 0, seq, payload.length);
  frame.set(payload, HEADER_BYTES);
  return frame;
}

function codeOf(error: AsocError): number {
  if (error.code === "ASOC_BAD_RECORD") return ErrorCode.BAD_RECORD;
  if (error.code === "ASOC_CREDIT_EXCEEDED") return ErrorCode.CREDIT;
  if (OF_KEYS.has(error.code)) return ErrorCode.KEY;
  if (error.code === "ASOC_UNKNOWN_CRITICAL_RECORD") return ErrorCode.UNKNOWN_CRITICAL;
  return error instanceof LimitError ? ErrorCode.LIMIT : ErrorCode.PROTOCOL;
}
