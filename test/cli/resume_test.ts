/** `asoc send` that is killed and started again: the receiver has one file, and only the rest went out. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { open, readdir, readFile, stat, utimes, writeFile } from "node:fs/promises";
import { describe, test } from "node:test";
import { encodeNpyHeader, encodeSafetensorsHeader, parseDType } from "../../src/mod.ts";
import { type Json, type Process, RUNTIMES, type RuntimeName } from "../support/process.ts";
import { Relay } from "../support/relay.ts";
import { event, Home, noise, ready } from "./support.ts";

const MiB = 1024 * 1024;
/** Long under way when this much has gone out. */
const FIRST_BYTES = 24 * MiB;
/** More than the first run has in sockets when nothing passes any more. */
const SLACK_BYTES = 8 * MiB;
const FLOAT32 = parseDType("float32");

/** `header`, and `byteCount` bytes of elements: noise here and there, so that nothing can be taken for its neighbour. */
async function sparse(path: string, header: Uint8Array, byteCount: number): Promise<void> {
  const handle = await open(path, "w");
  await handle.truncate(header.length + byteCount);
  await handle.write(header, 0, header.length, 0);
  const block = 4096;
  for (let at = 0; at + block <= byteCount; at += MiB)
    await handle.write(noise(block, at + 1), 0, block, header.length + at);
  await handle.close();
}

async function sha256(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const part of createReadStream(path)) hash.update(part as Uint8Array);
  return hash.digest("hex");
}

const ofKind = (process: Process, name: string, state?: string): Json[] =>
  process.events.filter((one) => one.event === name && (state === undefined || one.state === state));

function send(home: Home, runtime: RuntimeName, file: string, to: string, ...flags: string[]): Process {
  return home.node(runtime, ["send", file, "--json", "--to", to, ...flags]);
}

/** A relay to `serve` that passes so many bytes and then stands still: nothing can be over before a sender is killed. */
async function halting(port: number, bytes = FIRST_BYTES): Promise<{ relay: Relay; stands: Promise<void> }> {
  const relay = await Relay.start(port);
  return { relay, stands: relay.cutAfter(bytes + SLACK_BYTES, "still") };
}

/** Kills it for good when the relay stands still. What the relay holds is the receiver's; then it passes everything. */
async function killWhen(stands: Promise<void>, process: Process, ...relays: readonly Relay[]): Promise<void> {
  await stands;
  process.kill("SIGKILL");
  assert.equal(await process.exited, "SIGKILL");
  assert.equal(ofKind(process, "sent").length, 0, "it was killed in the middle");
  for (const relay of relays) relay.cut("fin");
}

/** The file that the receiver has got, once all of it is there. */
async function arrived(serve: Process): Promise<string> {
  const { file } = await serve.waitFor(
    (one) => one.event === "stream" && one.state === "received" && one.file !== undefined,
    60_000,
  );
  return String(file);
}

async function stateFiles(home: Home): Promise<string[]> {
  return (await readdir(home.path(".asoc", "transfers"))).sort();
}

const FILES: readonly { name: string; make: () => { header: Uint8Array; bytes: number } }[] = [
  {
    name: "model.safetensors",
    make: () => {
      const shapes = [[8], [96 * 1024, 256], [96 * 1024, 256], [3, 5]];
      const infos = shapes.map((shape, index) => ({ name: `layer.${index}`, dtype: FLOAT32, shape }));
      const { bytes: header, dataBytes } = encodeSafetensorsHeader(infos, new Map([["made", "here"]]));
      return { header, bytes: dataBytes };
    },
  },
  {
    name: "array.npy",
    make: () => {
      const header = encodeNpyHeader({ dtype: FLOAT32, shape: [192 * 1024, 256] });
      return { header, bytes: 192 * MiB };
    },
  },
];

describe("on each runtime", () => {
  for (const [index, runtime] of RUNTIMES.entries()) {
    const other = RUNTIMES[(index + 1) % RUNTIMES.length] ?? "node";
    const third = RUNTIMES[(index + 2) % RUNTIMES.length] ?? "node";
    for (const { name, make } of FILES) {
      test(`${name}: send on ${runtime}, killed and started again on ${third}, sends the rest to serve on ${other}`, async () => {
        await using home = await Home.make();
        const { header, bytes } = make();
        await sparse(home.path(name), header, bytes);
        const serve = home.node(other, ["serve", "--json", "--port", "0", "--no-discovery", "--out", "out"]);
        const { relay, stands } = await halting((await ready(serve)).port);
        await using _ = relay;
        const first = send(home, runtime, name, relay.address);
        const { id } = await ready(first);
        await killWhen(stands, first, relay);
        const left = await stateFiles(home);
        assert.equal(left.length, 2, left.join());
        for (const one of left)
          assert.equal((await stat(home.path(".asoc", "transfers", one))).mode & 0o777, 0o600);

        const second = send(home, third, name, relay.address);
        assert.equal(await second.exitWithin(60_000), 0, second.stderr);
        assert.equal((await ready(second)).id, id, "the same node");
        assert.match(second.stderr, /goes on with its transfer that was cut off/);
        const [sent] = ofKind(second, "sent");
        assert.equal(sent?.bytes, bytes);
        assert.equal(sent?.delivery, "verified");
        // What the first run had in sockets when it was killed may be lost.
        assert.ok(
          Number(sent?.sentBytes) <= bytes - FIRST_BYTES + 16 * MiB,
          `${sent?.sentBytes} of ${bytes}`,
        );
        assert.deepEqual(await stateFiles(home), []);

        const file = await arrived(serve);
        assert.equal(await sha256(home.path(file)), await sha256(home.path(name)));
        serve.kill();
        assert.equal(await serve.exitWithin(), 0, serve.stderr);
        assert.deepEqual(await readdir(home.path("out")), [name]);
        assert.equal(ofKind(serve, "stream", "failed").length, 0);
      });
    }
  }
});

test("send that is killed after Ctrl-C goes on, too; --no-resume begins anew and leaves nothing", async () => {
  await using home = await Home.make();
  await sparse(home.path("a.bin"), new Uint8Array(0), 256 * MiB);
  const serve = home.node("node", ["serve", "--json", "--port", "0", "--no-discovery", "--out", "out"]);
  const { relay, stands } = await halting((await ready(serve)).port);
  await using _ = relay;
  const first = send(home, "node", "a.bin", relay.address, "--no-resume");
  await killWhen(stands, first, relay);
  assert.deepEqual(await readdir(home.path(".asoc")).catch(() => []), []);

  const standsAgain = relay.cutAfter(FIRST_BYTES + SLACK_BYTES, "still");
  const second = send(home, "node", "a.bin", relay.address);
  await standsAgain;
  second.kill("SIGINT");
  await event(second, "closing");
  second.kill("SIGINT");
  assert.equal(await second.exitWithin(), 130, second.stderr);
  relay.cut("fin");
  const third = send(home, "node", "a.bin", relay.address);
  assert.equal(await third.exitWithin(60_000), 0, third.stderr);
  const [sent] = ofKind(third, "sent");
  assert.ok(Number(sent?.sentBytes) < 256 * MiB, third.stdout);
  assert.equal(await sha256(home.path(await arrived(serve))), await sha256(home.path("a.bin")));
});

test("send of a file that has changed says so and begins anew; of one that is being sent, it makes another transfer", async () => {
  await using home = await Home.make();
  await sparse(home.path("a.npy"), encodeNpyHeader({ dtype: FLOAT32, shape: [32 * MiB] }), 128 * MiB);
  const serve = home.node("node", ["serve", "--json", "--port", "0", "--no-discovery", "--out", "out"]);
  const { relay, stands } = await halting((await ready(serve)).port);
  await using _ = relay;
  const first = send(home, "bun", "a.npy", relay.address);
  await killWhen(stands, first, relay);
  await utimes(home.path("a.npy"), 1, 1);
  const from = serve.events.length;
  const second = send(home, "node", "a.npy", relay.address);
  await event(serve, "stream", "started", from);
  serve.kill("SIGSTOP"); // so that it cannot end before the third
  assert.match(second.stderr, /a\.npy: has changed since its transfer was cut off; it is sent anew/);
  assert.notEqual((await ready(second)).id, (await ready(first)).id);

  const third = send(home, "deno", "a.npy", relay.address, "--timeout", "60");
  await third.waitForText(/process \d+ sends it to the same targets; this is another transfer of it/);
  assert.notEqual((await ready(third)).id, (await ready(second)).id);
  serve.kill("SIGCONT");
  for (const run of [second, third]) {
    assert.equal(await run.exitWithin(60_000), 0, run.stderr);
    const [sent] = ofKind(run, "sent");
    assert.equal(sent?.sentBytes, 128 * MiB);
  }
  const left = (await stateFiles(home)).filter((name) => name.startsWith("file-"));
  assert.deepEqual(left, []);
});

test("send takes no state that is not whole, and goes on without a directory for it", async () => {
  await using home = await Home.make();
  await sparse(home.path("a.npy"), encodeNpyHeader({ dtype: FLOAT32, shape: [32 * MiB] }), 128 * MiB);
  const serve = home.node("deno", ["serve", "--json", "--port", "0", "--no-discovery"]);
  const { address, port } = await ready(serve);
  const { relay, stands } = await halting(port);
  await using _ = relay;
  const first = send(home, "node", "a.npy", relay.address);
  await killWhen(stands, first, relay);
  const kept = (await stateFiles(home)).find((name) => name.startsWith("file-")) ?? "";
  const path = home.path(".asoc", "transfers", kept);
  await writeFile(path, (await readFile(path, "utf8")).slice(0, 20));
  const second = send(home, "node", "a.npy", relay.address);
  assert.equal(await second.exitWithin(), 0, second.stderr);
  assert.equal(ofKind(second, "sent")[0]?.sentBytes, 128 * MiB);

  await using bare = await Home.make();
  await bare.file(".asoc", "a file, and no directory");
  await bare.file("b", noise(10));
  const third = bare.node("bun", ["send", "b", "--to", address], { ASOC_API_KEY: home.key });
  assert.equal(await third.exitWithin(), 0, third.stderr);
  assert.match(third.stderr, /cannot keep in .*transfers how far transfers are .*cannot be resumed/);
});

test("both are killed: what the receiver may have had fails as ASOC_OUTCOME_UNKNOWN, and --again sends it to the new one", async () => {
  await using home = await Home.make();
  const infos = ["a", "b", "c"].map((name) => ({ name, dtype: FLOAT32, shape: [16 * MiB] }));
  const { bytes: header, dataBytes } = encodeSafetensorsHeader(infos);
  await sparse(home.path("m.safetensors"), header, dataBytes);
  const serve = home.node("node", ["serve", "--json", "--port", "0", "--no-discovery", "--out", "out"]);
  const { id, port } = await ready(serve);
  const { relay, stands } = await halting(port, 80 * MiB); // the first tensor is there
  await using _ = relay;
  const to = relay.address;
  const first = send(home, "bun", "m.safetensors", to);
  await killWhen(stands, first, relay);
  serve.kill("SIGKILL");
  await serve.exited;
  const again = home.node("node", [
    "serve",
    "--json",
    "--port",
    String(port),
    "--node-id",
    id,
    "--no-discovery",
    "--out",
    "out2",
  ]);
  await ready(again);
  for (const runtime of ["node", "deno"] as const) {
    const second = send(home, runtime, "m.safetensors", to);
    assert.equal(await second.exitWithin(60_000), 4, second.stderr);
    const [error] = ofKind(second, "error");
    assert.equal(error?.code, "ASOC_OUTCOME_UNKNOWN", second.stdout);
    assert.match(String(error?.message), /all of it was sent.*with --again/);
  }
  assert.deepEqual(ofKind(again, "stream", "received"), [], "nothing came by itself");
  const third = send(home, "node", "m.safetensors", to, "--again");
  assert.equal(await third.exitWithin(60_000), 0, third.stderr);
  assert.equal(ofKind(third, "sent")[0]?.bytes, dataBytes);
  assert.equal(await sha256(home.path(await arrived(again))), await sha256(home.path("m.safetensors")));
});

test("a transfer to two peers goes on with each where it was", async () => {
  await using home = await Home.make();
  await sparse(home.path("a.bin"), new Uint8Array(0), 96 * MiB);
  const serves = (["bun", "deno"] as const).map((runtime, index) =>
    home.node(runtime, ["serve", "--json", "--port", "0", "--no-discovery", "--out", `out${index}`]),
  );
  const halts = await Promise.all(serves.map(async (serve) => halting((await ready(serve)).port)));
  const relays = halts.map(({ relay }) => relay);
  await using _ = relays[0];
  await using __ = relays[1];
  const run = () =>
    home.node("node", ["send", "a.bin", "--json", ...relays.flatMap(({ address }) => ["--to", address])]);
  const first = run();
  const stand = Promise.all(halts.map(({ stands }) => stands)).then(() => {});
  await killWhen(stand, first, ...relays);
  const second = run();
  assert.equal(await second.exitWithin(60_000), 0, second.stderr);
  assert.deepEqual(
    ofKind(second, "sent").map((one) => [one.bytes, one.delivery]),
    [
      [96 * MiB, "verified"],
      [96 * MiB, "verified"],
    ],
  );
  for (const serve of serves) {
    assert.equal(await sha256(home.path(await arrived(serve))), await sha256(home.path("a.bin")));
    assert.equal(ofKind(serve, "stream", "started").length, 1, "one stream, that was cut and went on");
  }
});
