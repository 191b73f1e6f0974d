/** What a TLS transport refuses, on the runtime that runs this file: each with its own code. */
import assert from "node:assert/strict";
import { connect as connectTcp, createServer as createTcpServer, type Server, type Socket } from "node:net";
import { test } from "node:test";
import { connect as connectTls, createServer as createTlsServer } from "node:tls";
import type { Conn, TlsConfig, TlsListen } from "../../src/core/runtime.ts";
import { runtimeAtHand } from "../../src/join.ts";
import {
  configOf,
  content,
  digestOf,
  issueCertificate,
  listenOf,
  makeAuthority,
  makeSelfSigned,
  NODE_ID,
} from "../support/tls.ts";

const HOST = "127.0.0.1";
const DAY_MS = 86_400_000;
const { transport, name: runtime } = await runtimeAtHand();
const own = await makeSelfSigned(content());
const other = await makeSelfSigned(content());
const authority = await makeAuthority(content());
const strangers = await makeAuthority(content());
const certified = await issueCertificate(authority, content({ nodeId: NODE_ID }));
const byAddress = await issueCertificate(authority, content({ hosts: [HOST] }));
const byName = await issueCertificate(authority, content({ hosts: ["gpu1.example"] }));
const ended = await issueCertificate(
  authority,
  content({ nodeId: NODE_ID, unixMs: Date.now() - 40 * DAY_MS }),
);
const authorities = [authority.certificatePem];
const toHex = (bytes: Uint8Array | undefined) => bytes && Buffer.from(bytes).toString("hex");

/** A listener; `taken` resolves with what it has taken, `failure` with the first handshake that failed. */
async function listener(config: TlsConfig, more: Partial<TlsListen> = {}) {
  let take: (conn: Conn) => void = () => {};
  const taken = new Promise<Conn>((resolve) => {
    take = resolve;
  });
  let fail: (error: Error) => void = () => {};
  const failure = new Promise<Error>((resolve) => {
    fail = resolve;
  });
  const options = listenOf(config, { failed: (_remote, error) => fail(error), ...more });
  const listening = await transport.listen({ host: HOST, port: 0 }, take, options);
  return { ...listening, taken, failure, [Symbol.asyncDispose]: () => listening.close() };
}

function dial(port: number, config: TlsConfig, timeoutMs = 5000): Promise<Conn> {
  return transport.dial({ host: HOST, port }, { timeoutMs, tls: config });
}

/** Dials `accepting` with `dialling` and expects the code; the listener hears of no connection that was good. */
async function refused(accepting: TlsConfig, dialling: TlsConfig, code: string): Promise<void> {
  await using far = await listener(accepting);
  await assert.rejects(dial(far.address.port, dialling), { code });
}

async function foreign(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, HOST, resolve));
  const bound = server.address();
  return typeof bound === "object" && bound ? bound.port : 0;
}

test(`TLS on ${runtime}: both ends know the acceptor's certificate, and what the other side has shown`, async () => {
  await using far = await listener(configOf(own));
  const near = await dial(far.address.port, configOf(other));
  const taken = await far.taken;
  const [ours, theirs] = [digestOf(own.certificatePem), digestOf(other.certificatePem)];
  assert.equal(near.tls?.protocol, "TLSv1.3");
  assert.equal(toHex(near.tls?.certificateSha256), ours);
  assert.equal(toHex(near.tls?.peerCertificateSha256), ours);
  assert.equal(toHex(taken.tls?.certificateSha256), ours);
  assert.equal(toHex(taken.tls?.peerCertificateSha256), theirs);
  // Nothing was verified, whatever the runtime's own flag says.
  assert.equal(near.tls?.peerVerified, false);
  assert.equal(taken.tls?.peerVerified, false);
  near.abort();
  taken.abort();
});

test(`TLS on ${runtime}: a pin lets the pinned certificate through, and no other`, async () => {
  const pinned = configOf(other, { verify: "pin", pins: [digestOf(own.certificatePem)] });
  await using far = await listener(configOf(own));
  const conn = await dial(far.address.port, pinned);
  assert.equal(conn.tls?.peerVerified, true);
  (await far.taken).abort();
  conn.abort();
  await refused(configOf(other), pinned, "ASOC_TLS_UNTRUSTED");
});

test(`TLS on ${runtime}: an authority vouches for node ids and addresses, for its own certificates only`, async () => {
  const dialling = configOf(own, { verify: "ca", authorities });
  for (const [shown, id] of [
    [certified, NODE_ID.replaceAll("-", "")],
    [byAddress, undefined],
  ] as const) {
    await using far = await listener(configOf(shown));
    const conn = await dial(far.address.port, dialling);
    assert.equal(conn.tls?.peerVerified, true);
    assert.equal(toHex(conn.tls?.peerNodeId), id);
    (await far.taken).abort();
    conn.abort();
  }
  await refused(configOf(own), dialling, "ASOC_TLS_UNTRUSTED");
  const others = configOf(own, { verify: "ca", authorities: [strangers.certificatePem] });
  await refused(configOf(certified), others, "ASOC_TLS_UNTRUSTED");
  await refused(configOf(byName), dialling, "ASOC_TLS_WRONG_NAME");
  await refused(configOf(ended), dialling, "ASOC_TLS_EXPIRED");
});

test(`TLS on ${runtime}: a verdict is not carried from a configuration that verifies nothing to one that does`, async () => {
  await using far = await listener(configOf(own));
  const { port } = far.address;
  for (let i = 0; i < 3; i++) (await dial(port, configOf(other))).abort();
  const dialling = configOf(other, { verify: "ca", authorities });
  await assert.rejects(dial(port, dialling), { code: "ASOC_TLS_UNTRUSTED" });
});

test(`TLS on ${runtime}: who dials without a certificate, or with one that does not hold, is refused where one is demanded`, async () => {
  const demanding = configOf(certified, { verify: "ca", authorities, requireClientCertificate: true });
  const shows = async (shown?: { certificatePem: string; keyPem: string }) => {
    await using far = await listener(demanding);
    const socket = connectTls({
      host: HOST,
      port: far.address.port,
      rejectUnauthorized: false,
      ...(shown ? { cert: shown.certificatePem, key: shown.keyPem } : {}),
    });
    socket.on("error", () => {});
    const outcome = await Promise.race([far.failure, far.taken]);
    socket.destroy();
    if (outcome instanceof Error) return (outcome as Error & { code?: string }).code;
    outcome.abort();
    return outcome.tls?.peerVerified;
  };
  assert.equal(await shows(), "ASOC_TLS_NO_CERTIFICATE");
  assert.equal(await shows(own), "ASOC_TLS_UNTRUSTED");
  assert.equal(await shows(ended), "ASOC_TLS_EXPIRED");
  assert.equal(await shows(byName), true);
});

test(`TLS on ${runtime}: a peer that speaks TLS 1.2 at most is refused in either role`, async () => {
  const old = { minVersion: "TLSv1.2", maxVersion: "TLSv1.2" } as const;
  const server = createTlsServer({ cert: other.certificatePem, key: other.keyPem, ...old });
  server.on("tlsClientError", () => {});
  const port = await foreign(server);
  await assert.rejects(dial(port, configOf(own)), { code: "ASOC_TLS_VERSION" });
  server.close();
  await using far = await listener(configOf(own));
  const socket = connectTls({ host: HOST, port: far.address.port, rejectUnauthorized: false, ...old });
  socket.on("error", () => {});
  assert.equal(((await far.failure) as Error & { code?: string }).code, "ASOC_TLS_VERSION");
  socket.destroy();
});

test(`TLS on ${runtime}: a peer that speaks no TLS is refused in either role`, async () => {
  const sockets = new Set<Socket>();
  for (const answer of ["some words that are no TLS", undefined]) {
    const server = createTcpServer((socket) => {
      sockets.add(socket);
      socket.on("error", () => {});
      socket.once("data", () => (answer === undefined ? socket.destroy() : socket.end(answer)));
    });
    const port = await foreign(server);
    await assert.rejects(dial(port, configOf(own)), { code: "ASOC_TLS_MISMATCH" });
    for (const socket of sockets) socket.destroy();
    server.close();
  }
  await using far = await listener(configOf(own));
  const socket = connectTcp({ host: HOST, port: far.address.port });
  socket.on("error", () => {});
  const closed = new Promise((resolve) => socket.once("close", resolve));
  socket.resume();
  socket.write(Uint8Array.of(1, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 36)); // HELLO of RFC-0001
  assert.equal(((await far.failure) as Error & { code?: string }).code, "ASOC_TLS_MISMATCH");
  await closed;
});

test(`TLS on ${runtime}: a handshake that does not come in time is given up, by both sides`, async () => {
  await using far = await listener(configOf(own), { handshakeTimeoutMs: 50 });
  const silent = connectTcp({ host: HOST, port: far.address.port });
  silent.on("error", () => {});
  assert.equal(((await far.failure) as Error & { code?: string }).code, "ASOC_HANDSHAKE_TIMEOUT");
  silent.destroy();
  const server = createTcpServer((socket) => void socket.on("error", () => {}).resume());
  const port = await foreign(server);
  await assert.rejects(dial(port, configOf(own), 100), { code: "ASOC_DIAL_TIMEOUT" });
  server.close();
});

/** Connections that say nothing. */
async function silentSockets(port: number, count: number): Promise<Socket[]> {
  const sockets = Array.from({ length: count }, () => connectTcp({ host: HOST, port }).on("error", () => {}));
  await Promise.all(sockets.map((socket) => new Promise((resolve) => socket.once("connect", resolve))));
  return sockets;
}

test(`TLS on ${runtime}: silent sockets make way for who comes later, and a blocked address costs no handshake`, async () => {
  await using far = await listener(configOf(own), { maxHandshakes: 2, undisturbedMs: 0 });
  const silent = await silentSockets(far.address.port, 2);
  const conn = await dial(far.address.port, configOf(other));
  const failure = (await far.failure) as Error & { code?: string };
  assert.equal(failure.code, "ASOC_ADMISSION"); // which is held against nobody
  assert.match(failure.message, /make room for a newer one/);
  (await far.taken).abort();
  conn.abort();
  for (const socket of silent) socket.destroy();
  await using closed = await listener(configOf(own), { admits: () => false });
  await assert.rejects(dial(closed.address.port, configOf(other)), { code: "ASOC_TLS_MISMATCH" });
});

test(`TLS on ${runtime}: a handshake has its time to itself, and newcomers without a place are refused till then`, async () => {
  const rooms: boolean[] = [];
  const admits = (_remote: unknown, hasRoom: boolean) => {
    rooms.push(hasRoom);
    return hasRoom;
  };
  const failures: Error[] = [];
  const failed = (_remote: unknown, error: Error) => void failures.push(error);
  const far = await listener(configOf(own), { maxHandshakes: 2, undisturbedMs: 60_000, admits, failed });
  const silent = await silentSockets(far.address.port, 2);
  await assert.rejects(dial(far.address.port, configOf(other)), { code: "ASOC_TLS_MISMATCH" });
  assert.deepEqual(rooms, [true, true, false]);
  assert.deepEqual(failures, [], "the flood ended nobody's handshake");
  for (const socket of silent) socket.destroy();
  await far.close();
});

test(`TLS on ${runtime}: a renewed certificate is shown from the next connection on`, async () => {
  let identity = configOf(own).identity();
  // Whatever it takes is dropped by the dialler.
  await using far = await listener({ ...configOf(own), identity: () => identity });
  const shown = async () => {
    const conn = await dial(far.address.port, configOf(other));
    conn.abort();
    return toHex(conn.tls?.certificateSha256);
  };
  assert.equal(await shown(), digestOf(own.certificatePem));
  identity = configOf(other).identity();
  assert.equal(await shown(), digestOf(other.certificatePem));
});
