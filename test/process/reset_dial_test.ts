/** Connections that are gone before the node has taken them from its kernel. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { test } from "node:test";
import { RUNTIMES } from "../support/process.ts";
import { HOST, MiB, Peer } from "./peer.ts";

for (const runtime of RUNTIMES) {
  test(`dials that were reset before ${runtime} accepted them do not keep it from accepting others`, async () => {
    await using listener = await Peer.start(runtime);
    listener.process.kill("SIGSTOP"); // its kernel goes on without it
    for (let dial = 0; dial < 3; dial++) {
      const socket = connect({ host: HOST, port: listener.port });
      await once(socket, "connect");
      socket.resetAndDestroy();
      await once(socket, "close");
    }
    listener.process.kill("SIGCONT");
    await using dialler = await Peer.start("node", { peers: [listener.address] });
    await dialler.event("joined", { id: listener.id });
    await listener.receives(await dialler.send(listener.id, { bytes: MiB }), dialler.id, 0);
    assert.equal((await listener.stats()).connections, 1);
    assert.equal((await listener.close()).code, undefined);
  });
}
