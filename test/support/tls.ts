/** TLS for tests: certificates that are made once for a test file, and the configurations of both sides. */
import { createHash, X509Certificate } from "node:crypto";
import {
  type CertificateContent,
  issueCertificate,
  type MadeCertificate,
  makeAuthority,
  makeSelfSigned,
} from "../../src/certs/make.ts";
import type { TlsConfig, TlsIdentity, TlsListen } from "../../src/core/runtime.ts";

export const NODE_ID = "0e7c8d8a-1111-8222-8333-000000000001";

export function content(more: Partial<CertificateContent> = {}): CertificateContent {
  return { name: "test", days: 30, unixMs: Date.now(), ...more };
}

export function digestOf(certificatePem: string): string {
  return createHash("sha256").update(new X509Certificate(certificatePem).raw).digest("hex");
}

export function identityOf({ certificatePem, keyPem }: MadeCertificate): TlsIdentity {
  const certificateSha256 = new Uint8Array(Buffer.from(digestOf(certificatePem), "hex"));
  return { certificatePem, keyPem, certificateSha256 };
}

export function configOf(made: MadeCertificate, more: Partial<TlsConfig> = {}): TlsConfig {
  const identity = identityOf(made);
  return {
    verify: "none",
    identity: () => identity,
    pins: [],
    authorities: [],
    requireClientCertificate: false,
    ...more,
  };
}

/** How a listener of a test takes connections: everybody, and failures are kept. */
export function listenOf(
  config: TlsConfig,
  more: Partial<TlsListen> = {},
): TlsListen & { failures: Error[] } {
  const failures: Error[] = [];
  return {
    config,
    handshakeTimeoutMs: 5000,
    maxHandshakes: 64,
    undisturbedMs: 300,
    admits: () => true,
    failed: (_remote, error) => failures.push(error),
    failures,
    ...more,
  };
}

export { issueCertificate, makeAuthority, makeSelfSigned };
