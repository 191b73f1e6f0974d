/**
 * Interoperation with `x1_peer.py` (Python 3.11, standard library only), which was written from the RFCs of the extension
 * x1, follows them as they stand now, and shares no code with us: each of our runtimes, both directions. Whoever dials where
 * that can matter: kinds of tensors, and what goes on after a cut; the other cases have one dialler each.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { MiB, Peer } from "../process/peer.ts";
import { Process, RUNTIMES } from "../support/process.ts";
import { COMMUNITY, PythonPeer } from "./v01_python.ts";
import { Couple, type Kind, X1Python } from "./x1_python.ts";

const KiB = 1024;
const ODD_BYTES = 5 * MiB + 3;
/** Of STOP. */
const TOO_LARGE = 2;
const BAD_STREAM = 6;
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
  // All others that RFC-0005 lists; opaque ones by their shortest and their longest.
  ...["bool", "int", "uint"].flatMap((name) =>
    name === "bool"
      ? [ofType(name, 8)]
      : [1, 2, 4, 8, 16, 32, 64].map((bits) => ofType(`${name}${bits}`, bits)),
  ),
  ofType("float16", 16),
  ...[8, 248].map((bits) => ofType(`opaque${bits}`, bits)),
  ...[32, 64, 128].map((bits) => ofType(`complex${bits}`, bits)),
  ..."e3m4 e4m3 e4m3b11fnuz e4m3fn e4m3fnuz e5m2 e5m2fnuz e8m0fnu"
    .split(" ")
    .map((kind) => ofType(`float8_${kind}`, 8)),
  ...["float6_e2m3fn", "float6_e3m2fn"].map((name) => ofType(name, 6)),
  ofType("float4_e2m1fn", 4),
];

/** 15 elements, so that those of less than a byte end inside of one. */
function ofType(dtype: string, bits: number): Kind {
  return { bytes: Math.ceil((15 * bits) / 8), dtype, shape: [3, 5], topic: dtype };
}

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

/** STOP, CREDIT, ACK and BLOCKED of an odd and of an even stream that nobody has opened. */
function sayOfUnknownStreams(python: X1Python): void {
  for (const streamId of [98, 99]) {
    for (const hex of [
      "130000020001", // STOP CANCELLED
      "200000080000000000100000", // CREDIT 1 MiB
      "22000011a0a1a2a3a4a5a6a7000000000000001801", // ACK received, 24
      "22000011a0a1a2a3a4a5a6a7000000000000001802", // ACK verified, 24
      "210000080000000000040000", // BLOCKED 256 KiB
    ])
      python.command("say", { streamId, hex });
  }
}

test("two x1 peers in Python keep the same rules with each other", async () => {
  await using acceptor = await X1Python.start({ credit: 10_000, step: 0 });
  await using dialler = await X1Python.start({ peers: acceptor.address });
  await dialler.event("peer");
  sayOfUnknownStreams(dialler);
  const transferId = "d0d1d2d3d4d5d6d7";
  await dialler.sent(dialler.begin(acceptor, { bytes: 9_000 }, { transferId }));
  for (const course of [{ transferId }, { base: 1 }]) {
    const id = dialler.begin(acceptor, { bytes: 9_000 }, course);
    assert.equal((await dialler.event("sendFailed", { id })).code, BAD_STREAM);
  }
  const slow = dialler.begin(acceptor, { bytes: 20_000 });
  const { streamId } = await acceptor.event("opened", { totalBytes: 20_000 });
  acceptor.command("close");
  await dialler.event("goaway");
  await dialler.sent(dialler.begin(acceptor, { bytes: 8_000 }, { late: true }));
  acceptor.command("grant", { streamId, bytes: 10_000 });
  await dialler.sent(slow);
  assert.equal(await acceptor.process.exitWithin(), 0);
  assert.deepEqual(
    acceptor.all("tensor").map(({ bytes }) => bytes),
    [9_000, 8_000, 20_000],
  );
  assert.deepEqual(
    dialler.all("closed").map(({ why }) => why),
    ["closed"],
  );
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
          await python.cutInbound({ bytes: 2.5 * MiB });
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
          await python.cutInbound({ atEnd: true });
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
    const limits = { memoryBudgetBytes: 6 * MiB, initialCreditBytes: 32 * KiB };
    await using couple = await Couple.start(runtime, "python", {}, { limits });
    const { ours, python } = couple;
    ours.command({ cmd: "hold", peer: python.id });
    await ours.stats(); // it has read that
    await couple.fromPython({ bytes: 4 * MiB });
    const id = python.begin(ours, { bytes: 4 * MiB }, { seed: 2 });
    const standing = await python.event("standing");
    assert.deepEqual([standing.sent, standing.limit], [32 * KiB, 32 * KiB]);
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
    assert.deepEqual([goaway.code, goaway.lastStream], [2, 0], "Python has begun none");
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

  test(`${runtime}: records about streams that Python never opened, and nor did we, are passed over`, async () => {
    await using couple = await Couple.start(runtime, "python");
    sayOfUnknownStreams(couple.python);
    await couple.fromPython({ bytes: ODD_BYTES });
    await couple.toPython({ bytes: ODD_BYTES });
    couple.peaceful();
  });

  test(`${runtime}: OPEN of a transfer that was delivered, or with a base that is not what is here, is stopped`, async () => {
    await using couple = await Couple.start(runtime, "python", {}, { limits: SOON });
    const { ours, python } = couple;
    const transferId = "d0d1d2d3d4d5d6d7";
    await couple.fromPython({ bytes: 300 * KiB }, { transferId });
    const again = python.begin(ours, { bytes: 300 * KiB }, { transferId });
    assert.equal((await python.event("sendFailed", { id: again })).code, BAD_STREAM);
    const ahead = python.begin(ours, { bytes: 300 * KiB }, { base: 1 });
    assert.equal((await python.event("sendFailed", { id: ahead })).code, BAD_STREAM);
    assert.equal(ours.all("tensor").length, 1);
    couple.peaceful();

    const course = { cutAt: 10 * MiB, cutAfterAck: 6 * MiB, asks: false }; // what came before counts for the first ACK
    const anew = python.begin(ours, { bytes: 12 * MiB }, course);
    assert.equal((await python.event("sendFailed", { id: anew })).code, BAD_STREAM);
    const failed = await ours.event("tensorFailed");
    assert.equal(failed.code, "ASOC_INCOMPLETE_STREAM");
    assert.deepEqual([ours.all("tensor").length, python.all("resumeAnswered").length], [1, 0]);
  });

  test(`${runtime}: an OPEN beyond our max_streams is stopped, and the stream that is open goes on`, async () => {
    await using couple = await Couple.start(runtime, "python", {}, { limits: { maxInboundStreams: 1 } });
    const { ours, python } = couple;
    const slow = python.begin(ours, { bytes: 300 * KiB }, { available: 10 });
    const one = python.begin(ours, { bytes: 300 * KiB }, { late: true });
    assert.equal((await python.event("sendFailed", { id: one })).code, TOO_LARGE);
    assert.deepEqual([python.all("sendFailed", { id: slow }), ours.all("tensorFailed")], [[], []]);
    couple.peaceful();
  });

  test(`${runtime}: a RESUME! from Python beyond the end of a tensor fails the send, and not the connection`, async () => {
    await using couple = await Couple.start(runtime, "node");
    const { ours, python } = couple;
    await python.lie(300 * KiB + 1);
    const transferId = "f0f1f2f3f4f5f6f7";
    const id = ours.begin(python.id, { bytes: 300 * KiB, options: { transferId } });
    assert.equal((await ours.event("sendFailed", { id })).code, "ASOC_BAD_STREAM");
    await couple.toPython({ bytes: 300 * KiB }, 2);
    couple.peaceful();
  });

  test(`${runtime}: what we send twice under one id is handed over once in Python, which says so`, async () => {
    await using couple = await Couple.start(runtime, "node");
    const { ours, python } = couple;
    const transferId = "e0e1e2e3e4e5e6e7";
    for (let run = 0; run < 2; run++) {
      const [sent] = await ours.send(python.id, { bytes: 300 * KiB, options: { transferId } });
      assert.ok(sent);
    }
    await python.event("resumeAsked", { offset: null });
    assert.deepEqual(
      python.all("resumeAsked").map(({ offset }) => offset),
      [0, null],
    );
    assert.equal(python.all("tensor").length, 1);
    couple.peaceful();
  });

  test(`${runtime}: an OPEN from Python behind our GOAWAY is taken like any other`, async () => {
    await using couple = await Couple.start(runtime, "python", { credit: 10_000, step: 0, "redial-ms": -1 });
    const { ours, python } = couple;
    const id = couple.begin({ bytes: 20_000 });
    const { streamId } = await python.event("opened");
    ours.command({ cmd: "close" });
    await python.event("goaway");
    const { sha256 } = await python.sent(python.begin(ours, { bytes: ODD_BYTES }, { late: true }));
    python.command("grant", { streamId, bytes: 10_000 });
    await couple.arrived(id, { bytes: 20_000 });
    const came = await ours.event("tensor", { peer: python.id, bytes: ODD_BYTES });
    assert.equal(came.sha256, sha256);
    assert.equal(await ours.process.exitWithin(), 0);
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
