/** HTTPS instead of HTTP: what the servers are given, and that they really use it. */
import { X509Certificate } from "node:crypto";
import { connect } from "node:tls";
import { AsocError } from "../../src/mod.ts";

/** PEM of a certificate with its chain, and of its key. */
export interface ServeTls {
  readonly cert: string;
  readonly key: string;
}

const CHECK_MS = 5000;

/** Throws TypeError for what would leave a server without TLS: some take an empty one for none. */
export function checkMaterial(tls: ServeTls): ServeTls {
  for (const name of ["cert", "key"] as const)
    if (!tls[name]?.includes("-----BEGIN")) throw new TypeError(`tls.${name}: expected PEM`);
  return tls;
}

/** Asks the server itself: it has to show that certificate. Rejects with ASOC_TLS_INSECURE. */
export async function assertServes(tls: ServeTls, host: string, port: number): Promise<void> {
  const expected = new X509Certificate(tls.cert).fingerprint256;
  const at = host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "::1" : host;
  const got = await shownBy(at, port).catch((error: unknown) => String(error));
  if (got !== expected)
    throw new AsocError("ASOC_TLS_INSECURE", `The gateway does not serve HTTPS as configured: ${got}`);
}

/** The fingerprint of what is shown. */
function shownBy(host: string, port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    // Whoever it is, nothing is sent to it.
    const socket = connect({ host, port, rejectUnauthorized: false });
    socket.setTimeout(CHECK_MS, () => socket.destroy(new Error("no answer")));
    socket.once("error", reject);
    socket.once("close", () => reject(new Error("the connection was closed")));
    socket.once("secureConnect", () => {
      resolve(socket.getPeerCertificate().fingerprint256);
      socket.destroy();
    });
  });
}
