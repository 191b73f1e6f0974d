/** `asoc bench` against `asoc serve`, on each runtime. */
import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { test } from "node:test";
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
    assert.deepEqual(
      rows.map((row) => row.test),
      ["throughput", "throughput", "throughput", "throughput", "frames", "streams", "roundTrip"],
    );
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
  assert.match(bench.stdout, /^throughput, 64 MiB tensors +\S+ [kMG]B\/s {2}/m);
  assert.match(bench.stdout, /^round trip of 1 KiB +\d+ us {2}p99 \d+ us, \d+ of them$/m);
});

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
