/**
 * What keeping strangers out costs: the handshakes of ASoc, TLS 1.3 and SSH in bytes and time, and bulk over a plain socket,
 * TLS, ASoc without and with TLS, and SSH, over loopback (RFC-0002, section 10). `node test/bench/compare_security.ts [SSHD]`; without the path of an
 * OpenSSH server, and `ssh` and `ssh-keygen` beside it, SSH is left out.
 *
 * Bytes are counted at the socket, or by a relay between two nodes. Both ends of bulk run in one process but for SSH, so that
 * its processor time is that of both, and only ratios mean anything.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { connect as connectTls, createServer as createTlsServer } from "node:tls";
import { type Peer as AsocPeer, join as joinAsoc, type TlsOptions } from "../../src/mod.ts";
import { Peer } from "../process/peer.ts";
import { frame, freshId, RawPeer, TYPE } from "../support/raw_peer.ts";
import { X1Peer } from "../support/raw_x1.ts";

const HANDSHAKES = 200;
const NODE_HANDSHAKES = 40;
const SSH_HANDSHAKES = 5;
const BULK_BYTES = 256 * 1024 * 1024;
const BULK_ROUNDS = 3;
const PART = Buffer.alloc(1024 * 1024, 7);
const KEY = randomBytes(32).toString("hex");
const COMMUNITY = "compare";

interface Row {
  readonly name: string;
  readonly bytes: number;
  readonly ms: number;
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

const folder = mkdtempSync(join(tmpdir(), "asoc-compare-"));

function certificate(): { key: string; cert: string } {
  const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")];
  const args =
    "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=compare".split(" ");
  const made = spawnSync("openssl", [...args, "-keyout", key, "-out", cert]);
  if (made.status !== 0) throw new Error(String(made.stderr));
  return { key, cert };
}

async function listening(server: Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

async function repeat(name: string, count: number, one: () => Promise<number>): Promise<Row> {
  const times: number[] = [];
  let bytes = 0;
  for (let each = 0; each < count; each++) {
    const startMs = performance.now();
    bytes = await one();
    times.push(performance.now() - startMs);
  }
  return { name, bytes, ms: median(times) };
}

async function asocRows(): Promise<Row[]> {
  await using node = await Peer.start("node", {
    apiKey: KEY,
    community: COMMUNITY,
    limits: { maxAttemptsPerHour: 100_000, maxConnections: 10_000 },
  });
  const total = ({ socket }: RawPeer) => socket.bytesRead + socket.bytesWritten;
  const plain = await repeat("ASoc v0.1", HANDSHAKES, async () => {
    using raw = await RawPeer.join(node.port, KEY, freshId());
    return total(raw);
  });
  const proven = await repeat("ASoc x1, no X25519", HANDSHAKES, async () => {
    using peer = await X1Peer.join(node.port, { key: KEY, community: COMMUNITY });
    const bytes = total(peer.raw);
    peer.raw.send(frame(TYPE.CONTROL, 0, 2));
    return bytes;
  });
  return [plain, proven];
}

/** Two nodes, from `join` of the one that dials until each has the other: its listener, X25519 and all. */
async function nodeRow(name: string, tls: TlsOptions | undefined): Promise<Row> {
  const secure = tls ? { tls } : {};
  const options = { apiKey: KEY, community: COMMUNITY, discovery: false, host: "127.0.0.1", ...secure };
  await using acceptor = await joinAsoc({
    ...options,
    limits: { maxAttemptsPerHour: 100_000, maxConnections: 10_000 },
  });
  const relay = await counting(acceptor.address.port);
  try {
    return await repeat(name, NODE_HANDSHAKES, async () => {
      const before = relay.bytes();
      await using dialler = await joinAsoc({ ...options, peers: [`127.0.0.1:${relay.port}`] });
      await dialler.peers.wait(1, { timeoutMs: 10_000 });
      const isThere = ({ nodeId }: AsocPeer) => nodeId === dialler.id;
      await acceptor.peers.waitFor((all) => all.some(isThere) || undefined, { timeoutMs: 10_000 });
      return relay.bytes() - before;
    });
  } finally {
    relay.server.close();
  }
}

async function tlsRows(files: { key: string; cert: string }): Promise<Row[]> {
  const { readFileSync } = await import("node:fs");
  const pair = { key: readFileSync(files.key), cert: readFileSync(files.cert) };
  const rows: Row[] = [];
  for (const mutual of [false, true]) {
    const server = createTlsServer(
      { ...pair, minVersion: "TLSv1.3", requestCert: mutual, rejectUnauthorized: false },
      (socket) => {
        socket.on("error", () => {});
        socket.write("!"); // its handshake is over
      },
    );
    const port = await listening(server);
    rows.push(
      await repeat(
        mutual ? "TLS 1.3, certificates on both sides" : "TLS 1.3, one certificate",
        HANDSHAKES,
        async () => {
          const raw = connect(port, "127.0.0.1");
          const secure = connectTls({ socket: raw, ...(mutual ? pair : {}), rejectUnauthorized: false });
          await once(secure, "data");
          const bytes = raw.bytesRead + raw.bytesWritten;
          secure.destroy();
          return bytes;
        },
      ),
    );
    server.close();
  }
  return rows;
}

interface Ssh {
  readonly port: number;
  readonly args: readonly string[];
  readonly process: ChildProcess;
}

async function startSsh(sshd: string): Promise<Ssh> {
  for (const name of ["host", "user"])
    spawnSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", join(folder, name)]);
  const server = createServer();
  const port = await listening(server);
  server.close();
  const lines = [
    `Port ${port}`,
    "ListenAddress 127.0.0.1",
    `HostKey ${join(folder, "host")}`,
    `AuthorizedKeysFile ${join(folder, "user.pub")}`,
    "StrictModes no",
    "UsePAM no",
    "PasswordAuthentication no",
    `PidFile ${join(folder, "pid")}`,
    "PermitRootLogin prohibit-password",
  ];
  writeFileSync(join(folder, "sshd_config"), `${lines.join("\n")}\n`);
  const process = spawn(sshd, ["-D", "-e", "-f", join(folder, "sshd_config")], { stdio: "ignore" });
  const options = [
    "StrictHostKeyChecking=no",
    `UserKnownHostsFile=${join(folder, "known")}`,
    "LogLevel=ERROR",
  ];
  const args = ["-i", join(folder, "user"), "-F", "none", ...options.flatMap((each) => ["-o", each])];
  return { port, args: [...args, `${userInfo().username}@127.0.0.1`], process };
}

/** A relay that counts what passes. */
async function counting(to: number): Promise<{ server: Server; port: number; bytes: () => number }> {
  let passed = 0;
  const server = createServer((client) => {
    const target = connect(to, "127.0.0.1");
    for (const [from, into] of [
      [client, target],
      [target, client],
    ] as const) {
      from.on("data", (part: Buffer) => {
        passed += part.length;
        into.write(part);
      });
      from.on("close", () => into.destroy());
      from.on("error", () => {});
    }
  });
  return { server, port: await listening(server), bytes: () => passed };
}

async function sshRows({ port, args }: Ssh): Promise<Row[]> {
  const run = (through: number) =>
    spawnSync("ssh", ["-p", String(through), ...args, "true"], { timeout: 20_000 });
  for (let tries = 0; run(port).status !== 0 && tries < 20; tries++)
    await new Promise((done) => setTimeout(done, 200));
  const relay = await counting(port);
  const once = spawn("ssh", ["-p", String(relay.port), ...args, "true"], { stdio: "ignore" });
  await new Promise((done) => once.once("close", done));
  relay.server.close();
  const timed = await repeat("SSH, keys on both sides, to `true` and its end", SSH_HANDSHAKES, async () => {
    const { status, stderr } = run(port);
    if (status !== 0) throw new Error(String(stderr));
    return relay.bytes();
  });
  return [timed];
}

interface Speed {
  readonly megabytesPerSecond: number;
  /** Of this process, both ends; undefined where others do the work. */
  readonly cpuSecondsPerGib: number | undefined;
}

function speedSince(startMs: number, cpu?: NodeJS.CpuUsage): Speed {
  const spent = cpu && process.cpuUsage(cpu);
  return {
    megabytesPerSecond: BULK_BYTES / 1000 / (performance.now() - startMs),
    cpuSecondsPerGib: spent && ((spent.user + spent.system) / 1e6) * (2 ** 30 / BULK_BYTES),
  };
}

/** BULK_BYTES from `write` until all of it has come. */
async function bulk(from: Socket, all: Promise<unknown>): Promise<Speed> {
  const cpu = process.cpuUsage();
  const startMs = performance.now();
  for (let sent = 0; sent < BULK_BYTES; sent += PART.length) if (!from.write(PART)) await once(from, "drain");
  from.end();
  await all;
  return speedSince(startMs, cpu);
}

/** The same as one tensor, until its receiver has it whole and has said so. */
async function bulkOfNodes(tls: TlsOptions | undefined): Promise<Speed> {
  const secure = tls ? { tls } : {};
  const options = { apiKey: KEY, community: COMMUNITY, discovery: false, host: "127.0.0.1", ...secure };
  await using receiver = await joinAsoc(options);
  await using sender = await joinAsoc({ ...options, peers: [`127.0.0.1:${receiver.address.port}`] });
  const [peer] = await sender.peers.wait(1, { timeoutMs: 10_000 });
  if (!peer) throw new Error("no peer");
  const taking = (async () => {
    for await (const stream of receiver.incoming) for await (const _part of stream.chunks());
  })();
  async function* parts() {
    for (let sent = 0; sent < BULK_BYTES; sent += PART.length) yield PART;
  }
  const cpu = process.cpuUsage();
  const startMs = performance.now();
  await sender.send(peer, parts());
  const speed = speedSince(startMs, cpu);
  await receiver.close();
  await taking;
  return speed;
}

function drained(socket: Socket): Promise<void> {
  return new Promise((resolve) => socket.on("data", () => {}).once("end", resolve));
}

async function bulkOnce(
  kind: string,
  files: { key: string; cert: string },
  ssh: Ssh | undefined,
): Promise<Speed> {
  if (kind === "ASoc x1") return bulkOfNodes(undefined);
  if (kind === "ASoc x1 over TLS") return bulkOfNodes({ folder: join(folder, "certs") });
  const came = Promise.withResolvers<void>();
  const take = (socket: Socket) => void drained(socket).then(came.resolve);
  if (kind === "SSH") {
    if (!ssh) throw new Error("there is no ssh");
    const child = spawn("ssh", ["-p", String(ssh.port), ...ssh.args, "cat >/dev/null"], {
      stdio: ["pipe", "ignore", "inherit"],
    });
    const startMs = performance.now();
    const input = child.stdin;
    for (let sent = 0; sent < BULK_BYTES; sent += PART.length)
      if (!input.write(PART)) await once(input, "drain");
    input.end();
    await once(child, "close");
    return speedSince(startMs);
  }
  const { readFileSync } = await import("node:fs");
  const pair = { key: readFileSync(files.key), cert: readFileSync(files.cert) };
  const server = kind === "TLS 1.3" ? createTlsServer(pair, take) : createServer(take);
  const port = await listening(server);
  const socket =
    kind === "TLS 1.3"
      ? connectTls({ host: "127.0.0.1", port, rejectUnauthorized: false })
      : connect(port, "127.0.0.1");
  await once(socket, kind === "TLS 1.3" ? "secureConnect" : "connect");
  const speed = await bulk(socket, came.promise);
  server.close();
  return speed;
}

const files = certificate();
const [sshd] = process.argv.slice(2);
const ssh = sshd ? await startSsh(sshd) : undefined;
try {
  const rows = [
    ...(await asocRows()),
    await nodeRow("ASoc x1 with X25519, two nodes", undefined),
    await nodeRow("ASoc x1 over TLS, two nodes", { folder: join(folder, "certs") }),
    ...(await tlsRows(files)),
    ...(ssh ? await sshRows(ssh) : []),
  ];
  for (const { name, bytes, ms } of rows) console.log(`${name}: ${bytes} bytes, ${ms.toFixed(2)} ms`);
  const kinds = ["plain TCP", "TLS 1.3", "ASoc x1", "ASoc x1 over TLS", ...(ssh ? ["SSH"] : [])];
  const speeds = new Map<string, Speed[]>(kinds.map((kind) => [kind, []]));
  for (let round = 0; round < BULK_ROUNDS; round++)
    for (const kind of kinds) speeds.get(kind)?.push(await bulkOnce(kind, files, ssh));
  const rate = (values: readonly Speed[]) => median(values.map((one) => one.megabytesPerSecond));
  const base = rate(speeds.get("plain TCP") ?? []);
  for (const [kind, values] of speeds) {
    const cpu = median(values.map((one) => one.cpuSecondsPerGib ?? Number.NaN));
    const cost = Number.isNaN(cpu) ? "" : `, ${cpu.toFixed(2)} s of processor for 1 GiB`;
    console.log(
      `${kind}: ${rate(values).toFixed(0)} MB/s, ${(rate(values) / base).toFixed(2)} of plain${cost}`,
    );
  }
} finally {
  ssh?.process.kill();
  rmSync(folder, { recursive: true });
}
