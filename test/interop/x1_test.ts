/**
 * Interoperation with `x1_peer.py` (Python 3.11, standard library only), which was written from the RFCs of the extension
 * x1 and shares no code with us: each of our runtimes, whoever dials, both directions.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { MiB, Peer } from "../process/peer.ts";
import { Process, RUNTIMES } from "../support/process.ts";
import { COMMUNITY, PythonPeer } from "./v01_python.ts";
import { Couple, type Kind, X1Python } from "./x1_python.ts";

const KiB = 1024;
const ODD_BYTES = 5 * MiB + 3;
/** Confirmed often, and back again soon, so that a test needs neither large tensors nor the usual seconds. */
const SOON = { reconnectMinMs: 50, reconnectMaxMs: 100, ackBytes: 8 * MiB };
const KINDS: readonly Kind[] = [
  { bytes: 0 },
  { bytes: ODD_BYTES, topic: "train/größe", metadata: { loss: 0.25, tags: ["ä", null] } },
  { bytes: 24, dtype: "float32", shape: [2, 3], topic: "train/w", digest: "sha256" },
  { bytes: 6, dtype: "bfloat16", shape: [3, 1], metadata: [1, 2] },
  { bytes: 4, dtype: "float32", shape: [], topic: "a scalar" },
  { bytes: 0, dtype: "float32", shape: [0, 3], digest: "sha256" },
  { bytes: 2 * MiB, dtype: "float64", shape: [512, 512], digest: "none" },
];

test("the x1 peer in Python agrees with every golden vector", async () => {
  await using python = new Process([
    "python3",
    "test/interop/x1_peer.py",
    "--vectors",
    "test/vectors/x1.json",
  ]);
  assert.equal(await python.exitWithin(), 0, python.stdout);
  assert.ok(Number(python.events.find((event) => event.event === "golden")?.passed) > 100);
});

for (const runtime of RUNTIMES) {
  for (const dialler of ["python", "node"] as const) {
    const who = dialler === "python" ? "an x1 peer in Python dials us" : "we dial an x1 peer in Python";

    test(`${runtime}: ${who}: every kind of tensor goes both ways, with what is said of it`, async () => {
      await using couple = await Couple.start(runtime, dialler);
      for (const [seed, kind] of KINDS.entries()) {
        const from = await couple.fromPython(kind, { seed });
        const to = await couple.toPython(kind, seed);
        const odd = dialler === "python" ? from : to;
        assert.deepEqual([Number(odd.sent.streamId) % 2, odd.came.streamId], [1, odd.sent.streamId]);
      }
      await couple.fromPython({ bytes: ODD_BYTES }, { seed: 99, unknownTotal: true, chunkBytes: 100_003 });
      couple.python.command("ping");
      await couple.python.event("pong");
      couple.peaceful();
    });

    for (const direction of ["sends", "receives"] as const) {
      test(`${runtime}: ${who}: what it ${direction} goes on after a cut in mid-tensor, and is handed over once`, async () => {
        await using couple = await Couple.start(runtime, dialler, {}, { limits: SOON });
        const { python, ours } = couple;
        if (direction === "sends") {
          const course = { cutAt: 10 * MiB, cutAfterAck: 8 * MiB, chunkBytes: MiB / 4 };
          const { sent } = await couple.fromPython({ bytes: 12 * MiB + 5, topic: "cut" }, course);
          assert.equal(sent.streams, 2);
          const { offset } = await python.event("resumeAnswered");
          assert.ok(Number(offset) >= 8 * MiB && Number(offset) <= 10 * MiB, `resumed at ${offset}`);
        } else {
          python.command("cutInbound", { bytes: 2.5 * MiB });
          const { came, sent } = await couple.toPython({ bytes: ODD_BYTES, topic: "cut" });
          assert.deepEqual([came.streams, sent.cuts], [2, 1]);
          assert.ok(Number(came.base) >= 2.5 * MiB, `resumed at ${came.base}`);
        }
        assert.equal(python.all("closed", { why: "cut" }).length, 1);
        assert.deepEqual([...ours.all("tensorFailed"), ...python.all("tensorFailed")], []);
      });

      test(`${runtime}: ${who}: what it ${direction} is handed over once, also when the connection takes its ACK along`, async () => {
        await using couple = await Couple.start(runtime, dialler, {}, { limits: SOON });
        const { python, ours } = couple;
        if (direction === "sends") {
          const id = python.begin(ours, { bytes: 300 * KiB }, { loseAck: true });
          await ours.event("tensor", { bytes: 300 * KiB });
          python.command("cut");
          const { streams } = await python.sent(id);
          assert.equal(streams, 1);
          assert.equal((await python.event("resumeAnswered")).offset, null);
          assert.equal(ours.all("tensor").length, 1);
        } else {
          python.command("cutInbound", { atEnd: true });
          const { sent } = await couple.toPython({ bytes: 300 * KiB });
          assert.equal(sent.cuts, 1);
          assert.equal((await python.event("resumeAsked")).offset, null);
        }
      });
    }
  }

  test(`${runtime}: a transfer whose connection ended with FIN inside a frame goes on, too`, async () => {
    await using couple = await Couple.start(runtime, "python", {}, { limits: SOON });
    const course = { cutAt: 10.5 * MiB, cutAfterAck: 8 * MiB }; // in the middle of a chunk of 1 MiB
    await couple.fromPython({ bytes: 12 * MiB + 5 }, course);
    const { offset } = await couple.python.event("resumeAnswered");
    assert.ok(Number(offset) >= 8 * MiB, `resumed at ${offset}`);
  });

  test(`${runtime}: a tensor from Python with a wrong digest is refused with STOP, and nothing of it is handed over`, async () => {
    await using couple = await Couple.start(runtime, "python");
    for (const digest of ["crc32", "sha256"] as const) {
      const id = couple.python.begin(couple.ours, { bytes: 700 * KiB, digest }, { wrongDigest: true });
      const failed = await couple.python.event("sendFailed", { id });
      assert.equal(failed.code, 4);
      const { streamId } = failed;
      const error = await couple.ours.event("tensorFailed", { streamId });
      assert.equal(error.code, "ASOC_DIGEST_MISMATCH");
    }
    assert.deepEqual(couple.ours.all("tensor"), []);
    await couple.fromPython({ bytes: ODD_BYTES });
    couple.peaceful();
  });

  test(`${runtime}: RESET from Python fails the tensor here, STOP from Python the send`, async () => {
    await using couple = await Couple.start(runtime, "node", { step: 0, credit: 10_000 });
    const { ours, python } = couple;
    const reset = python.begin(ours, { bytes: ODD_BYTES }, { resetAt: MiB });
    const { streamId } = await python.event("sendFailed", { id: reset });
    const error = await ours.event("tensorFailed", { streamId });
    assert.equal(error.code, "ASOC_RESET");
    const id = couple.begin({ bytes: ODD_BYTES });
    const opened = await python.event("opened");
    python.command("stop", { streamId: opened.streamId, code: 1 });
    await ours.event("sendFailed", { id });
    await couple.toPython({ bytes: 10_000 }, 2);
    couple.peaceful();
  });

  test(`${runtime}: to a slow reader in Python a tensor goes as far as its credit, step by step`, async () => {
    await using couple = await Couple.start(runtime, "python", { credit: 10_000, step: 7777 });
    await couple.toPython({ bytes: 300_007 });
    await couple.toPython({ bytes: 10_000 }, 2);
    couple.peaceful();
  });

  test(`${runtime}: a tensor that Python does not read holds up no other one on its connection`, async () => {
    await using couple = await Couple.start(runtime, "node", { credit: 10_000, step: 0 });
    const slow = { bytes: 50_001, topic: "slow" };
    const id = couple.begin(slow);
    const { streamId } = await couple.python.event("opened", { topic: "slow" });
    for (let seed = 2; seed < 50; seed++) await couple.toPython({ bytes: 9_999 }, seed); // three windows of the connection
    assert.deepEqual(couple.ours.all("sent", { id }), []);
    couple.python.command("grant", { streamId, bytes: 1 });
    couple.python.command("grant", { streamId, bytes: 39_999 });
    await couple.toPython({ bytes: 10_000 }, 51);
    assert.deepEqual(couple.ours.all("sent", { id }), []);
    couple.python.command("grant", { streamId, bytes: MiB });
    await couple.arrived(id, slow);
    couple.peaceful();
  });

  test(`${runtime}: Python stands at our credit while our consumer keeps the memory, and goes on when it has let go`, async () => {
    const limits = { memoryBudgetBytes: 6 * MiB, initialCreditBytes: 64 * KiB };
    await using couple = await Couple.start(runtime, "python", {}, { limits });
    const { ours, python } = couple;
    ours.command({ cmd: "hold", peer: python.id });
    await couple.fromPython({ bytes: 4 * MiB });
    const id = python.begin(ours, { bytes: 4 * MiB }, { seed: 2 });
    const standing = await python.event("standing");
    assert.deepEqual([standing.sent, standing.limit], [64 * KiB, 64 * KiB]);
    ours.command({ cmd: "release" });
    const { sha256 } = await python.sent(id);
    await ours.event("tensor", { sha256 });
    couple.peaceful();
  });

  test(`${runtime}: close() says GOAWAY to Python, and what is on its way arrives before the connection ends`, async () => {
    await using couple = await Couple.start(runtime, "python", { credit: 10_000, step: 0, "redial-ms": -1 });
    const { ours, python } = couple;
    const kind = { bytes: 20_000 };
    const id = couple.begin(kind);
    const { streamId } = await python.event("opened");
    ours.command({ cmd: "close" });
    const goaway = await python.event("goaway");
    assert.deepEqual([goaway.code, goaway.lastStream], [2, 0xffff_ffff]);
    python.command("grant", { streamId, bytes: 10_000 });
    await couple.arrived(id, kind);
    const closed = await python.event("closed");
    assert.deepEqual([closed.why, closed.said, closed.heard], ["closed", false, true]);
    assert.equal(await ours.process.exitWithin(), 0);
  });

  test(`${runtime}: Python says GOAWAY with a tensor on its way, takes the rest of it, and leaves`, async () => {
    await using couple = await Couple.start(runtime, "node", { credit: 10_000, step: 0 });
    const { ours, python } = couple;
    const kind = { bytes: 20_000 };
    const id = couple.begin(kind);
    const { streamId } = await python.event("opened");
    python.command("close");
    python.command("grant", { streamId, bytes: 10_000 });
    await couple.arrived(id, kind);
    const left = await ours.event("left", { id: python.id });
    assert.equal(left.code, undefined);
    assert.equal(await python.process.exitWithin(), 0);
  });

  test(`${runtime}: a fault of Python ends the connection with ERROR and its code, and the next one is good`, async () => {
    await using couple = await Couple.start(runtime, "python");
    for (const [hex, streamId, code] of [
      ["3000000f00000000000000000000000000000000", 0, 2], // PING, cut off
      ["120000020001", 99, 1], // RESET of a stream that was never opened
      ["20000008ffffffffffffffff", 0, 4], // CREDIT over 2^53 - 1
      ["7f010000", 0, 3], // unknown and critical
    ] as const) {
      const from = couple.python.mark;
      couple.python.command("say", { streamId, hex });
      const { why } = await couple.python.event("closed", {}, from);
      assert.match(String(why), new RegExp(`^ERROR ${code}, `));
      await couple.python.event("peer", {}, from);
    }
    await couple.fromPython({ bytes: ODD_BYTES });
  });

  test(`${runtime}: an x1 peer in Python of another community or key is refused`, async () => {
    await using ours = await Peer.start(runtime, { community: COMMUNITY });
    for (const flags of [{ community: "another" }, { "api-key": "another key of more than 128 bits" }]) {
      await using python = await X1Python.start({ ...flags, peers: ours.address, "redial-ms": -1 });
      await python.event("refused");
      assert.deepEqual(python.all("peer"), []);
    }
    assert.deepEqual(ours.all("joined"), []);
  });

  test(`${runtime}: a v0.1 peer beside an x1 peer notices nothing of it`, async () => {
    await using couple = await Couple.start(runtime, "python");
    const { ours, python } = couple;
    await using v01 = await PythonPeer.start({
      peers: ours.address,
      "redial-s": 1000,
      "send-bytes": ODD_BYTES,
    });
    await ours.event("joined", { id: v01.id });
    await ours.receives(await v01.sent(1), v01.id, 0);
    await Promise.all([couple.fromPython({ bytes: ODD_BYTES }), couple.toPython({ bytes: ODD_BYTES })]);
    const [sent] = await ours.send(v01.id, { bytes: ODD_BYTES, options: { topic: "lost there" } });
    assert.ok(sent);
    assert.equal((sent as unknown as { delivery: string }).delivery, "kernel");
    await v01.receives([sent], "outbound");
    python.command("close");
    await ours.event("left", { id: python.id });
    await v01.receives(await ours.send(v01.id, { bytes: 1, seed: 7 }), "outbound");
    assert.deepEqual([...v01.all("closed"), ...v01.all("refused")], []);
  });
}
