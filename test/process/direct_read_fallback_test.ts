/** Direct reading of accepted sockets touches internals of Node.js: where they are others, a node copies, and nothing else changes. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { ROOT } from "../support/process.ts";
import { MiB, Peer } from "./peer.ts";

const OTHER_NET = `--import ${new URL("test/support/other_net.mjs", `file://${join(ROOT, "/")}`).href}`;

test("a Node.js on which accepted sockets cannot be taken over copies what arrives, and tensors arrive whole", async () => {
  await using receiver = await Peer.start("node", {}, { env: { NODE_OPTIONS: OTHER_NET } });
  await using sender = await Peer.start("node", { peers: [receiver.address] });
  await sender.event("joined", { dialledAs: receiver.address });
  const { mark } = receiver;
  const sent = await sender.send(receiver.address, { bytes: 8 * MiB, count: 2 });
  await receiver.receives(sent, sender.id, mark);
  const { copiedBytes } = await receiver.stats();
  assert.ok(Number(copiedBytes) >= 16 * MiB, `${copiedBytes} bytes were copied`);
});
