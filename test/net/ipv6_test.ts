/** Limits by address over IPv6, with real sockets: a network of 64 bits counts as one (RFC-0001, Abuse). */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { Peer } from "../process/peer.ts";
import { whyNoNamespaces } from "../support/netns.ts";
import { RUNTIMES } from "../support/process.ts";

const skip = whyNoNamespaces() ?? false;
const NETNS = `asoc${process.pid}v6`;
const ADDRESSES = ["fd00::1", "fd00::2", "fd00::3", "fd00::4", "fd01::2"];
const PORT = 9000;

function ip(...words: string[]): void {
  const { status, stderr } = spawnSync("ip", words, { encoding: "utf8" });
  assert.equal(status, 0, `ip ${words.join(" ")}: ${stderr}`);
}

/** A HELLO with a key that is none, from that address; ends when the other side has closed. */
const KNOCK = `
const [source, port] = process.argv.slice(1);
const socket = require("node:net").connect({ host: "fd00::1", port: Number(port), localAddress: source });
const bytes = Buffer.alloc(50, 7);
Buffer.from([1, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 36]).copy(bytes);
socket.on("error", () => {}).on("close", () => process.exit(0)).resume();
socket.end(bytes);
`;

function knock(source: string): void {
  const words = ["netns", "exec", NETNS, process.execPath, "-e", KNOCK, source, String(PORT)];
  const { status, stderr } = spawnSync("ip", words, { encoding: "utf8", timeout: 15_000 });
  assert.equal(status, 0, stderr);
}

test("addresses of one IPv6 network share one count of failures, and those of another have their own", {
  skip,
  timeout: 120_000,
}, async () => {
  ip("netns", "add", NETNS);
  try {
    ip("-n", NETNS, "link", "set", "lo", "up");
    for (const address of ADDRESSES)
      ip("-n", NETNS, "-6", "addr", "add", `${address}/64`, "dev", "lo", "nodad");
    for (const runtime of RUNTIMES) {
      await using victim = await Peer.start(runtime, { host: "::", port: PORT }, { netns: NETNS });
      for (const source of ["fd00::2", "fd00::3", "fd00::2", "fd00::3", "fd00::2"]) knock(source);
      await victim.event("refused", { code: "ASOC_WRONG_KEY", reason: "failed handshake, address blocked" });
      knock("fd00::4"); // which has done nothing itself
      const shut = await victim.event("refused", { reason: "blocked" });
      assert.equal((shut.address as { host?: string } | undefined)?.host ?? shut.host, "fd00::4");
      knock("fd01::2");
      await victim.event("refused", { host: "fd01::2", code: "ASOC_WRONG_KEY" });
    }
  } finally {
    spawnSync("ip", ["netns", "delete", NETNS]);
  }
});
