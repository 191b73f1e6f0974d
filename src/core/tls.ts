/** TLS of a node's connections, between the transport that speaks it and the node that asked for it (RFC-0101). */
import type { Admission } from "./auth/admission.ts";
import { isAccident, isBlamed } from "./auth/blame.ts";
import type { Doorkeeper } from "./doorkeeper.ts";
import { AsocError, AuthError, ConnectionError, describe } from "./errors.ts";
import { type Limits, type Timing, UNDISTURBED_HANDSHAKE_MS } from "./limits.ts";
import type { Clock, Conn, ConnTls, TlsConfig, TlsListen } from "./runtime.ts";
import type { PeerTls } from "./swarm/swarm.ts";
import { equalBytes, toHex } from "./wire/bytes.ts";
import { formatNodeId, parseNodeId } from "./wire/node_id.ts";

/** How a node takes TLS connections: addresses that are blocked cost nothing, and a failure counts as one of a handshake. */
export function listenWith(
  config: TlsConfig,
  limits: Limits & Timing,
  admission: Admission,
  clock: Clock,
  door: Doorkeeper,
): TlsListen {
  return {
    config,
    handshakeTimeoutMs: limits.handshakeTimeoutMs,
    maxHandshakes: limits.maxPendingHandshakes,
    undisturbedMs: UNDISTURBED_HANDSHAKE_MS,
    admits(remote, hasRoom) {
      const forbidden = door.hostRefusal(remote.host);
      const refused = forbidden ? "forbidden" : admission.arriveTls(remote.host, clock.nowMs(), hasRoom);
      if (refused) door.turnedAway(remote, refused, forbidden);
      return refused === undefined;
    },
    failed(remote, cause) {
      const error =
        cause instanceof AsocError
          ? cause
          : new ConnectionError("ASOC_TLS_HANDSHAKE", describe(cause), { cause });
      const nowMs = clock.nowMs();
      const blame = isBlamed(error) && !(isAccident(error) && admission.isFamiliar(remote.host, nowMs));
      const blocked = admission.failedTls(remote.host, blame, nowMs);
      door.turnedAway(remote, blocked ? "failed handshake, address blocked" : "failed handshake", error);
    },
  };
}

/** Never plaintext by mistake, whatever the transport was asked for: ASOC_TLS_INSECURE, in either direction. */
export function insecureError(
  conn: Pick<Conn, "tls">,
  config: TlsConfig | undefined,
): ConnectionError | undefined {
  if (!config || conn.tls) return undefined;
  return new ConnectionError(
    "ASOC_TLS_INSECURE",
    "The connection is not encrypted, although TLS is configured",
  );
}

/** Never plaintext by mistake: a connection without TLS where it was asked for is given up. Throws ASOC_TLS_INSECURE, ASOC_WRONG_IDENTITY. */
export function checkDialled(
  conn: Conn,
  config: TlsConfig | undefined,
  expectedId: string | undefined,
): void {
  if (!config) return;
  const insecure = insecureError(conn, config);
  if (insecure) throw insecure;
  const peerNodeId = conn.tls?.peerNodeId;
  if (!peerNodeId || expectedId === undefined || equalBytes(peerNodeId, parseNodeId(expectedId))) return;
  const got = formatNodeId(peerNodeId);
  throw new AuthError(
    "ASOC_WRONG_IDENTITY",
    `The certificate is of ${got}, discovery has announced ${expectedId}`,
    { details: { expected: expectedId, got } },
  );
}

/** What users see of it. */
export function peerTls(tls: ConnTls | undefined, proven: boolean): PeerTls | undefined {
  if (!tls) return undefined;
  const { protocol, peerCertificateSha256, peerVerified } = tls;
  return {
    protocol,
    certificateSha256: peerCertificateSha256 && toHex(peerCertificateSha256),
    verified: peerVerified ? "certificate" : proven ? "proof" : "nothing",
  };
}
