/**
 * Errors of the gateway as RFC 9457 problem documents: a status, a stable code, one sentence. What a client gets to read
 * is said here or by an AsocError; anything else is "GATEWAY_FAILED", without a word of what went on inside.
 */
import { AsocError } from "../src/mod.ts";

/** Stable codes. A code is never renamed or given another meaning. */
export type GatewayErrorCode =
  | "GATEWAY_BAD_REQUEST"
  | "GATEWAY_BAD_SLICE"
  | "GATEWAY_BAD_GLOB"
  | "GATEWAY_BAD_BODY"
  | "GATEWAY_BODY_TRUNCATED"
  | "GATEWAY_BODY_TOO_LONG"
  | "GATEWAY_BODY_TOO_LARGE"
  | "GATEWAY_UPLOAD_STALLED"
  | "GATEWAY_UNAUTHORIZED"
  | "GATEWAY_FORBIDDEN_SCOPE"
  | "GATEWAY_FORBIDDEN_HOST"
  | "GATEWAY_FORBIDDEN_ORIGIN"
  | "GATEWAY_NOT_FOUND"
  | "GATEWAY_METHOD_NOT_ALLOWED"
  | "GATEWAY_UNKNOWN_PEER"
  | "GATEWAY_UNKNOWN_STREAM"
  | "GATEWAY_UNKNOWN_TOPIC"
  | "GATEWAY_NO_PEERS"
  | "GATEWAY_NOT_ACCEPTABLE"
  | "GATEWAY_STREAM_LIVE"
  | "GATEWAY_STREAM_FAILED"
  | "GATEWAY_GONE"
  | "GATEWAY_RANGE"
  | "GATEWAY_UNSUPPORTED_BODY"
  | "GATEWAY_HEADERS_TOO_LARGE"
  | "GATEWAY_RATE_LIMITED"
  | "GATEWAY_TOO_MANY_CLIENTS"
  | "GATEWAY_UPGRADE_REQUIRED"
  | "GATEWAY_SEND_FAILED"
  | "GATEWAY_TIMEOUT"
  | "GATEWAY_CLOSED"
  | "GATEWAY_FAILED";

/** What `status` is called (RFC 9110). */
const TITLES: Readonly<Record<number, string>> = {
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  406: "Not Acceptable",
  408: "Request Timeout",
  409: "Conflict",
  410: "Gone",
  413: "Content Too Large",
  415: "Unsupported Media Type",
  416: "Range Not Satisfiable",
  422: "Unprocessable Content",
  426: "Upgrade Required",
  429: "Too Many Requests",
  431: "Request Header Fields Too Large",
  500: "Internal Server Error",
  501: "Not Implemented",
  502: "Bad Gateway",
  503: "Service Unavailable",
  504: "Gateway Timeout",
};

/** An answer that is no success. `detail` goes to the client. */
export class GatewayError extends Error {
  override readonly name = "GatewayError";
  readonly status: number;
  readonly code: GatewayErrorCode | AsocError["code"];
  /** Further members of the document. */
  readonly members: Readonly<Record<string, unknown>>;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    status: number,
    code: GatewayErrorCode | AsocError["code"],
    detail: string,
    more: {
      readonly members?: Readonly<Record<string, unknown>>;
      readonly headers?: Readonly<Record<string, string>>;
    } = {},
  ) {
    super(detail);
    this.status = status;
    this.code = code;
    this.members = more.members ?? {};
    this.headers = more.headers ?? {};
  }
}

/** Longest `detail`: it may quote what a client has sent. */
const MAX_DETAIL_CHARACTERS = 500;

/** The document of any thrown value. */
export function problem(error: unknown): Response {
  const { status, code, message, members, headers } = asGatewayError(error);
  const document = {
    type: "about:blank",
    title: TITLES[status] ?? "Error",
    status,
    code,
    detail: plain(message).slice(0, MAX_DETAIL_CHARACTERS),
    ...members,
  };
  return new Response(JSON.stringify(document), {
    status,
    headers: { ...headers, "content-type": "application/problem+json" },
  });
}

/** What a client gets to know of any thrown value. */
export function asGatewayError(error: unknown): GatewayError {
  return error instanceof GatewayError ? error : ofAsoc(error);
}

/** The same error with further members in its document. */
export function withMembers(error: unknown, more: Readonly<Record<string, unknown>>): GatewayError {
  const { status, code, message, members, headers } = asGatewayError(error);
  return new GatewayError(status, code, message, { members: { ...members, ...more }, headers });
}

/** Text from elsewhere, without what could confuse a log or a terminal. */
export function plain(text: string): string {
  return text.replaceAll(/\p{Cc}/gu, " ");
}

function ofAsoc(error: unknown): GatewayError {
  if (!(error instanceof AsocError)) return new GatewayError(500, "GATEWAY_FAILED", "The gateway failed");
  return new GatewayError(statusOf(error.code), error.code, error.message);
}

/** Errors of the core that reach a client without having been dealt with on the way. */
function statusOf(code: AsocError["code"]): number {
  switch (code) {
    case "ASOC_BAD_DTYPE":
    case "ASOC_BAD_SHAPE":
    case "ASOC_BAD_NPY":
    case "ASOC_BAD_SAFETENSORS":
      return 400;
    case "ASOC_UNSUPPORTED_DTYPE":
      return 415;
    case "ASOC_HEADER_TOO_LARGE":
    case "ASOC_TOO_MANY_TENSORS":
    case "ASOC_TENSOR_TOO_LARGE":
      return 413;
    case "ASOC_UNKNOWN_PEER":
    case "ASOC_NO_PEERS":
      return 404;
    case "ASOC_CLOSED":
      return 503;
    case "ASOC_DEADLINE":
      return 504;
    default:
      return 502;
  }
}

/** Code and message of why a stream failed. */
export function errorFacts(error: unknown): { code: string; message: string } | null {
  if (error === undefined || error === null) return null;
  if (error instanceof AsocError) return { code: error.code, message: plain(error.message) };
  if (error instanceof GatewayError) return { code: error.code, message: plain(error.message) };
  if (error instanceof Error && error.name === "AbortError")
    return { code: "ASOC_CANCELLED", message: "It was given up here" };
  return { code: "ASOC_CANCELLED", message: "It was given up by its sender's program" };
}
