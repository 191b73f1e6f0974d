/** Socket errors of the runtimes as ASoc errors with stable codes. */
import { ConnectionError, describe } from "../../core/errors.ts";
import type { Address } from "../../core/runtime.ts";

function codeOf(cause: unknown): string {
  if (typeof cause !== "object" || cause === null) return "";
  const { code, name } = cause as { code?: unknown; name?: unknown };
  return typeof code === "string" ? code : typeof name === "string" ? name : "";
}

/** Why a dial failed. Deno tells the want of descriptors by the system's number alone. */
export function dialFailure(to: Address, cause: unknown): ConnectionError {
  const where = formatAddress(to);
  const code = codeOf(cause);
  if (code === "ECONNREFUSED" || code === "ConnectionRefused") {
    return new ConnectionError(
      "ASOC_CONNECTION_REFUSED",
      `${where}: connection refused (nothing listens there)`,
      { cause },
    );
  }
  if (code === "ETIMEDOUT" || code === "TimedOut") return dialTimeout(to, undefined, cause);
  if (code === "ENOTFOUND" || code === "EAI_AGAIN") {
    return new ConnectionError("ASOC_UNREACHABLE", `${where}: the host name is unknown`, { cause });
  }
  if (code === "EMFILE" || code === "ENFILE" || /\(os error 2[34]\)/.test(describe(cause))) {
    return new ConnectionError(
      "ASOC_OUT_OF_DESCRIPTORS",
      `${where}: this process has no file descriptor left (ulimit -n)`,
      { cause },
    );
  }
  return new ConnectionError("ASOC_UNREACHABLE", `${where}: ${describe(cause)}`, { cause });
}

export function dialTimeout(to: Address, timeoutMs?: number, cause?: unknown): ConnectionError {
  const after = timeoutMs === undefined ? "" : ` within ${timeoutMs / 1000} s`;
  return new ConnectionError("ASOC_DIAL_TIMEOUT", `${formatAddress(to)}: no answer${after}`, { cause });
}

/** Why a port could not be bound. */
export function listenFailure(at: Address, cause: unknown, protocol: "TCP" | "UDP" = "TCP"): ConnectionError {
  const code = codeOf(cause);
  const where = formatAddress(at);
  if (code === "EADDRINUSE" || code === "AddrInUse") {
    return new ConnectionError(
      "ASOC_PORT_IN_USE",
      `Cannot listen on ${protocol} ${where}: the port is in use. Choose another port, or 0 for any free one`,
      { cause, details: { host: at.host, port: at.port } },
    );
  }
  if (code === "EACCES" || code === "PermissionDenied") {
    return new ConnectionError(
      "ASOC_UNREACHABLE",
      `Cannot listen on ${protocol} ${where}: not permitted (ports under 1024 need privileges)`,
      { cause },
    );
  }
  if (code === "EADDRNOTAVAIL" || code === "AddrNotAvailable") {
    return new ConnectionError(
      "ASOC_UNREACHABLE",
      `Cannot listen on ${protocol} ${where}: this machine has no such address`,
      { cause },
    );
  }
  return new ConnectionError(
    "ASOC_UNREACHABLE",
    `Cannot listen on ${protocol} ${where}: ${describe(cause)}`,
    { cause },
  );
}

export function formatAddress({ host, port }: Address): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
