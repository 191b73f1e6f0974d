/** The errors of streams on their way in, in words, and the code by which STOP tells a sender of one. */
import { type AsocError, ConnectionError, LimitError, ProtocolError } from "../errors.ts";
import { FrameType, type Header } from "../wire/header.ts";
import { type ResetRecord, StreamCode } from "../wire/records/reset.ts";

// --- frames and records that end the connection

export function unexpectedStreamFrame(header: Header, expected: string): ProtocolError {
  const got = `${header.type === FrameType.END ? "END" : "DATA"} of stream ${header.streamId} (seq ${header.seq}, ${header.payloadBytes} bytes)`;
  return new ProtocolError("ASOC_UNEXPECTED_FRAME", `Cannot read frame: expected ${expected}, got ${got}`, {
    details: { streamId: header.streamId, expected, got },
  });
}

export function creditExceeded(
  streamId: number,
  { announcedBytes, limitBytes }: { readonly announcedBytes: number; readonly limitBytes: number },
): ProtocolError {
  const details = { streamId, expected: limitBytes, got: announcedBytes };
  const message = `Cannot go on: stream ${streamId} has sent ${announcedBytes} bytes, more than its credit or the connection's allowed`;
  return new ProtocolError("ASOC_CREDIT_EXCEEDED", message, { details });
}

/** OPEN with an id of our own, or one that is not above all before it. */
export function openOutOfOrder(lastId: number, id: number): ProtocolError {
  const details = { streamId: id, expected: lastId + 1, got: id };
  const message = `Cannot read OPEN: expected a stream above ${lastId}, got ${id}`;
  return new ProtocolError("ASOC_UNEXPECTED_RECORD", message, { details });
}

/** A record about a stream that never began or is over. */
export function notOpen(streamId: number, record: string): ProtocolError {
  return new ProtocolError(
    "ASOC_UNEXPECTED_RECORD",
    `Cannot read ${record}: stream ${streamId} is not open`,
    {
      details: { streamId },
    },
  );
}

/** `which`: what of its streams the other side has not ended. */
export function tooManyLeftOpen(limit: number, which: string): LimitError {
  return new LimitError(
    "ASOC_TOO_MANY_STREAMS",
    `Cannot go on: the peer left ${limit} ${which} (maxInboundStreams)`,
    { details: { limit: "maxInboundStreams", expected: limit, got: limit + 1 } },
  );
}

// --- what fails one stream

export function tooManyStreams(streamId: number, limit: number): LimitError {
  return new LimitError(
    "ASOC_TOO_MANY_STREAMS",
    `Cannot open stream ${streamId}: the peer has ${limit} open (maxInboundStreams)`,
    { details: { streamId, limit: "maxInboundStreams", expected: limit, got: limit + 1 } },
  );
}

export function sequenceGap(streamId: number, expected: number, got: number): ProtocolError {
  const message = `Stream ${streamId} failed: expected seq ${expected}, got ${got}`;
  return new ProtocolError("ASOC_SEQUENCE_GAP", message, { details: { streamId, expected, got } });
}

/** More bytes than OPEN said. */
export function longerThanOpened(streamId: number, expected: number, got: number): ProtocolError {
  const message = `Stream ${streamId} failed: OPEN said ${expected} bytes, ${got} came`;
  return new ProtocolError("ASOC_BAD_STREAM", message, { details: { streamId, expected, got } });
}

/** OPEN of a transfer that cannot begin, or go on, where it says. */
export function cannotBegin(
  streamId: number,
  transferId: string,
  found: "delivered" | "busy" | "elsewhere",
  expected: number,
  got: number,
): ProtocolError {
  const why =
    found === "delivered"
      ? "was delivered already"
      : found === "busy"
        ? "is arriving on another connection"
        : `has ${expected} bytes here, OPEN begins at ${got}`;
  const message = `Cannot open stream ${streamId}: its transfer ${why}`;
  return new ProtocolError("ASOC_BAD_STREAM", message, {
    details: { streamId, transferId, expected, got },
  });
}

export function describedOtherwise(streamId: number): ProtocolError {
  return new ProtocolError(
    "ASOC_BAD_STREAM",
    `Cannot open stream ${streamId}: its transfer was described otherwise before`,
  );
}

/** A broken transfer was begun anew instead of going on. */
export function notResumed(): ConnectionError {
  return new ConnectionError("ASOC_INCOMPLETE_STREAM", "Its sender did not go on where it broke");
}

/** Its sender has given it up. */
export function resetBySender(streamId: number, { code, reason }: ResetRecord): ConnectionError {
  const why = reason === "" ? "" : `: ${reason}`;
  return code === StreamCode.DEADLINE
    ? new ConnectionError("ASOC_DEADLINE", `Stream ${streamId} came too late${why}`, {
        details: { streamId },
      })
    : new ConnectionError("ASOC_RESET", `Stream ${streamId} was given up by its sender${why}`, {
        details: { streamId, code },
      });
}

/** Its deadline has passed before all of it came. */
export function cameTooLate(streamId: number, deadlineMs: number): ConnectionError {
  const message = `Stream ${streamId} came too late: it was of use for ${deadlineMs} ms`;
  return new ConnectionError("ASOC_DEADLINE", message, { details: { streamId, deadlineMs } });
}

/** CLOSE or END that does not fit what came. */
export function badEnd(streamId: number, transferId: string, what: string): ProtocolError {
  return new ProtocolError("ASOC_BAD_STREAM", `Stream ${streamId} failed: ${what}`, {
    details: { streamId, transferId },
  });
}

export function digestMismatch(streamId: number, transferId: string, digest: string): ProtocolError {
  return new ProtocolError(
    "ASOC_DIGEST_MISMATCH",
    `Stream ${streamId} failed: its ${digest} is not the one that its sender took`,
    { details: { streamId, transferId } },
  );
}

// --- memory

/** The caller's own memory has `roomBytes`; `tensor` says how long the tensor is. */
export function intoTooSmall(streamId: number, roomBytes: number, got: number, tensor: string): LimitError {
  return new LimitError(
    "ASOC_TENSOR_TOO_LARGE",
    `Cannot receive stream ${streamId}: the memory given has ${roomBytes} bytes, the tensor ${tensor}`,
    { details: { streamId, limit: "into", expected: roomBytes, got } },
  );
}

/** `bytes`: how long it is, in words. */
export function cannotAssemble(streamId: number, bytes: string, cap: number, got: number): LimitError {
  return new LimitError(
    "ASOC_TENSOR_TOO_LARGE",
    `Cannot assemble stream ${streamId}: ${bytes} (maxTensorBytes); read it chunk by chunk`,
    { details: { streamId, limit: "maxTensorBytes", expected: cap, got } },
  );
}

/** It did not say how long it is, and brings more than there is memory for. */
export function outgrown(streamId: number, roomBytes: number): LimitError {
  return new LimitError(
    "ASOC_TENSOR_TOO_LARGE",
    `Cannot receive stream ${streamId}: there is memory for ${roomBytes} bytes, and more came; read it chunk by chunk`,
    { details: { streamId, limit: "maxTensorBytes", expected: roomBytes, got: roomBytes + 1 } },
  );
}

/** Of v1: streams that arrive at once hold all there is, and none of them is whole. */
export function budgetUsedUp(streamId: number, budgetBytes: number): LimitError {
  return new LimitError(
    "ASOC_MEMORY_BUDGET",
    `Cannot receive stream ${streamId}: memoryBudgetBytes (${budgetBytes}) is used up by streams that arrive at once`,
    { details: { streamId, limit: "memoryBudgetBytes", expected: budgetBytes } },
  );
}

/** Nobody holds memory that could make room for `wantedBytes`. */
export function overBudget(streamId: number, wantedBytes: number, budgetBytes: number): LimitError {
  return new LimitError(
    "ASOC_MEMORY_BUDGET",
    `Cannot receive stream ${streamId}: ${wantedBytes} bytes, memoryBudgetBytes is ${budgetBytes}`,
    { details: { streamId, limit: "memoryBudgetBytes", expected: budgetBytes, got: wantedBytes } },
  );
}

/** Tensors wait for memory, and nobody releases any. */
export function starved(
  limits: { readonly memoryBudgetBytes: number; readonly memoryWaitMs: number },
  usedBytes: number,
): LimitError {
  const { memoryBudgetBytes, memoryWaitMs } = limits;
  return new LimitError(
    "ASOC_MEMORY_BUDGET",
    `Tensors wait for memory, and none came for ${memoryWaitMs} ms: ${usedBytes} of ${memoryBudgetBytes} bytes (memoryBudgetBytes, of which each peer has a share) are in use. Release tensors, or read them with chunks()`,
    { details: { limit: "memoryBudgetBytes", expected: memoryBudgetBytes, got: usedBytes } },
  );
}

/** Its sender has a quota, and this is beyond it. */
export function beyondQuota(streamId: number): LimitError {
  return new LimitError(
    "ASOC_QUOTA_EXCEEDED",
    `Cannot receive stream ${streamId}: the quota of its sender is used up`,
    { details: { streamId, limit: "quota" } },
  );
}

// --- STOP

export function stopCode(error: AsocError): number {
  switch (error.code) {
    case "ASOC_DIGEST_MISMATCH":
      return StreamCode.DIGEST_MISMATCH;
    case "ASOC_DEADLINE":
      return StreamCode.DEADLINE;
    case "ASOC_UNSUPPORTED_TENSOR":
      return StreamCode.UNSUPPORTED;
    case "ASOC_CANCELLED":
      return StreamCode.CANCELLED;
    case "ASOC_BAD_STREAM":
    case "ASOC_SEQUENCE_GAP":
      return StreamCode.BAD_STREAM;
    case "ASOC_FORBIDDEN":
      return StreamCode.FORBIDDEN;
    case "ASOC_QUOTA_EXCEEDED":
      return StreamCode.QUOTA;
    default:
      return error instanceof LimitError ? StreamCode.TOO_LARGE : StreamCode.UNSPECIFIED;
  }
}
