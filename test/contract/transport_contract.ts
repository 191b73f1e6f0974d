/**
 * The contract of `Transport`, `Conn` and `DatagramSocket`: one suite for every implementation.
 *
 * A transport passes all of it; what it cannot do is a declared capability.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { AsocError } from "../../src/core/errors.ts";
import type { Address, Conn, Listener, Transport } from "../../src/core/runtime.ts";
import { RecordingSink } from "../support/recording_sink.ts";

export interface ContractHost {
  readonly name: string;
  transport(): Promise<Transport>;
  /** Address to listen on and dial. */
  readonly host: string;
  /** Lets all that is under way happen; on virtual time it steps the clock. */
  settle<T>(promise: Promise<T>): Promise<T>;
  /** Resolves after that much of the host's time. */
  sleep(delayMs: number): Promise<void>;
  /** False where no real socket answers, so a refusal cannot differ from silence. */
  readonly refusals: boolean;
}

interface Pair {
  readonly dialled: Conn;
  readonly accepted: Conn;
  readonly near: RecordingSink;
  readonly far: RecordingSink;
  readonly listener: Listener;
}

function pattern(byteCount: number): Uint8Array {
  const bytes = new Uint8Array(byteCount);
  for (let i = 0; i < byteCount; i++) bytes[i] = (i * 31 + (i >>> 8)) & 0xff;
  return bytes;
}

export function transportContract(host: ContractHost): void {
  const at: Address = { host: host.host, port: 0 };

  async function withPair(
    run: (pair: Pair, transport: Transport) => Promise<void>,
    readBytes = 65_536,
  ): Promise<void> {
    const transport = await host.transport();
    const far = new RecordingSink(readBytes);
    const near = new RecordingSink(readBytes);
    let take: (conn: Conn) => void = () => {};
    const taken = new Promise<Conn>((resolve) => {
      take = resolve;
    });
    const listener = await transport.listen(at, (conn) => {
      conn.start(far);
      take(conn);
    });
    const dialled = await host.settle(transport.dial(listener.address, { timeoutMs: 2000 }));
    dialled.start(near);
    const accepted = await host.settle(taken);
    try {
      await run({ dialled, accepted, near, far, listener }, transport);
    } finally {
      dialled.abort();
      accepted.abort();
      await listener.close();
    }
  }
  const each = (name: string, run: (pair: Pair, transport: Transport) => Promise<void>, readBytes?: number) =>
    test(`${host.name} transport: ${name}`, () => withPair(run, readBytes));

  test(`${host.name} transport: a connection that is shut out is ended, and never handed over`, async () => {
    const transport = await host.transport();
    const taken: Conn[] = [];
    const asked: Address[] = [];
    const listener = await transport.listen(
      at,
      (conn) => taken.push(conn),
      undefined,
      (remote) => asked.push(remote) > 0,
    );
    const sink = new RecordingSink(1024);
    try {
      // With TLS who dials hears of it while it dials.
      const dialling = transport.dial(listener.address, { timeoutMs: 2000 }).catch(() => undefined);
      const dialled = await host.settle(dialling);
      if (dialled) {
        dialled.start(sink);
        await host.settle(sink.over);
        dialled.abort();
        assert.deepEqual(asked, [{ host: dialled.local.host, port: dialled.local.port }]);
      }
      assert.equal(asked.length, 1);
      assert.deepEqual(taken, []);
    } finally {
      await listener.close();
    }
  });

  each(
    "listen() on port 0 gives a port, and both ends know their addresses",
    async ({ dialled, accepted, listener }) => {
      assert.ok(listener.address.port > 0);
      assert.equal(dialled.remote.port, listener.address.port);
      assert.equal(accepted.remote.port, dialled.local.port);
      assert.equal(accepted.remote.host, host.host);
    },
  );

  each("write() delivers parts in order to the other end", async ({ dialled, far }) => {
    await host.settle(dialled.write([Uint8Array.of(1, 2), Uint8Array.of(3), Uint8Array.of(4, 5, 6)]));
    await host.settle(far.received(6));
    assert.deepEqual([...far.bytes()], [1, 2, 3, 4, 5, 6]);
  });

  each("both directions carry at once", async ({ dialled, accepted, near, far }) => {
    const there = pattern(300_000);
    const back = pattern(200_001);
    await host.settle(Promise.all([dialled.write([there]), accepted.write([back])]));
    await host.settle(Promise.all([far.received(there.length), near.received(back.length)]));
    assert.deepEqual(far.bytes(), there);
    assert.deepEqual(near.bytes(), back);
  });

  each(
    "8 MiB in one write arrive whole, and write() settles once the receiver has read",
    async ({ dialled, far }) => {
      const bytes = pattern(8 * 1024 * 1024);
      const written = dialled.write([
        bytes.subarray(0, 14),
        bytes.subarray(14, 5_000_000),
        bytes.subarray(5_000_000),
      ]);
      await host.settle(Promise.all([written, far.received(bytes.length)]));
      assert.deepEqual(far.bytes(), bytes);
    },
  );

  each(
    "a sink that takes one byte at a time gets every byte",
    async ({ dialled, far }) => {
      const bytes = pattern(2000);
      await host.settle(dialled.write([bytes]));
      await host.settle(far.received(bytes.length));
      assert.deepEqual(far.bytes(), bytes);
    },
    1,
  );

  for (const side of ["accepted", "dialled"] as const) {
    each(
      `bulk lands in place at the ${side} side where it declares directRead, and is pushed otherwise`,
      async ({ dialled, accepted, near, far }, transport) => {
        const [reader, writer, read] =
          side === "accepted" ? [accepted, dialled, far] : [dialled, accepted, near];
        if (side === "accepted") assert.equal(reader.directRead, transport.capabilities.directRead);
        const bytes = pattern(4 * 1024 * 1024);
        // Two writes: the first may be read before the sink is asked for memory.
        await host.settle(writer.write([bytes.subarray(0, 1000)]));
        await host.settle(read.received(1000));
        await host.settle(Promise.all([writer.write([bytes.subarray(1000)]), read.received(bytes.length)]));
        if (reader.directRead) assert.ok(read.committedBytes > 0, "no byte landed in place");
        else assert.equal(read.committedBytes, 0);
      },
    );
  }

  for (const side of ["accepted", "dialled"] as const) {
    each(
      `pause() of the ${side} side stops the bytes after at most one more buffer, resume() lets them come`,
      async ({ dialled, accepted, near, far }) => {
        const [reader, writer, read] =
          side === "accepted" ? [accepted, dialled, far] : [dialled, accepted, near];
        await host.settle(writer.write([pattern(10)]));
        await host.settle(read.received(10));
        reader.pause();
        const bytes = pattern(32 * 1024 * 1024);
        let written = false;
        const writing = writer.write([bytes]).then(() => {
          written = true;
        });
        // The writer must come to a stand-still: the kernel holds less than this.
        await host.settle(read.quiet(host.sleep));
        assert.equal(written, false, "the write went through although the reader is paused");
        const before = read.receivedBytes;
        assert.ok(before < bytes.length / 2, `${before} bytes came through a paused connection`);
        reader.resume();
        await host.settle(Promise.all([writing, read.received(10 + bytes.length)]));
        assert.deepEqual(read.bytes().subarray(10), bytes);
      },
    );
  }

  each(
    "closeWrite() is an end() there, while bytes still flow back",
    async ({ dialled, accepted, near, far }) => {
      await host.settle(dialled.write([Uint8Array.of(9)]));
      await host.settle(dialled.closeWrite());
      await host.settle(far.ended);
      assert.deepEqual([...far.bytes()], [9]);
      await host.settle(accepted.write([Uint8Array.of(7, 8)]));
      await host.settle(accepted.closeWrite());
      await host.settle(near.ended);
      assert.deepEqual([...near.bytes()], [7, 8]);
      assert.equal(near.failure, undefined);
      assert.equal(far.failure, undefined);
    },
  );

  each("all bytes written before closeWrite() arrive before end()", async ({ dialled, far }) => {
    const bytes = pattern(3_000_000);
    const writing = dialled.write([bytes]).then(() => dialled.closeWrite());
    await host.settle(Promise.all([writing, far.ended]));
    assert.deepEqual(far.bytes(), bytes);
  });

  each("write() after closeWrite() rejects", async ({ dialled }) => {
    await host.settle(dialled.closeWrite());
    await assert.rejects(host.settle(dialled.write([Uint8Array.of(1)])));
  });

  each("abort() fails both sinks, once", async ({ dialled, near, far }) => {
    await host.settle(dialled.write([Uint8Array.of(1)]));
    await host.settle(far.received(1));
    dialled.abort(new Error("enough"));
    dialled.abort(new Error("again"));
    await host.settle(Promise.all([near.over, far.over]));
    assert.equal(near.failures, 1);
    assert.ok(far.failures + far.ends >= 1);
  });

  each("abort() rejects a write that is under way", async ({ dialled, accepted }) => {
    accepted.pause();
    const writing = dialled.write([new Uint8Array(64 * 1024 * 1024)]);
    const outcome = writing.then(
      () => "written",
      () => "rejected",
    );
    dialled.abort();
    assert.equal(await host.settle(outcome), "rejected");
  });

  each(
    "a listener that closes takes no more, and its connections go on",
    async ({ dialled, far, listener }, transport) => {
      await host.settle(listener.close());
      await assert.rejects(host.settle(transport.dial(listener.address, { timeoutMs: 500 })), AsocError);
      await host.settle(dialled.write([Uint8Array.of(5)]));
      await host.settle(far.received(1));
    },
  );

  test(`${host.name} transport: dial() to a port without listener is ASOC_CONNECTION_REFUSED`, {
    skip: host.refusals ? false : "no refusals",
  }, async () => {
    const transport = await host.transport();
    const listener = await transport.listen(at, () => {});
    await listener.close();
    await assert.rejects(host.settle(transport.dial(listener.address, { timeoutMs: 2000 })), {
      code: "ASOC_CONNECTION_REFUSED",
    });
  });

  test(`${host.name} transport: dial() gives up at its signal`, async () => {
    const transport = await host.transport();
    const controller = new AbortController();
    const reason = new Error("changed my mind");
    controller.abort(reason);
    await assert.rejects(
      host.settle(
        transport.dial({ host: host.host, port: 1 }, { timeoutMs: 2000, signal: controller.signal }),
      ),
      reason,
    );
  });

  test(`${host.name} transport: listen() on a port in use is ASOC_PORT_IN_USE`, async () => {
    const transport = await host.transport();
    const listener = await transport.listen(at, () => {});
    await assert.rejects(host.settle(transport.listen(listener.address, () => {})), {
      code: "ASOC_PORT_IN_USE",
    });
    await listener.close();
    const again = await host.settle(transport.listen(listener.address, () => {}));
    await again.close();
  });

  test(`${host.name} transport: two sockets share a UDP port and both hear a broadcast`, async () => {
    const transport = await host.transport();
    const heard: string[] = [];
    let both: () => void = () => {};
    const all = new Promise<void>((resolve) => {
      both = resolve;
    });
    const receive = (who: string) => (packet: Uint8Array) => {
      heard.push(`${who}:${packet.join()}`);
      if (new Set(heard).size === 2) both();
    };
    const first = await host.settle(
      transport.bindDatagram({ host: "0.0.0.0", port: 0 }, { shared: true, receive: receive("first") }),
    );
    const { port } = first.address;
    const second = await host.settle(
      transport.bindDatagram({ host: "0.0.0.0", port }, { shared: true, receive: receive("second") }),
    );
    await host.settle(first.send(Uint8Array.of(1, 2, 3), { host: "127.255.255.255", port }));
    await host.settle(all);
    assert.deepEqual([...new Set(heard)].sort(), ["first:1,2,3", "second:1,2,3"]);
    await first.close();
    await second.close();
  });

  test(`${host.name} transport: a datagram to a dead port does not lose the next one`, async () => {
    const transport = await host.transport();
    let come: (from: Address) => void = () => {};
    const came = new Promise<Address>((resolve) => {
      come = resolve;
    });
    const receiver = await host.settle(
      transport.bindDatagram(
        { host: "127.0.0.1", port: 0 },
        { shared: false, receive: (_packet, from) => come(from) },
      ),
    );
    const dead = await host.settle(
      transport.bindDatagram({ host: "127.0.0.1", port: 0 }, { shared: false, receive: () => {} }),
    );
    await dead.close();
    const sender = await host.settle(
      transport.bindDatagram({ host: "127.0.0.1", port: 0 }, { shared: false, receive: () => {} }),
    );
    for (let i = 0; i < 3; i++)
      await host.settle(sender.send(Uint8Array.of(i), dead.address).catch(() => {}));
    await host.settle(sender.send(Uint8Array.of(9), receiver.address));
    const from = await host.settle(came);
    assert.equal(from.port, sender.address.port);
    await receiver.close();
    await sender.close();
  });
}
