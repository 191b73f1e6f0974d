/** `asoc bench` against `asoc serve`, on each runtime. */
import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { test } from "node:test";
import { fittingSize } from "../../src/cli/bench.ts";
import { RUNTIMES } from "../support/process.ts";
import { event, Home, ready } from "./support.ts";

for (const runtime of RUNTIMES) {
  test(`asoc bench on ${runtime} measures the path to a serve, which keeps nothing of it`, async () => {
    await using home = await Home.make();
    const serve = home.node(runtime, ["serve", "--json", "--port", "0", "--no-discovery", "--out", "out"]);
    const { address } = await ready(serve);
    const bench = home.node(runtime, ["bench", "--to", address, "--seconds", "0.2", "--json"]);
    assert.equal(await bench.exitWithin(60_000), 0, bench.stderr);
    const rows = bench.events.filter((one) => one.event === "bench");
    const tests = new Set(rows.map((row) => row.test));
    assert.deepEqual([...tests], ["throughput", "frames", "streams", "roundTrip"]);
    for (const row of rows) {
      const [value] = [row.bytesPerSecond, row.framesPerSecond, row.p50Us].filter((one) => one !== undefined);
      assert.ok(Number(value) > 0, JSON.stringify(row));
    }
    assert.ok(Number(rows[0]?.cpuSecondsPerGB) > 0);
    assert.ok(Number(rows.at(-1)?.p99Us) >= Number(rows.at(-1)?.p50Us));
    assert.deepEqual(await readdir(home.path("out")), []);
    serve.kill("SIGINT");
    assert.equal(await serve.exitWithin(), 0);
  });
}

test("asoc bench without --json prints a table", async () => {
  await using home = await Home.make();
  const serve = home.node("node", ["serve", "--json", "--port", "0", "--no-discovery"]);
  const { address } = await ready(serve);
  const bench = home.node("node", ["bench", "--to", address, "--seconds", "0.1"]);
  assert.equal(await bench.exitWithin(60_000), 0, bench.stderr);
  assert.match(bench.stdout, /^MEASUREMENT +RESULT\n/);
  assert.match(
    bench.stdout,
    /^throughput, \d+ MiB tensors +\S+ [kMG]B\/s {2}\d+ tensors\/s, digest crc32, /m,
  );
  assert.match(bench.stdout, /^round trip of 1 KiB +\d+ us {2}p99 \d+ us, \d+ of them$/m);
});

test("asoc bench --digest is what the peer checks, and --seconds makes tensors smaller on a slow path", async () => {
  await using home = await Home.make();
  const serve = home.node("node", ["serve", "--json", "--port", "0", "--no-discovery"]);
  const { address } = await ready(serve);
  const flags = ["--to", address, "--seconds", "0.01", "--digest", "sha256", "--json"];
  const bench = home.node("node", ["bench", ...flags]);
  assert.equal(await bench.exitWithin(60_000), 0, bench.stderr);
  const rows = bench.events.filter((one) => one.event === "bench");
  const digests = rows.filter((row) => row.test !== "roundTrip").map((row) => row.digest);
  assert.deepEqual(new Set(digests), new Set(["sha256"]));
  const sizes = rows.filter((row) => row.test === "throughput").map((row) => Number(row.tensorBytes));
  // No loopback takes 64 MiB with SHA-256 in a hundredth of a second.
  assert.ok(Math.max(...sizes) < 64 * 2 ** 20, String(sizes));
  assert.equal(new Set(sizes).size, sizes.length);
});

test("fittingSize() is what was wanted where that fits, else the next power of two that does", () => {
  const MiB = 2 ** 20;
  assert.equal(fittingSize(64 * MiB, 64 * MiB), 64 * MiB);
  assert.equal(fittingSize(64 * MiB, 33 * MiB), 32 * MiB);
  assert.equal(fittingSize(64 * MiB, 5), 1024);
});

for (const [measurement, before] of [
  ["throughput", "throughput"],
  ["round trips", "streams"],
] as const) {
  test(`asoc bench whose peer is killed during ${measurement} ends with 4 and says so, without a crash`, async () => {
    await using home = await Home.make();
    const serve = home.node("node", ["serve", "--json", "--port", "0", "--no-discovery"]);
    const { address } = await ready(serve);
    const bench = home.node("node", ["bench", "--to", address, "--seconds", "1", "--json"]);
    // The next measurement has begun when the result of one is out.
    await bench.waitFor((one) => one.event === "bench" && one.test === before, 60_000);
    serve.kill("SIGKILL");
    assert.equal(await bench.exitWithin(30_000), 4, bench.stderr);
    const { message } = await event(bench, "error");
    assert.match(String(message), /was lost during the measurement/);
    assert.doesNotMatch(bench.stderr, /unhandled|at file:/i);
  });
}

test("asoc bench to a peer that does not answer says that `asoc serve` would", async () => {
  await using home = await Home.make();
  const recv = home.node("node", [
    "recv",
    "--json",
    "--port",
    "0",
    "--no-discovery",
    "--out",
    "out",
    "--count",
    "9",
  ]);
  const { address } = await ready(recv);
  const bench = home.node("node", ["bench", "--to", address, "--json"]);
  assert.equal(await bench.exitWithin(), 1);
  assert.match(
    String((await event(bench, "error").catch(() => ({ message: bench.stdout }))).message),
    /`asoc serve` answers/,
  );
});

test("asoc bench wants one peer", async () => {
  await using home = await Home.make();
  const bench = home.node("node", ["bench", "--to", "all"]);
  assert.equal(await bench.exitWithin(), 2);
  assert.match(bench.stderr, /--to: expected one peer, got all/);
});
