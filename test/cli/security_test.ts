/** The audit log, access rules and secrets, as users run them: real processes on each runtime. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readdir, readFile, rm, stat } from "node:fs/promises";
import { describe, test } from "node:test";
import { join } from "../../src/mod.ts";
import { type Json, type Process, RUNTIMES } from "../support/process.ts";
import { frame, freshId, freshSource, hello, idText, RawPeer, TYPE } from "../support/raw_peer.ts";
import { event, Home, noise, ready } from "./support.ts";

const ALICE = "0a0a0a0a-0000-8000-8000-00000000000a";
const SERVE = ["serve", "--json", "--port", "0", "--no-discovery"];

async function lines(path: string): Promise<Json[]> {
  const text = await readFile(path, "utf8").catch(() => "");
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Json);
}

/** The first line of the log that is `wanted`, once it is there. */
async function logged(path: string, wanted: (line: Json) => boolean): Promise<Json> {
  for (let tries = 0; tries < 1000; tries++) {
    const found = (await lines(path)).find(wanted);
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.fail(`no such line in ${JSON.stringify(await lines(path)).slice(0, 2000)}`);
}

async function end(process: Process): Promise<void> {
  process.kill("SIGINT");
  assert.equal(await process.exitWithin(), 0, process.stderr);
}

/** A connection that says HELLO with another key, from `source`. */
async function knock(port: number, source: string, id = freshId()): Promise<void> {
  const connected = await RawPeer.connect(port, source).catch(() => undefined); // turned away at the door
  using raw = connected;
  raw?.send(frame(TYPE.HELLO, 0, 0, hello("another key", id)));
  await raw?.ends();
}

describe("on each runtime", { concurrency: 3 }, () => {
  for (const runtime of RUNTIMES) {
    test(`serve --audit-log on ${runtime} tells who came and was refused, sums floods up, and survives its file's deletion`, async () => {
      await using home = await Home.make();
      const log = home.path("audit.log");
      const serve = home.node(runtime, [...SERVE, "--audit-log", log, "--gateway", "127.0.0.1:0"]);
      const { id, address, port } = await ready(serve);
      const { url } = await event(serve, "gateway");
      const noisy = freshSource();
      for (let i = 0; i < 40; i++) await knock(port, noisy);
      await logged(log, (line) => line.what === "address.blocked" && line.where === noisy);

      await home.file("a.bin", noise(1000));
      const send = home.node("node", ["send", "a.bin", "--to", address, "--node-id", ALICE]);
      assert.equal(await send.exitWithin(), 0, send.stderr);
      const accepted = await logged(log, (line) => line.what === "handshake.accepted");
      assert.deepEqual(accepted.who, { nodeId: ALICE });
      assert.match(String(accepted.where), /^127\.0\.0\.1:\d+$/);
      assert.equal((await stat(log)).mode & 0o777, 0o600);
      assert.equal((await lines(log))[0]?.what, "node.started");

      const stranger = await fetch(`${url}/v1/health`, { headers: { origin: "https://evil.example" } });
      assert.equal(stranger.status, 403);
      await logged(
        log,
        (line) => line.what === "gateway.refused" && line.reason === "GATEWAY_FORBIDDEN_ORIGIN",
      );
      const metrics = await (await fetch(`${url}/metrics`)).text();
      assert.match(
        metrics,
        /asoc_audit_events_total\{what="handshake.refused",outcome="refused",reason="ASOC_WRONG_KEY"\} 5\n/,
      );

      await logged(log, (line) => line.what === "connection.refused" && Number(line.more) >= 25);
      const refused = (await lines(log)).filter(
        (line) => line.outcome === "refused" && line.what !== "gateway.refused",
      );
      assert.ok(refused.length < 15, `${refused.length} lines of 40 refusals`);
      assert.equal(refused[0]?.reason, "ASOC_WRONG_KEY");

      await rm(log);
      await knock(port, freshSource());
      await logged(log, (line) => line.reason === "ASOC_WRONG_KEY");
      await end(serve);
      const last = (await lines(log)).at(-1);
      assert.deepEqual([last?.what, (last?.who as Json)?.nodeId], ["node.stopped", id]);
    });

    test(`serve --access on ${runtime} holds peers to uuid, address, topic and tap, and reads the file again at SIGHUP`, async () => {
      await using home = await Home.make();
      const log = home.path("audit.log");
      const allowed = freshSource();
      const rules = (more: object) =>
        JSON.stringify({
          default: "deny",
          rules: [
            { name: "alice", match: { nodeId: ALICE }, maySend: ["metrics/**"], mayTap: ["kv/**"], ...more },
            { name: "lab", match: { address: `${allowed}/32` } },
          ],
        });
      const file = await home.file("access.json", rules({}));
      const serve = home.node(runtime, [...SERVE, "--access", file, "--audit-log", log, "--tap", "**"]);
      const { id, address, port } = await ready(serve);
      await serve.waitForText(/access: 2 rules, default deny; advisory, .*: alice/);

      const send = (nodeId: string, ...more: string[]) =>
        home.node("node", ["send", "a.bin", "--to", address, "--node-id", nodeId, "--timeout", "4", ...more]);
      await home.file("a.bin", noise(1000));
      const good = send(ALICE, "--topic", "metrics/loss");
      const wrong = send(ALICE, "--topic", "weights/1");
      const stranger = send(idText(freshId()));
      assert.equal(await good.exitWithin(), 0, good.stderr);
      assert.notEqual(await wrong.exitWithin(), 0);
      assert.match(wrong.stderr, /not allowed by its receiver/);
      assert.notEqual(await stranger.exitWithin(), 0);
      await logged(
        log,
        (line) => line.what === "permission.denied" && (line.facts as Json).topic === "weights/1",
      );
      const denied = await logged(
        log,
        (line) => line.what === "handshake.refused" && line.reason === "ASOC_FORBIDDEN",
      );
      assert.match(String((denied.who as Json).nodeId), /^[0-9a-f-]{36}$/);

      // Nothing is said on the wire to whoever may not connect, and whoever comes from an allowed address may.
      const connected = await RawPeer.connect(port, freshSource()).catch(() => undefined); // turned away at the door
      using outsider = connected;
      outsider?.send(frame(TYPE.HELLO, 0, 0, hello(home.key)));
      assert.equal((await outsider?.ends())?.length ?? 0, 0);
      using insider = await RawPeer.connect(port, allowed);
      insider.send(frame(TYPE.HELLO, 0, 0, hello(home.key)));
      await insider.take(30);

      await using tapper = await join({
        apiKey: home.key,
        nodeId: ALICE,
        host: "127.0.0.1",
        peers: [address],
      });
      await tapper.peers.wait(1, { timeoutMs: 20_000 });
      tapper.tap(id, "weights/**");
      tapper.tap(id, "kv/**");
      await logged(log, (line) => line.what === "tap.granted" && (line.facts as Json).topic === "kv/**");
      await logged(log, (line) => line.what === "permission.denied" && (line.facts as Json).action === "tap");

      await home.file("access.json", "{ this is no JSON");
      serve.kill("SIGHUP");
      await serve.waitFor((one) => one.event === "access" && one.loaded === false);
      await logged(log, (line) => line.what === "access.refused");
      assert.equal(
        serve.events.some((one) => one.event === "peer" && one.state === "left" && one.id === id),
        false,
      );
      await home.file("access.json", rules({ mayConnect: false }));
      serve.kill("SIGHUP");
      await serve.waitFor((one) => one.event === "access" && one.loaded === true);
      await logged(log, (line) => line.what === "session.ended" && line.reason === "ASOC_FORBIDDEN");
      await end(serve);
    });

    test(`no key or token is in anything that a node on ${runtime} says, writes or shows, after good and bad input`, async () => {
      await using home = await Home.make();
      const canary = randomBytes(32).toString("hex");
      const token = `asoc_${"z".repeat(20)}${randomBytes(30)
        .toString("base64url")
        .replace(/[^1-9A-HJ-NP-Za-km-z]/g, "")
        .slice(0, 12)
        .padEnd(12, "z")}`;
      const file = await home.file("key", `${canary}\n`);
      const log = home.path("audit.log");
      const made = home.asoc(runtime, ["token", "--scope", "read", "--name", "test"]);
      assert.equal(await made.exitWithin(), 0, made.stderr);
      const real = made.stdout.trim();
      const reports =
        runtime === "node" ? { NODE_OPTIONS: `--report-on-signal --report-directory=${home.dir}` } : {};
      const common = [...SERVE, "--audit-log", log, "--gateway", "127.0.0.1:0", "--out", "out"];
      const byVariable = home.node(runtime, common, { ASOC_API_KEY: canary, ...reports });
      const byFile = home.node(runtime, [...SERVE, "--api-key-file", file], { ASOC_API_KEY: "" });
      const { port, address } = await ready(byVariable);
      await ready(byFile);
      const { url } = await event(byVariable, "gateway");

      await home.file("a.bin", noise(1000));
      const send = home.node(runtime, ["send", "a.bin", "--to", address], { ASOC_API_KEY: canary });
      assert.equal(await send.exitWithin(), 0, send.stderr);
      await knock(port, freshSource());
      for (const bytes of [randomBytes(100), Buffer.from("GET / HTTP/1.1\r\n\r\n")]) {
        using raw = await RawPeer.connect(port, freshSource());
        raw.send(bytes);
        await raw.ends();
      }
      for (const bad of [token, real.slice(0, -1), canary]) {
        await fetch(`${url}/v1/streams`, { headers: { authorization: `Bearer ${bad}` } });
        await fetch(`${url}/v1/events?access_token=${bad}`).then((answer) => answer.body?.cancel());
      }
      await fetch(`${url}/v1/node`, { headers: { authorization: `Bearer ${real}` } });
      await logged(log, (line) => line.what === "gateway.refused");

      const refused = [
        home.node(runtime, ["serve", "--api-key", canary]),
        home.node(runtime, ["serve", `--api-key=${canary}`]),
        home.node(runtime, ["serve", "--key", canary, "--json"]),
        home.node(runtime, [...SERVE, "--port", "x"], { ASOC_API_KEY: canary }),
      ];
      for (const run of refused) assert.equal(await run.exitWithin(), 2, run.stderr);
      assert.match(
        refused[0]?.stderr ?? "",
        /every user of the machine; use ASOC_API_KEY or --api-key-file FILE/,
      );

      if (runtime === "node") {
        byVariable.child.kill("SIGUSR2");
        for (
          let tries = 0;
          tries < 500 && !(await readdir(home.dir)).some((name) => name.startsWith("report."));
          tries++
        )
          await new Promise((resolve) => setTimeout(resolve, 20));
        assert.ok(
          (await readdir(home.dir)).some((name) => name.startsWith("report.")),
          "no diagnostic report was written",
        );
      }
      const shown: [string, string][] = [];
      for (const run of [byVariable, byFile, send]) shown.push(["output", run.stdout + run.stderr]);
      for (const run of refused) shown.push(["output of a refused command", run.stdout + run.stderr]);
      for (const [name, one] of [
        ["variable", byVariable],
        ["file", byFile],
      ] as const) {
        const pid = one.child.pid;
        if (process.platform !== "linux") break;
        shown.push([`command line (${name})`, await readFile(`/proc/${pid}/cmdline`, "utf8")]);
        shown.push([`name (${name})`, await readFile(`/proc/${pid}/comm`, "utf8")]);
      }
      if (process.platform === "linux") {
        shown.push(["environment (file)", await readFile(`/proc/${byFile.child.pid}/environ`, "utf8")]);
        // What the kernel keeps of the environment that a process was started with cannot be taken back.
        const kept = await readFile(`/proc/${byVariable.child.pid}/environ`, "utf8");
        assert.ok(kept.includes(canary), "the documentation says that it is there");
      }
      await end(byVariable);
      await end(byFile);
      for (const name of await readdir(home.dir, { recursive: true })) {
        const path = home.path(name);
        if (name !== "key" && (await stat(path)).isFile()) shown.push([name, await readFile(path, "latin1")]);
      }
      assert.ok(shown.some(([name]) => name === "audit.log"));
      for (const [name, text] of shown) {
        for (const secret of [canary, token, real])
          assert.ok(!text.includes(secret), `a secret is in ${name}: ${text.slice(0, 500)}`);
      }
    });
  }
});
