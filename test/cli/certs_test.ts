/** `asoc certs` and `--tls`, as users run them. */
import assert from "node:assert/strict";
import { copyFile, mkdir, readFile, stat } from "node:fs/promises";
import { test } from "node:test";
import { resolveTls } from "../../src/certs/options.ts";
import { COMMON_FLAGS, JOIN_FLAGS, readArgs } from "../../src/cli/args.ts";
import { nodeSettings } from "../../src/cli/config.ts";
import { readTls } from "../../src/cli/tls.ts";
import { type Json, type Process, RUNTIMES, type RuntimeName } from "../support/process.ts";
import { event, Home, noise, ready } from "./support.ts";

const SERVE = ["serve", "--json", "--port", "0", "--no-discovery"] as const;
const NEXT: Record<RuntimeName, RuntimeName> = { node: "bun", bun: "deno", deno: "node" };

async function events(run: Process): Promise<Json[]> {
  assert.equal(await run.exitWithin(), 0, run.stderr);
  return run.events;
}

for (const runtime of RUNTIMES) {
  test(`asoc certs makes an authority, and nodes certified by it are who they say they are, on ${runtime}`, async () => {
    await using home = await Home.make();
    const certs = (...words: string[]) => events(home.asoc(runtime, ["certs", ...words, "--json"]));
    const [authority] = await certs("init");
    assert.equal(authority?.isAuthority, true);
    assert.equal((await stat(home.path(".asoc", "certs", "ca.pem"))).mode & 0o777, 0o600);
    const issued: Record<string, Json | undefined> = {};
    for (const name of ["gpu1", "gpu2"])
      [issued[name]] = await certs("issue", name, "--out", home.path(name), "--for", "127.0.0.1");
    assert.equal((await stat(home.path("gpu1", "node.pem"))).mode & 0o777, 0o600);
    const as = (name: string) => ["--tls=ca", "--tls-client-cert", "--tls-dir", home.path(name)];
    const serve = home.node(runtime, [...SERVE, ...as("gpu1"), "--out", home.path("got")]);
    const told = await event(serve, "ready");
    assert.equal(told.nodeId, issued.gpu1?.nodeId);
    assert.deepEqual(told.tls, { verify: "ca", certificateSha256: issued.gpu1?.sha256 });
    const { address } = await ready(serve);
    const file = await home.file("data.bin", noise(100_000));
    const send = home.node(NEXT[runtime], ["send", file, "--to", address, ...as("gpu2")]);
    assert.equal(await send.exitWithin(), 0, send.stderr);
    const joined = await event(serve, "peer", "joined");
    assert.equal(joined.id, issued.gpu2?.nodeId);
    assert.deepEqual(joined.tls, {
      protocol: "TLSv1.3",
      certificateSha256: issued.gpu2?.sha256,
      verified: "certificate",
    });
    await event(serve, "stream", "received"); // the sender knows before the file has its name
    assert.deepEqual(await readFile(home.path("got", "data.bin")), Buffer.from(noise(100_000)));
    // A certificate of one's own is none of this authority's.
    await mkdir(home.path("self"));
    await copyFile(home.path("gpu1", "ca.crt"), home.path("self", "ca.crt"));
    const stranger = home.node(runtime, ["peers", "--peers", address, "--timeout", "4", ...as("self")]);
    assert.equal(await stranger.exitWithin(), 3, stranger.stdout);
    const refused = await event(serve, "refused");
    assert.equal(refused.code, "ASOC_TLS_UNTRUSTED");
    // Somebody else's id is not to be had with one's own certificate.
    const thief = home.node(runtime, [...SERVE, ...as("gpu2"), "--node-id", String(issued.gpu1?.nodeId)]);
    assert.equal(await thief.exitWithin(), 2);
    assert.match(thief.stderr, /this node's certificate is of/);
  });

  test(`asoc serve --tls makes its certificate, and plaintext is refused on either side, on ${runtime}`, async () => {
    await using home = await Home.make();
    const serve = home.node(runtime, [...SERVE, "--tls"]);
    const open = home.node(runtime, [...SERVE]);
    const { tls } = (await event(serve, "ready")) as { tls: Json };
    const [tlsAt, plainAt] = [(await ready(serve)).address, (await ready(open)).address];
    assert.equal((await stat(home.path(".asoc", "certs", "node.pem"))).mode & 0o777, 0o600);
    const look = (at: string, timeoutS: string, ...words: string[]) =>
      home.node(NEXT[runtime], ["peers", "--json", "--peers", at, "--timeout", timeoutS, ...words]);
    const seen = look(tlsAt, "20", "--tls"); // ends as soon as it has seen it
    const plain = look(tlsAt, "4");
    const toPlain = look(plainAt, "4", "--tls");
    const [peer] = (await events(seen)).filter((one) => one.event === "peer");
    const { certificateSha256 } = tls;
    assert.deepEqual(peer?.tls, { protocol: "TLSv1.3", certificateSha256, verified: "proof" });
    assert.equal(await plain.exitWithin(), 3);
    assert.match(plain.stderr, /TLS/);
    assert.equal(await toPlain.exitWithin(), 3);
    assert.match(toPlain.stderr, /before TLS was established; it may not speak TLS/);
    await serve.waitFor((one) => one.event === "refused" && one.code === "ASOC_TLS_MISMATCH");
    await open.waitFor((one) => one.event === "refused" && /speaks TLS/.test(String(one.reason)));
  });
}

test("asoc certs show prints what --tls-pin takes, asoc certs list what there is, and asoc peers who is verified how", async () => {
  await using home = await Home.make();
  const show = home.asoc("node", ["certs", "show"]);
  assert.equal(await show.exitWithin(), 0, show.stderr);
  const pin = /sha256 ([0-9a-f]{64})/.exec(show.stdout)?.[1] ?? "";
  const list = await events(home.asoc("node", ["certs", "list", "--json"]));
  assert.deepEqual(
    list.map(({ sha256 }) => sha256),
    [pin],
  );
  const serve = home.node("node", [...SERVE, "--tls"]);
  const { address, id } = await ready(serve);
  const peers = home.node("node", ["peers", "--peers", address, "--tls", "--tls-pin", pin]);
  assert.equal(await peers.exitWithin(), 0, peers.stderr);
  assert.match(peers.stdout, /^PEER +ADDRESS +PROTOCOL +VERIFIED BY +CERTIFICATE\n/);
  assert.match(peers.stdout, new RegExp(`^${id} +${address} +x1 +certificate +${pin}$`, "m"));
  const words = ["peers", "--peers", address, "--timeout", "4", "--tls", "--tls-pin", "00".repeat(32)];
  const other = home.node("node", words);
  assert.equal(await other.exitWithin(), 3);
  assert.match(other.stderr, /shows a certificate that is not pinned/);
});

test("asoc certs list, show and serve warn of a certificate that ends soon", async () => {
  await using home = await Home.make();
  for (const words of [["init"], ["issue", "gpu1", "--days", "7", "--out", home.path("gpu1")]])
    assert.equal(await home.asoc("node", ["certs", ...words]).exitWithin(), 0);
  const pattern = /warning: \S+node\.pem: the certificate ends on \S+, in [67] days; asoc certs issue makes/;
  for (const word of ["list", "show"]) {
    const run = home.asoc("node", ["certs", word, "--tls-dir", home.path("gpu1")]);
    assert.equal(await run.exitWithin(), 0);
    assert.match(run.stderr, pattern);
  }
  const serve = home.node("node", [...SERVE, "--tls=ca", "--tls-dir", home.path("gpu1")]);
  await ready(serve);
  assert.match(serve.stderr, pattern);
});

test("asoc says what is wrong with the flags of TLS", async () => {
  await using home = await Home.make();
  const readable = await home.file("key.pem", "nothing");
  const cases: [string[], RegExp][] = [
    [["serve", "--tls=maybe"], /--tls: expected proof, pin, ca, none, got "maybe"/],
    [["serve", "--tls-cert", "a.pem"], /--tls-cert: expected --tls with it/],
    [["serve", "--tls=pin"], /--tls: expected --tls-pin SHA256 with pin/],
    [["serve", "--tls=proof", "--tls-pin", "12"], /--tls-pin: is for --tls=pin/],
    [["serve", "--tls=pin", "--tls-pin", "12"], /expected 64 hexadecimal digits, got "12"/],
    [["serve", "--tls=ca"], /asoc certs init makes one/],
    [["serve", "--tls", "--tls-cert", readable], /expected mode 600, got 644/],
    [["serve", "--tls", "--tls-key", "a.pem"], /--tls-key: expected --tls-cert with it/],
    [["certs"], /certs: expected init, issue NAME\|UUID, list or show \[FILE\], got nothing/],
    [["certs", "issue", "gpu1"], /there is no authority; asoc certs init makes one/],
    [["certs", "issue", "../x"], /expected a name of letters/],
  ];
  // In this process, where it is quick; the last ones show how it ends the command.
  for (const [[command = "", ...words], pattern] of cases) {
    if (command === "certs") continue;
    const run = async () => {
      const found = await nodeSettings(
        readArgs(command, { ...JOIN_FLAGS, ...COMMON_FLAGS }, words),
        home.env(),
        0,
      );
      if (found.tls) await resolveTls(await readTls(found.tls));
    };
    await assert.rejects(run, pattern, words.join(" "));
  }
  for (const [args, pattern] of cases.slice(-3)) {
    const run = home.asoc("node", args);
    assert.equal(await run.exitWithin(), 2, args.join(" "));
    assert.match(run.stderr, pattern);
  }
  const none = home.node("node", [...SERVE, "--tls=none"]);
  await ready(none);
  assert.match(none.stderr, /warning: --tls=none verifies nobody/);
});
