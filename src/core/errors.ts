/**
 * Every error that ASoc raises, with stable codes.
 *
 * Callers switch on `code`; messages are for people and have one form:
 * "Cannot do X: why" with what was expected and what came. Bad arguments of a
 * call throw TypeError or RangeError instead.
 */

/** Stable codes. A code is never renamed or given another meaning. */
export type AsocErrorCode =
  // protocol: the remote side broke a rule of RFC-0001
  | "ASOC_BAD_VERSION"
  | "ASOC_BAD_HANDSHAKE"
  | "ASOC_UNEXPECTED_FRAME"
  | "ASOC_STREAM_ZERO"
  | "ASOC_SEQUENCE_GAP"
  | "ASOC_STREAM_ABANDONED"
  | "ASOC_TRUNCATED_FRAME"
  // protocol: a CONTROL record of the extension x1 that cannot be read
  | "ASOC_BAD_RECORD"
  | "ASOC_UNKNOWN_CRITICAL_RECORD"
  | "ASOC_UNEXPECTED_RECORD"
  | "ASOC_CREDIT_EXCEEDED"
  // tensor streams of x1: what became of one
  | "ASOC_BAD_STREAM"
  | "ASOC_UNSUPPORTED_TENSOR"
  | "ASOC_DIGEST_MISMATCH"
  | "ASOC_RESET"
  | "ASOC_STOPPED"
  | "ASOC_DEADLINE"
  | "ASOC_OUTCOME_UNKNOWN"
  // auth
  | "ASOC_WRONG_KEY"
  | "ASOC_WRONG_COMMUNITY"
  | "ASOC_BAD_PROOF"
  | "ASOC_DOWNGRADE"
  | "ASOC_REPLAYED_HELLO"
  | "ASOC_SELF_CONNECTION"
  | "ASOC_DUPLICATE_NODE_ID"
  | "ASOC_HANDSHAKE_REFUSED"
  | "ASOC_HANDSHAKE_TIMEOUT"
  | "ASOC_BAD_PUBLIC_KEY"
  // TLS
  | "ASOC_TLS_MISMATCH"
  | "ASOC_TLS_VERSION"
  | "ASOC_TLS_HANDSHAKE"
  | "ASOC_TLS_INSECURE"
  | "ASOC_TLS_NO_CERTIFICATE"
  | "ASOC_TLS_UNTRUSTED"
  | "ASOC_TLS_EXPIRED"
  | "ASOC_TLS_WRONG_NAME"
  | "ASOC_WRONG_IDENTITY"
  | "ASOC_BAD_KEY_RECORD"
  | "ASOC_KEY_ENDED"
  | "ASOC_KEY_REVOKED"
  | "ASOC_NO_VALID_KEY"
  | "ASOC_ROTATION"
  // access (RFC-0103): this node, or the other one, does not allow it
  | "ASOC_FORBIDDEN"
  | "ASOC_QUOTA_EXCEEDED"
  // limits
  | "ASOC_FRAME_TOO_LARGE"
  | "ASOC_RECORD_LIMIT"
  | "ASOC_TENSOR_TOO_LARGE"
  | "ASOC_TOO_MANY_STREAMS"
  | "ASOC_MEMORY_BUDGET"
  | "ASOC_CONSUMER_TOO_SLOW"
  | "ASOC_ADMISSION"
  | "ASOC_HEADER_TOO_LARGE"
  | "ASOC_TOO_MANY_TENSORS"
  // formats: the description of a tensor, or the header of a file, breaks a rule of its format
  | "ASOC_BAD_DTYPE"
  | "ASOC_UNSUPPORTED_DTYPE"
  | "ASOC_BAD_SHAPE"
  | "ASOC_BAD_NPY"
  | "ASOC_BAD_SAFETENSORS"
  // connection
  | "ASOC_CONNECTION_REFUSED"
  | "ASOC_CONNECTION_LOST"
  | "ASOC_INCOMPLETE_STREAM"
  | "ASOC_SEND_STALLED"
  | "ASOC_PEER_SILENT"
  | "ASOC_PEER_ERROR"
  | "ASOC_PEER_LEAVING"
  | "ASOC_DIAL_TIMEOUT"
  | "ASOC_UNREACHABLE"
  | "ASOC_PORT_IN_USE"
  | "ASOC_UNKNOWN_PEER"
  | "ASOC_NO_PEERS"
  // this machine has no more of something
  | "ASOC_DISK_FULL"
  | "ASOC_OUT_OF_DESCRIPTORS"
  // local end of life
  | "ASOC_CLOSED"
  | "ASOC_RELEASED"
  | "ASOC_CANCELLED"
  // configuration
  | "ASOC_CONFIG";

/** Base of all ASoc errors. `details` holds the facts of the message as data. */
export class AsocError extends Error {
  override readonly name: string = "AsocError";
  readonly code: AsocErrorCode;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(
    code: AsocErrorCode,
    message: string,
    options: { cause?: unknown; details?: Record<string, unknown> } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.details = options.details ?? {};
  }
}

/** The remote side broke a rule of the wire. */
export class ProtocolError extends AsocError {
  override readonly name = "ProtocolError";
}

/** A proof did not hold, or an identity was refused. Says nothing on the wire. */
export class AuthError extends AsocError {
  override readonly name = "AuthError";
}

/** A number went over its limit; `details.limit` names it. */
export class LimitError extends AsocError {
  override readonly name = "LimitError";
}

/** The description of a tensor, or the header of a tensor file, is not what its format demands. */
export class FormatError extends AsocError {
  override readonly name = "FormatError";
}

/** The connection could not be made, broke, or stood still. */
export class ConnectionError extends AsocError {
  override readonly name = "ConnectionError";
}

/** The local node, session or tensor is closed already. */
export class ClosedError extends AsocError {
  override readonly name = "ClosedError";
}

/** One line that names the cause of any thrown value. */
export function describe(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
