/**
 * Wrong frames on an open session (RFC-0001, Frames and Streams), to a node on each runtime, over real sockets, while a
 * good peer's tensors go on.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { RUNTIMES } from "../support/process.ts";
import { frame, header, sha256, TYPE, tensor } from "../support/raw_peer.ts";
import { MiB } from "./peer.ts";
import { type Victim, victimOn } from "./victim.ts";

const MAX_PAYLOAD = 16 * MiB;
/** What tensors of the good peer may fill where they come faster than they are read; far less than what the bad ones announce. */
const MEMORY_BUDGET_BYTES = 256 * MiB;
/** More than what the good peer's tensors make the memory vary by. */
const SLACK = 384 * MiB;
/** 10,000 streams in one read. */
const LIMITS = { memoryBudgetBytes: MEMORY_BUDGET_BYTES, maxQueuedEvents: 65_536 };

/** Sends `bytes` on an open session: the node must end that connection with `code`. */
async function ends(victim: Victim, bytes: Uint8Array, code: string | undefined): Promise<void> {
  const { raw, id } = await victim.join();
  using _ = raw;
  raw.send(bytes);
  await raw.ends();
  await victim.left(id, code);
}

/** A tensor from there arrives whole: the connection lives. */
async function lives(
  victim: Victim,
  raw: { send(bytes: Uint8Array): void },
  id: string,
  streamId: number,
): Promise<void> {
  const chunks = [randomBytes(1000), randomBytes(70_000)];
  const from = victim.peer.mark;
  raw.send(tensor(streamId, ...chunks));
  const came = await victim.peer.event("tensor", { peer: id, streamId }, 20_000, from);
  assert.equal(came.sha256, sha256(Buffer.concat(chunks)));
}

for (const runtime of RUNTIMES) {
  const victimAtHand = victimOn(runtime, { limits: LIMITS });
  const row = (name: string, run: (victim: Victim) => Promise<void>) =>
    test(`${runtime}: ${name}`, { timeout: 60_000 }, async () => {
      const victim = await victimAtHand();
      await run(victim);
      await victim.goesOn();
    });

  row("a header of another version closes the connection", async (victim) => {
    for (const version of [0, 2, 0x11, 255]) {
      await ends(victim, header(TYPE.DATA, 1, 0, 0, version), "ASOC_BAD_VERSION");
    }
  });

  row("frames of unknown types are skipped and counted, and the connection lives", async (victim) => {
    const { raw, id } = await victim.join();
    using _ = raw;
    const before = await victim.peer.stats();
    for (const type of [0, 6, 9, 255]) raw.send(frame(type, 7, 3, randomBytes(300_000)), frame(type, 0, 0));
    await lives(victim, raw, id, 1);
    const stats = await victim.peer.stats();
    assert.equal(Number(stats.unknownFrames) - Number(before.unknownFrames), 8);
  });

  row("CONTROL frames are skipped and counted, in the middle of a stream too", async (victim) => {
    const { raw, id } = await victim.join();
    using _ = raw;
    const before = await victim.peer.stats();
    raw.send(
      frame(TYPE.CONTROL, 0, 0),
      frame(TYPE.DATA, 5, 0, Buffer.from("ab")),
      frame(TYPE.CONTROL, 5, 9, randomBytes(9000)),
    );
    raw.send(frame(TYPE.DATA, 5, 1, Buffer.from("cd")), frame(TYPE.END, 5, 2));
    const came = await victim.peer.event("tensor", { peer: id, streamId: 5 });
    assert.equal(came.sha256, sha256(Buffer.from("abcd")));
    const stats = await victim.peer.stats();
    // The good peer's count too: it confirms what it gets, and is asked whether it is there.
    assert.ok(Number(stats.controlFrames) - Number(before.controlFrames) >= 2);
  });

  row(
    "a payload over the limit closes the connection on its header, and no memory is reserved",
    async (victim) => {
      const before = victim.residentBytes();
      for (let round = 0; round < 10; round++) {
        for (const type of [TYPE.DATA, TYPE.CONTROL, 77]) {
          const length = round % 2 === 0 ? 0xffff_ffff : MAX_PAYLOAD + 1;
          await ends(victim, header(type, 1, 0, length), "ASOC_FRAME_TOO_LARGE");
        }
      }
      assert.ok(victim.residentBytes() - before < SLACK, `grew by ${victim.residentBytes() - before} bytes`);
    },
  );

  row("headers that announce 16 MiB and then come slowly reserve little", async (victim) => {
    const before = victim.residentBytes();
    const peers = await Promise.all(Array.from({ length: 64 }, () => victim.join()));
    for (const { raw } of peers) raw.send(header(TYPE.DATA, 1, 0, MAX_PAYLOAD));
    for (const { raw } of peers) await raw.trickle(randomBytes(20));
    for (const { id } of peers) await victim.peer.event("streamStarted", { peer: id });
    await victim.goesOn(); // 1 GiB is announced: were it reserved, nothing would be left for the good peer
    assert.ok(victim.residentBytes() - before < SLACK, `grew by ${victim.residentBytes() - before} bytes`);
    for (const { raw } of peers) raw.reset();
    for (const { id } of peers) {
      const failed = await victim.peer.event("tensorFailed", { peer: id, streamId: 1 });
      assert.equal(failed.code, "ASOC_INCOMPLETE_STREAM");
    }
  });

  row("a frame of exactly 16 MiB is taken", async (victim) => {
    const { raw, id } = await victim.join();
    using _ = raw;
    const chunk = randomBytes(MAX_PAYLOAD);
    raw.send(tensor(3, chunk));
    const came = await victim.peer.event("tensor", { peer: id, streamId: 3 });
    assert.equal(came.sha256, sha256(chunk));
  });

  row(
    "a header that is cut by the end of the connection: the open stream fails as incomplete",
    async (victim) => {
      const { raw, id } = await victim.join();
      using _ = raw;
      raw.send(frame(TYPE.DATA, 9, 0, randomBytes(100)), header(TYPE.DATA, 9, 1, 100).subarray(0, 7));
      raw.finish();
      await raw.ends();
      const failed = await victim.peer.event("tensorFailed", { peer: id, streamId: 9 });
      assert.equal(failed.code, "ASOC_INCOMPLETE_STREAM");
      await victim.peer.event("left", { id });
      assert.deepEqual(victim.peer.all("tensor", { peer: id }), []);
    },
  );

  row(
    "a payload that is cut by a closed or reset connection: its stream fails as incomplete, never as whole",
    async (victim) => {
      for (const how of ["finish", "reset"] as const) {
        const { raw, id } = await victim.join();
        using _ = raw;
        raw.send(header(TYPE.DATA, 11, 0, 100_000), randomBytes(50_000));
        await victim.peer.event("streamStarted", { peer: id });
        raw[how]();
        for (const kind of ["streamFailed", "tensorFailed"]) {
          const failed = await victim.peer.event(kind, { peer: id, streamId: 11 });
          assert.equal(failed.code, "ASOC_INCOMPLETE_STREAM", how);
          assert.match(String(failed.message), /Stream 11 is incomplete/);
        }
        await victim.peer.event("left", { id });
        assert.deepEqual(victim.peer.all("tensor", { peer: id }), []);
      }
    },
  );

  row(
    "a connection that closes after all DATA but before END: the stream fails as incomplete",
    async (victim) => {
      const { raw, id } = await victim.join();
      using _ = raw;
      raw.send(frame(TYPE.DATA, 1, 0, randomBytes(100)));
      raw.finish();
      const failed = await victim.peer.event("tensorFailed", { peer: id, streamId: 1 });
      assert.equal(failed.code, "ASOC_INCOMPLETE_STREAM");
    },
  );

  row(
    "a gap fails that stream alone, its rest is skipped until END, and the id can be used again",
    async (victim) => {
      const { raw, id } = await victim.join();
      using _ = raw;
      raw.send(frame(TYPE.DATA, 1, 0, Buffer.from("a")), frame(TYPE.DATA, 3, 0, Buffer.from("x")));
      raw.send(frame(TYPE.DATA, 1, 2, Buffer.from("c")), frame(TYPE.DATA, 1, 3, Buffer.from("d")));
      raw.send(frame(TYPE.DATA, 3, 1, Buffer.from("y")), frame(TYPE.END, 3, 2), frame(TYPE.END, 1, 4));
      for (const kind of ["streamFailed", "tensorFailed"]) {
        const failed = await victim.peer.event(kind, { peer: id, streamId: 1 });
        assert.equal(failed.code, "ASOC_SEQUENCE_GAP");
        assert.deepEqual(failed.details, { streamId: 1, expected: 1, got: 2 });
      }
      const other = await victim.peer.event("tensor", { peer: id, streamId: 3 });
      assert.equal(other.sha256, sha256(Buffer.from("xy")));
      await lives(victim, raw, id, 1);
      assert.equal(victim.peer.all("streamFailed", { peer: id }).length, 1);
    },
  );

  row(
    "DATA or END out of order after END fails, and a tensor from seq 0 on follows whole",
    async (victim) => {
      const { raw, id } = await victim.join();
      using _ = raw;
      await lives(victim, raw, id, 1);
      raw.send(frame(TYPE.DATA, 1, 5, Buffer.from("late")), frame(TYPE.END, 1, 6));
      const failed = await victim.peer.event("streamFailed", { peer: id, streamId: 1 });
      assert.deepEqual(
        [failed.code, failed.details],
        ["ASOC_SEQUENCE_GAP", { streamId: 1, expected: 0, got: 5 }],
      );
      await lives(victim, raw, id, 1);
      raw.send(frame(TYPE.END, 7, 4));
      const end = await victim.peer.event("streamFailed", { peer: id, streamId: 7 });
      assert.deepEqual([end.code, end.details], ["ASOC_SEQUENCE_GAP", { streamId: 7, expected: 0, got: 4 }]);
      raw.send(frame(TYPE.DATA, 7, 0, Buffer.from("short")), frame(TYPE.END, 7, 2));
      await victim.peer.event("tensorFailed", { peer: id, streamId: 7, code: "ASOC_SEQUENCE_GAP" });
      raw.send(frame(TYPE.END, 7, 0));
      const empty = await victim.peer.event("tensor", { peer: id, streamId: 7 });
      assert.equal(empty.bytes, 0);
    },
  );

  row("stream 0, a second HELLO, an ACCEPT, and END with a payload close the connection", async (victim) => {
    await ends(victim, frame(TYPE.DATA, 0, 0, Buffer.from("a")), "ASOC_STREAM_ZERO");
    await ends(victim, frame(TYPE.END, 0, 0), "ASOC_STREAM_ZERO");
    await ends(victim, frame(TYPE.HELLO, 0, 0, randomBytes(36)), "ASOC_UNEXPECTED_FRAME");
    await ends(victim, frame(TYPE.ACCEPT, 0, 0, randomBytes(16)), "ASOC_UNEXPECTED_FRAME");
    await ends(victim, frame(TYPE.END, 1, 0, Buffer.from("a")), "ASOC_UNEXPECTED_FRAME");
  });

  row("a tensor in parts of one byte arrives whole", async (victim) => {
    const { raw, id } = await victim.join();
    using _ = raw;
    const chunks = [randomBytes(500), randomBytes(1), randomBytes(300)];
    await raw.trickle(tensor(1, ...chunks));
    const came = await victim.peer.event("tensor", { peer: id, streamId: 1 });
    assert.equal(came.sha256, sha256(Buffer.concat(chunks)));
  });

  row(
    "10,000 streams that are opened and never ended: the limit fails those above it, then the connection",
    async (victim) => {
      const before = victim.residentBytes();
      const { raw, id } = await victim.join();
      using _ = raw;
      const frames = Array.from({ length: 10_000 }, (_each, index) =>
        frame(TYPE.DATA, index + 1, 0, Buffer.from("a")),
      );
      raw.send(Buffer.concat(frames));
      await raw.ends();
      await victim.left(id, "ASOC_TOO_MANY_STREAMS");
      assert.equal(victim.peer.all("streamStarted", { peer: id }).length, 4096);
      assert.ok(victim.residentBytes() - before < SLACK, `grew by ${victim.residentBytes() - before} bytes`);
    },
  );

  row("10,000 small tensors in one write arrive whole", async (victim) => {
    const { raw, id } = await victim.join();
    using _ = raw;
    const streams = Array.from({ length: 10_000 }, (_each, index) =>
      tensor(index + 1, Buffer.from(`${index}`)),
    );
    raw.send(Buffer.concat(streams));
    await victim.peer.event("tensor", { peer: id, streamId: 10_000 });
    const came = victim.peer.all("tensor", { peer: id });
    assert.equal(came.length, 10_000);
    assert.ok(came.every((each) => each.sha256 === sha256(Buffer.from(`${Number(each.streamId) - 1}`))));
  });

  test(`${runtime}: the good peer's tensors all arrived whole meanwhile`, async () => {
    const victim = await victimAtHand();
    assert.ok((await victim.finish()) > 1);
  });
}
