/** Whole nodes on virtual time: transfers whose connection breaks go on over the next one (RFC-0006, Resume). */
import assert from "node:assert/strict";
import { test } from "node:test";
import { KiB, MiB } from "../../src/core/limits.ts";
import { eventsOf, World } from "./world.ts";

test("a FIN in mid-frame breaks the connection, not the tensor: it goes on from where it was", async () => {
  const world = new World(1, { bytesPerMs: 1000, windowBytes: 256 * KiB }); // a tensor takes seconds
  const b = await world.start({ discovery: false });
  // Not back before the FIN has been read.
  const limits = { reconnectProvenMs: 10_000 };
  const a = await world.start({ peers: [world.addressOf(b.host)], discovery: false, limits });
  await world.meet(1, a, b);
  const bytes = world.random.bytes(3 * MiB);
  const [connection] = world.network.connections;
  assert.ok(connection);
  const stream = world.nextStream(b);
  const sent = a.node.send(b.node.id, bytes);
  await world.time.run(1000);
  const arriving = await world.time.settle(stream);
  const reachedBytes = arriving.receivedBytes;
  assert.ok(reachedBytes > 0 && reachedBytes < bytes.length, `${reachedBytes} bytes have come`);
  await connection.dialled.closeWrite();
  const [tensor, report] = await world.time.settle(Promise.all([arriving.tensor(), sent]));
  assert.deepEqual(tensor.bytes, bytes);
  tensor.release();
  assert.deepEqual([report.delivery, report.cuts], ["verified", 1]);
  assert.equal(eventsOf(b, "left")[0]?.error?.code, "ASOC_TRUNCATED_FRAME");
  assert.deepEqual(eventsOf(b, "streamFailed"), []);
  const moreBytes = b.node.stats.payloadBytesIn - bytes.length;
  assert.ok(moreBytes < 512 * KiB, `${moreBytes} bytes came twice`);
  await world.finish();
});
