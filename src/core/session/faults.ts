/** The errors of a session, in words; those of streams on their way in are in `inbound_faults.ts`. */
import {
  AsocError,
  type AsocErrorCode,
  AuthError,
  ClosedError,
  ConnectionError,
  LimitError,
  ProtocolError,
} from "../errors.ts";
import { type Limits, MAX_WAITING_CONTROL, type Timing } from "../limits.ts";
import type { TensorMemory } from "../tensor/memory_account.ts";
import { ACCEPT_BYTES } from "../wire/accept.ts";
import { frameName, type Header } from "../wire/header.ts";
import { HELLO_BYTES } from "../wire/hello.ts";
import { GoawayCode } from "../wire/records/goaway.ts";
import { opName } from "../wire/records/ops.ts";
import { type ResetRecord, StreamCode } from "../wire/records/reset.ts";
import type { OutboundStream } from "./outbound.ts";
import type { ArrivingStream } from "./session_types.ts";
import { isHandshaking, State, stateName } from "./transitions.ts";

/** A frame that the state does not allow, or a handshake frame of another shape. */
export function unexpectedFrame(state: State, header: Header): ProtocolError {
  const got = `${frameName(header.type)} (stream ${header.streamId}, seq ${header.seq}, ${header.payloadBytes} bytes)`;
  let expected = "a frame of an open session";
  if (state === State.HELLO_AWAITED) expected = `HELLO of ${HELLO_BYTES} bytes`;
  if (state === State.HELLO_SENT) expected = `ACCEPT of ${ACCEPT_BYTES} bytes`;
  if (state === State.CAPS_AWAITED) expected = "CONTROL with CAPS";
  if (state === State.PROOF_AWAITED) expected = "CONTROL with PROOF";
  const code = isHandshaking(state) ? "ASOC_BAD_HANDSHAKE" : "ASOC_UNEXPECTED_FRAME";
  return new ProtocolError(code, `Cannot read frame: expected ${expected}, got ${got}`, {
    details: { expected, got },
  });
}

export function payloadTooLarge(header: Header, limit: number): LimitError {
  const { type, streamId, payloadBytes } = header;
  return new LimitError(
    "ASOC_FRAME_TOO_LARGE",
    `Cannot read ${frameName(type)} of stream ${streamId}: ${payloadBytes} bytes, at most ${limit} (maxPayloadBytes)`,
    { details: { streamId, limit: "maxPayloadBytes", expected: limit, got: payloadBytes } },
  );
}

/** CAPS after the time for it: the other side speaks x1, and this connection has begun without. */
export function lateCaps(limits: Timing): ProtocolError {
  return new ProtocolError(
    "ASOC_UNEXPECTED_RECORD",
    `Cannot go on: CAPS came later than ${limits.capsWaitMs} ms after HELLO (capsWaitMs); dial again`,
    { details: { limit: "capsWaitMs", expected: limits.capsWaitMs } },
  );
}

export function controlTooLarge(header: Header, limit: number): LimitError {
  const { streamId, payloadBytes } = header;
  return new LimitError(
    "ASOC_FRAME_TOO_LARGE",
    `Cannot read CONTROL of stream ${streamId}: ${payloadBytes} bytes, at most ${limit}`,
    { details: { streamId, limit: "CONTROL payload", expected: limit, got: payloadBytes } },
  );
}

/** The other side causes records and does not read them. */
export function controlUnread(): LimitError {
  const details = {
    limit: "MAX_WAITING_CONTROL",
    expected: MAX_WAITING_CONTROL,
    got: MAX_WAITING_CONTROL + 1,
  };
  return new LimitError(
    "ASOC_RECORD_LIMIT",
    `Cannot go on: ${MAX_WAITING_CONTROL} CONTROL frames wait for the peer to read them`,
    {
      details,
    },
  );
}

/** A record that is known and may not come now. */
export function unexpectedRecord(expected: string, op: number): ProtocolError {
  const got = opName(op);
  return new ProtocolError(
    "ASOC_UNEXPECTED_RECORD",
    `Cannot read CONTROL: expected ${expected}, got ${got}`,
    {
      details: { expected, got },
    },
  );
}

export function truncatedFrame(handshaking: boolean): ProtocolError {
  // An alert of TLS is shorter than a header.
  const likely = handshaking ? "; the other side may want TLS" : "";
  return new ProtocolError(
    "ASOC_TRUNCATED_FRAME",
    `Cannot read frame: the connection ended in the middle of it${likely}`,
  );
}

/** The connection ended before the handshake did; the wire does not say why. */
export function handshakeRefused(how: "closed" | "reset", cause?: unknown): ConnectionError {
  const likely =
    how === "closed"
      ? " (another key or community, TLS on one side only, or not an ASoc port)"
      : " (it may demand TLS)";
  const message =
    cause instanceof AuthError
      ? `Handshake refused: ${cause.message}`
      : `Handshake refused: the other side ${how} the connection${likely}`;
  return new ConnectionError("ASOC_HANDSHAKE_REFUSED", message, { cause });
}

export function connectionLost(cause: unknown): ConnectionError {
  return new ConnectionError("ASOC_CONNECTION_LOST", "The connection was lost", { cause });
}

/** `now`: what the session is, instead of open. */
export function cannotOpen(now: string): ConnectionError {
  return new ConnectionError("ASOC_CLOSED", `Cannot open a stream: session is ${now}`);
}

/** The other side said in CAPS that it takes no stream at all. */
export function takesNone(): AsocError {
  return new AsocError("ASOC_STOPPED", "Cannot open a stream: the peer takes no tensors", {
    details: { limit: "max_streams", expected: 0, got: 1 },
  });
}

/** The other side has as many of our streams as it said in CAPS that it takes. */
export function peerFull(maxStreams: number): LimitError {
  return new LimitError(
    "ASOC_TOO_MANY_STREAMS",
    `Cannot open a stream: the peer takes ${maxStreams} at once`,
    {
      details: { limit: "max_streams", expected: maxStreams, got: maxStreams + 1 },
    },
  );
}

/** ACK of bytes that were not sent, or that a tensor came whole of which not all did. */
export function ackBeyondSent(streamId: number, expected: number, got: number): ProtocolError {
  const message = `Cannot read ACK: ${expected} bytes of stream ${streamId} were sent, ${got} are said to have come`;
  return new ProtocolError("ASOC_UNEXPECTED_RECORD", message, { details: { streamId, expected, got } });
}

/** What becomes of a stream that had not begun when GOAWAY came: with a twin, or a new connection, it can begin elsewhere. */
export function leaving(code: number): ConnectionError {
  return code === GoawayCode.DUPLICATE || code === GoawayCode.STREAM_IDS || code === GoawayCode.KEY_ENDED
    ? connectionLost(undefined)
    : new ConnectionError("ASOC_PEER_LEAVING", "The peer takes no new tensors: it is leaving", {
        details: { code },
      });
}

/** Why a deadline of `Session` ends the connection. */
export function timedOut(
  deadline: "handshake" | "sendStall" | "silence" | "linger",
  state: State,
  limits: Timing,
): ConnectionError {
  const [code, what, limit] = timeOut(deadline, state);
  const timeoutMs = limits[limit];
  return new ConnectionError(code, `${what} ${timeoutMs} ms (${limit})`, { details: { limit, timeoutMs } });
}

function timeOut(
  deadline: "handshake" | "sendStall" | "silence" | "linger",
  state: State,
): readonly [AsocErrorCode, string, "handshakeTimeoutMs" | "sendStallMs" | "silenceMs" | "lingerMs"] {
  switch (deadline) {
    case "handshake":
      return ["ASOC_HANDSHAKE_TIMEOUT", `Handshake failed: ${stateName(state)} for`, "handshakeTimeoutMs"];
    case "sendStall":
      return ["ASOC_SEND_STALLED", "The connection was closed: no progress in sending for", "sendStallMs"];
    case "silence":
      return ["ASOC_PEER_SILENT", "The connection was closed: nothing came for", "silenceMs"];
    case "linger":
      return ["ASOC_CONNECTION_LOST", "The peer did not close its side within", "lingerMs"];
  }
}

/** What becomes of a stream that we send when its connection ends with `error`. */
export function notSentWhole(stream: OutboundStream, error: AsocError): ConnectionError {
  return new ConnectionError(
    error.code === "ASOC_CLOSED" ? "ASOC_CLOSED" : "ASOC_CONNECTION_LOST",
    `Stream ${stream.id} was not sent whole (${stream.sentBytes} bytes were): ${error.message}`,
    { cause: error, details: { streamId: stream.id, sentBytes: stream.sentBytes } },
  );
}

/** What becomes of a stream that we send when its receiver wants no more of it. */
export function stoppedBy(stream: OutboundStream, { code, reason }: ResetRecord): AsocError {
  const why = reason === "" ? "" : `: ${reason}`;
  const details = { streamId: stream.id, sentBytes: stream.sentBytes, code };
  if (code === StreamCode.DIGEST_MISMATCH) {
    return new ProtocolError("ASOC_DIGEST_MISMATCH", `Stream ${stream.id} was not taken${why}`, { details });
  }
  if (code === StreamCode.DEADLINE) {
    return new ConnectionError("ASOC_DEADLINE", `Stream ${stream.id} came too late${why}`, { details });
  }
  if (code === StreamCode.FORBIDDEN)
    return new AuthError("ASOC_FORBIDDEN", `Stream ${stream.id} is not allowed by its receiver${why}`, {
      details,
    });
  if (code === StreamCode.QUOTA)
    return new LimitError("ASOC_QUOTA_EXCEEDED", `Stream ${stream.id} is beyond a quota${why}`, { details });
  return new ConnectionError("ASOC_STOPPED", `Stream ${stream.id} was not taken by its receiver${why}`, {
    details,
  });
}

/** Its sender wants to hear no more of it, although all of it was sent. */
export function givenUp(stream: OutboundStream): ClosedError {
  const { id, sentBytes } = stream;
  const message = `Stream ${id} was given up before its receiver said that it has it (${sentBytes} bytes were sent)`;
  return new ClosedError("ASOC_CANCELLED", message, { details: { streamId: id, sentBytes } });
}

/** Its deadline has passed before all of it was sent. */
export function tooLate(stream: OutboundStream): ConnectionError {
  const { id, sentBytes } = stream;
  return new ConnectionError(
    "ASOC_DEADLINE",
    `Stream ${id} is too late: its deadline passed when ${sentBytes} bytes were sent`,
    {
      details: { streamId: id, sentBytes },
    },
  );
}

/** What becomes of an arriving stream when its connection ends before END, with `error` or in order. */
export function incomplete(stream: ArrivingStream, error: AsocError | undefined): AsocError {
  const { id, receivedBytes } = stream;
  const why = error?.message ?? "the connection ended before END";
  const message = `Stream ${id} is incomplete (${receivedBytes} bytes came): ${why}`;
  const details = { ...error?.details, streamId: id, receivedBytes };
  if (error?.code === "ASOC_CONSUMER_TOO_SLOW") {
    return new LimitError("ASOC_CONSUMER_TOO_SLOW", message, { cause: error, details });
  }
  return new ConnectionError("ASOC_INCOMPLETE_STREAM", message, { cause: error, details });
}

/** Our own reader paused the connection for too long: chunks lie unread (`readerBehind`), or memory is used up. */
export function tooSlow(
  readerBehind: boolean,
  limits: Limits,
  memory: TensorMemory,
  streamId?: number,
): LimitError {
  const what = streamId === undefined ? "The connection was closed" : `Stream ${streamId} was lost`;
  const limit = readerBehind ? "maxChunkAheadBytes" : "memoryBudgetBytes";
  const { usedBytes } = memory;
  const expected = readerBehind ? limits.maxChunkAheadBytes : memory.budgetBytes;
  const why = readerBehind
    ? `maxChunkAheadBytes ${expected} lie unread; take chunks faster`
    : `${usedBytes} of memoryBudgetBytes ${expected} in use; release tensors, or read faster`;
  const message = `${what}: its reader paused it for too long (${why})`;
  const details = { streamId, limit, expected, got: readerBehind ? expected : usedBytes };
  return new LimitError("ASOC_CONSUMER_TOO_SLOW", message, { details });
}
