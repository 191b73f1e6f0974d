/** `asoc doctor`, on each runtime. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { chmod, mkdir, writeFile } from "node:fs/promises";
import { test } from "node:test";
import { type Process, RUNTIMES } from "../support/process.ts";
import { accept, frame, RawServer, TYPE } from "../support/raw_peer.ts";
import { Home, KEY, ready } from "./support.ts";

const DOCTOR = ["doctor", "--json", "--port", "0", "--no-discovery"];

function finding(process: Process, check: string) {
  const found = process.events.find((one) => one.event === "finding" && one.check === check);
  assert.ok(found, `no finding about ${check}: ${process.stdout}`);
  return found;
}

for (const runtime of RUNTIMES) {
  test(`asoc doctor on ${runtime} finds runtime, key, ports, broadcast and clock in order`, async () => {
    await using home = await Home.make();
    const doctor = home.node(runtime, ["doctor", "--json", "--port", "0"]);
    assert.equal(await doctor.exitWithin(), 0, doctor.stderr);
    for (const check of ["runtime", "key", "ports", "broadcast", "clock", "peers", "open files"]) {
      assert.equal(finding(doctor, check).level, "ok", check);
    }
    const kernel = readFileSync("/proc/sys/net/ipv4/tcp_congestion_control", "utf8").trim();
    const congestion = finding(doctor, "congestion control");
    assert.equal(congestion.level, kernel === "bbr" ? "warning" : "ok");
    assert.match(String(congestion.found), new RegExp(`^${kernel}`));
  });
}

test("asoc doctor says that a port is in use, and what to do", async () => {
  await using home = await Home.make();
  const serve = home.node("node", ["serve", "--json", "--port", "0", "--no-discovery"]);
  const { port } = await ready(serve);
  const doctor = home.node("node", ["doctor", "--json", "--port", String(port)]);
  assert.equal(await doctor.exitWithin(), 0);
  const ports = finding(doctor, "ports");
  assert.equal(ports.level, "warning");
  assert.match(String(ports.found), /in use/);
  assert.match(String(ports.advice), /--port/);
});

test("asoc doctor without a key names `asoc keygen`, looks at the rest, and ends with 1", async () => {
  await using home = await Home.make();
  const doctor = home.node("node", ["doctor"], { ASOC_API_KEY: "" });
  assert.equal(await doctor.exitWithin(), 1);
  assert.match(doctor.stdout, /^problem +settings: No key: .*asoc keygen/m);
  assert.match(doctor.stdout, /^(ok|warning) +congestion control/m);
});

test("asoc doctor warns of a weak key", async () => {
  await using home = await Home.make();
  const doctor = home.node("node", ["doctor", "--json", "--port", "0", "--no-discovery"], {
    ASOC_API_KEY: "password",
  });
  assert.equal(await doctor.exitWithin(), 0);
  const key = finding(doctor, "key");
  assert.equal(key.level, "warning");
  assert.match(String(key.advice), /asoc keygen/);
});

test("asoc doctor goes through the security checklist: what is open is a warning with what to do, and closed it is in order", async () => {
  await using home = await Home.make();
  const open = home.asoc("node", [
    "doctor",
    "--json",
    "--port",
    "0",
    "--no-discovery",
    "--gateway",
    "127.0.0.1:0",
  ]);
  assert.equal(await open.exitWithin(), 0, open.stderr);
  for (const check of ["key source", "peers without proof", "encryption", "audit"])
    assert.equal(finding(open, check).level, "warning", check);
  for (const check of ["access", "gateway"]) assert.equal(finding(open, check).level, "ok", check);

  const key = await home.file("key", home.key);
  await chmod(key, 0o600);
  const access = await home.file(
    "access.json",
    JSON.stringify({
      default: "deny",
      rules: [{ match: { nodeId: "0a0a0a0a-0000-8000-8000-00000000000a" } }],
    }),
  );
  const flags = [
    "--api-key-file",
    key,
    "--legacy",
    "deny",
    "--access",
    access,
    "--audit-log",
    home.path("audit.log"),
  ];
  const closed = home.node("node", ["doctor", "--json", "--port", "0", "--no-discovery", ...flags]);
  assert.equal(await closed.exitWithin(), 0, closed.stderr);
  for (const check of ["key source", "peers without proof", "encryption", "audit"])
    assert.equal(finding(closed, check).level, "ok", check);
  assert.match(String(finding(closed, "access").found), /1 rules, default deny; 1 go by a uuid/);
});

test("asoc doctor finds secrets that others can read, and rules that asoc would not start with", async () => {
  await using home = await Home.make();
  const tokens = home.path(".asoc", "gateway-tokens.json");
  await mkdir(home.path(".asoc"), { mode: 0o700 });
  await writeFile(tokens, '{"tokens":[]}', { mode: 0o644 });
  const access = await home.file("access.json", "{}}");
  const doctor = home.node("node", ["doctor", "--json", "--port", "0", "--no-discovery", "--access", access]);
  assert.equal(await doctor.exitWithin(), 1);
  assert.equal(finding(doctor, "file modes").level, "problem");
  assert.match(String(finding(doctor, "file modes").advice), /chmod 600 .*gateway-tokens\.json/);
  assert.match(String(finding(doctor, "access").found), /expected JSON/);
});

test("asoc doctor and asoc peers tell which peers have not proven the key", async () => {
  await using home = await Home.make();
  await using old = await RawServer.listen((peer) => {
    void peer.take(50).then(
      () => peer.send(frame(TYPE.ACCEPT, 0, 0, accept(home.key))),
      () => {}, // it has gone
    );
  });
  const serve = home.node("node", ["serve", "--json", "--port", "0", "--no-discovery"]);
  const { address, id } = await ready(serve);
  const both = ["--peers", `${old.address},${address}`];
  const doctor = home.node("node", ["doctor", "--json", "--port", "0", ...both]);
  const list = home.node("node", ["peers", "--json", "--wait", "2", ...both]);
  const table = home.node("node", ["peers", "--wait", "2", ...both]);
  assert.equal(await doctor.exitWithin(), 0, doctor.stderr);
  const peers = finding(doctor, "peers");
  assert.equal(peers.level, "warning");
  assert.equal(peers.found, `2 connected, 1 of them without proof: ${old.address}`);
  assert.match(String(peers.advice), /--legacy deny/);
  assert.equal(await list.exitWithin(), 0, list.stderr);
  assert.deepEqual(
    Object.fromEntries(
      list.events.filter((one) => one.event === "peer").map((one) => [one.address, one.protocol]),
    ),
    { [old.address]: "v1", [address]: "x1" },
  );
  assert.equal(await table.exitWithin(), 0, table.stderr);
  assert.match(table.stdout, /^PEER +ADDRESS +PROTOCOL\n/);
  assert.match(table.stdout, new RegExp(`^${id} +${address} +x1$`, "m"));
  assert.match(table.stdout, new RegExp(`^${old.address} +${old.address} +v1$`, "m"));
});

test("asoc doctor names the file that the key came from: a named ring, the ring of the home, or the one key", async () => {
  await using home = await Home.make();
  const folder = home.path(".asoc");
  await mkdir(folder, { mode: 0o700 });
  await writeFile(home.path(".asoc", "api_key"), KEY, { mode: 0o600 });
  const unset = { ASOC_API_KEY: "" };
  const source = async (env: Record<string, string> = {}) => {
    const doctor = home.node("node", DOCTOR, { ...unset, ...env });
    assert.equal(await doctor.exitWithin(), 0, doctor.stderr);
    const { level, found } = finding(doctor, "key source");
    return `${level} ${found}`;
  };
  assert.equal(await source(), `ok ${home.path(".asoc", "api_key")}`);
  const other = home.path("other.json");
  for (const env of [unset, { ...unset, ASOC_KEY_RING: other }])
    assert.equal(await home.asoc("node", ["key", "add"], env).exitWithin(), 0);
  assert.equal(await source(), `ok ${home.path(".asoc", "keys.json")}`);
  assert.equal(await source({ ASOC_KEY_RING: other }), `ok ${other}`);
  await chmod(home.dir, 0o777);
  assert.match(await source({ ASOC_KEY_RING: other }), /^warning .*its folder has mode 777/);
});

test("asoc doctor warns of a ~/.asoc that others can look into, and finds every secret in it that they can read", async () => {
  await using home = await Home.make();
  const folder = home.path(".asoc");
  await mkdir(home.path(".asoc", "certs", "issued"), { recursive: true });
  await chmod(folder, 0o755);
  const pem = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
  const secrets = ["keys.json", "certs/node.pem", "certs/ca.pem", "certs/issued/gpu1.pem"];
  for (const name of [...secrets, "certs/ca.crt"]) {
    await writeFile(home.path(".asoc", name), name.endsWith(".pem") ? pem : "{}");
    await chmod(home.path(".asoc", name), 0o640);
  }
  await writeFile(home.path(".asoc", "certs", "public.pem"), "-----BEGIN CERTIFICATE-----\n", {
    mode: 0o644,
  });
  const doctor = home.node("node", DOCTOR);
  assert.equal(await doctor.exitWithin(), 1);
  assert.equal(finding(doctor, "~/.asoc").level, "warning");
  assert.equal(finding(doctor, "~/.asoc").advice, `chmod 700 ${folder}`);
  const named = String(finding(doctor, "file modes").advice).split(" ").slice(2);
  assert.deepEqual(named.sort(), secrets.map((name) => home.path(".asoc", name)).sort());
});
