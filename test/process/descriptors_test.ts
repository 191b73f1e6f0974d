/**
 * A process without free file descriptors: it cannot take connections, those that it has go on, and it takes new ones
 * when there are descriptors again. The limit of a running process is lowered under what it has open.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { constants } from "node:os";
import process from "node:process";
import { test } from "node:test";
import { RUNTIMES } from "../support/process.ts";
import { freshSource, RawPeer } from "../support/raw_peer.ts";
import { HOST, MiB, Peer } from "./peer.ts";

const skip =
  process.platform !== "linux" || spawnSync("prlimit", ["--version"]).error
    ? "needs Linux and prlimit"
    : false;
const STRANGERS = 20;
const STANDARD_STREAMS = 3;

/** `count` is the soft limit from now on. */
function limitDescriptors({ pid }: Peer, count: number): void {
  const { status, stderr } = spawnSync("prlimit", ["--pid", String(pid), `--nofile=${count}:`], {
    encoding: "utf8",
  });
  assert.equal(status, 0, stderr);
}

/**
 * Half a second after its start Deno makes descriptors for its signal handlers, and aborts where there are none: SIGUSR1 is
 * the last that it begins to catch.
 */
function catchesSignals({ pid }: Peer): boolean {
  const caught = /^SigCgt:\s+([0-9a-f]+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  return (BigInt(`0x${caught}`) & (1n << BigInt(constants.signals.SIGUSR1 - 1))) !== 0n;
}

for (const runtime of RUNTIMES) {
  test(`${runtime} without free descriptors: its session goes on, strangers get no answer, and it serves again when there are some`, {
    skip,
  }, async () => {
    const quick = { reconnectMinMs: 20, reconnectMaxMs: 60, reconnectCapMs: 200, dialTimeoutMs: 1000 };
    await using victim = await Peer.start(runtime, { limits: quick });
    await using elsewhere = await Peer.start("node");
    await using good = await Peer.start("node", { peers: [victim.address] });
    await good.event("joined", { id: victim.id });

    if (runtime === "deno") await victim.statsUntil(() => catchesSignals(victim));
    limitDescriptors(victim, STANDARD_STREAMS); // what is closed meanwhile makes no room either
    const source = freshSource();
    const strangers = await Promise.all(
      Array.from({ length: STRANGERS }, () => RawPeer.connect(victim.port, source).catch(() => undefined)),
    );
    victim.command({ cmd: "addPeer", address: elsewhere.address });
    const failed = await victim.event("dialFailed");
    // Bun calls every dial that the system does not begin a refused one.
    if (runtime !== "bun") assert.equal(failed.code, "ASOC_OUT_OF_DESCRIPTORS", String(failed.message));
    for (const reread of [false, true]) {
      const mark = victim.mark;
      await victim.receives(await good.send(victim.id, { bytes: 16 * MiB, reread }), good.id, mark);
    }
    assert.deepEqual(victim.all("refused"), [], "a connection was taken although nothing was left");

    limitDescriptors(victim, 1024);
    for (const stranger of strangers) stranger?.[Symbol.dispose]();
    await victim.event("joined", { id: elsewhere.id });
    await using late = await Peer.start("node", { host: HOST, peers: [victim.address] });
    await late.event("joined", { id: victim.id });
    assert.deepEqual(victim.all("left"), []);
    assert.deepEqual(good.all("left"), []);
  });
}
