/** Requests that the HTTP parser of Node.js refuses, which never reach the app: they too are answered with a problem. */
import type { Server } from "node:http";
import { GatewayError, problem } from "../errors.ts";

/** A client may take so long to read the answer before its connection is cut. */
const LINGER_MS = 1000;

/** What is used of a socket. */
interface Refused {
  end(text: string): unknown;
  destroy(): unknown;
  once(event: "close", run: () => void): unknown;
}

/** `noted` hears of each, since the app does not. */
export function answerRefused(
  server: Server,
  maxHeaderBytes: number,
  noted: (refusal: GatewayError) => void = () => {},
): void {
  server.on("clientError", (error: NodeJS.ErrnoException, socket) => {
    if (socket.writableEnded) return; // what follows the refused part
    const { _httpMessage: answer } = socket as { _httpMessage?: { readonly headersSent: boolean } | null };
    if (error.code === "ECONNRESET" || !socket.writable || answer?.headersSent) {
      socket.destroy(error);
      return;
    }
    const refusal = refusalOf(error, maxHeaderBytes);
    noted(refusal);
    void answerWith(refusal, socket);
  });
}

function refusalOf({ code }: NodeJS.ErrnoException, maxHeaderBytes: number): GatewayError {
  if (code === "HPE_HEADER_OVERFLOW") {
    return new GatewayError(
      431,
      "GATEWAY_HEADERS_TOO_LARGE",
      `The request line and headers have more than ${maxHeaderBytes} bytes`,
    );
  }
  if (code === "ERR_HTTP_REQUEST_TIMEOUT")
    return new GatewayError(408, "GATEWAY_TIMEOUT", "The headers took too long");
  return new GatewayError(400, "GATEWAY_BAD_REQUEST", "This is not HTTP/1.1");
}

async function answerWith(refusal: GatewayError, socket: Refused): Promise<void> {
  const response = problem(refusal);
  const body = await response.text();
  const lines = [
    `HTTP/1.1 ${refusal.status} ${(JSON.parse(body) as { title: string }).title}`,
    ...[...response.headers].map(([name, value]) => `${name}: ${value}`),
    `content-length: ${Buffer.byteLength(body)}`,
    "connection: close",
  ];
  socket.end(`${lines.join("\r\n")}\r\n\r\n${body}`);
  // Cut at once, what the client is still sending would take the answer away from it.
  const timer = setTimeout(() => socket.destroy(), LINGER_MS);
  socket.once("close", () => clearTimeout(timer));
}
