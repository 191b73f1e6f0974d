/** The pass in which the benchmark compares content: it has to notice what it is there for. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { sha256 } from "../support/raw_peer.ts";
import { findProgram } from "./peers/peers.ts";
import { measure, Rig, RUNTIMES } from "./rig.ts";
import { fill } from "./roles/role.ts";

const MiB = 2 ** 20;

function tensor(byteCount: number, number: number): Uint8Array {
  const bytes = new Uint8Array(byteCount);
  fill(bytes, number);
  return bytes;
}

test("fill() gives every tensor another content, and every frame of it", () => {
  const frames = new Set<string>();
  for (const number of [0, 1, 1000]) {
    const bytes = tensor(16 * MiB, number);
    for (let at = 0; at < bytes.length; at += MiB) frames.add(sha256(bytes.subarray(at, at + MiB)));
  }
  assert.equal(frames.size, 3 * 16);
});

test("fill() does not depend on how much of a tensor is filled", () => {
  assert.deepEqual(tensor(3 * MiB, 5).subarray(0, 1001), tensor(1001, 5));
});

const skip = findProgram("python3") ? false : "python3 is not installed";
test("pattern() of the Python peers is fill()", { skip }, () => {
  const program =
    "import hashlib, role\nprint([hashlib.sha256(role.pattern(size, 4_000)).hexdigest() for size in (5, 3_000_001)])";
  const options = { cwd: "test/bench/peers", encoding: "utf8" } as const;
  const printed = execFileSync("python3", ["-c", program], options);
  const ours = [5, 3_000_001].map((size) => sha256(tensor(size, 4000)));
  assert.deepEqual(JSON.parse(printed.replaceAll("'", '"')), ours);
});

for (const runtime of RUNTIMES) {
  test(`a verified measurement on ${runtime} fails when other tensors come than were to come`, async () => {
    await using rig = new Rig();
    const pair = await rig.pair("asoc", runtime, runtime);
    const load = { tensorBytes: 3 * MiB, count: 3, frameBytes: MiB, verify: true };
    for (let pass = 0; pass < 2; pass++) await measure(pair, load);
    // Right content, in the wrong place: the second tensor comes first.
    await pair.receiver.ask({ cmd: "receive", ...load, first: 5000 }, "armed");
    const from = pair.receiver.process.events.length;
    pair.sender.tell({ cmd: "send", port: pair.receiver.port, ...load, first: 5001 });
    await pair.receiver.process.waitFor(({ event }) => event === "done", 20_000, from);
    const different = pair.receiver.process.events.filter(({ event }) => event === "different");
    assert.deepEqual(
      different.map(({ number }) => number),
      [5000, 5001, 5002],
    );
  });
}
