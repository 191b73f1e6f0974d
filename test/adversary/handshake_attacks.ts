/** Attacks on the beginning of a connection, by who has no key, who has a recording, and who has the key. */
import assert from "node:assert/strict";
import { Peer } from "../process/peer.ts";
import {
  accept,
  frame,
  freshId,
  freshSource,
  hello,
  idText,
  RawPeer,
  RawServer,
  TYPE,
} from "../support/raw_peer.ts";
import {
  acceptX1,
  caps,
  freshX1Id,
  type Handshake,
  hearAcceptor,
  OP,
  proof,
  readFrame,
  record,
  X1Peer,
  x1Accept,
} from "../support/raw_x1.ts";
import type { Attack } from "./attack.ts";
import { COMMUNITY, OTHER_KEY, type Scene } from "./scene.ts";

/** Sends `bytes` first. The victim closes without having said more than `said` bytes, and names the reason. */
async function refused(scene: Scene, bytes: Uint8Array, code: string, said = 0): Promise<string> {
  const source = freshSource();
  using raw = await RawPeer.connect(scene.victim.port, source);
  raw.send(bytes);
  const answer = await raw.ends();
  assert.ok(answer.length <= said, `${answer.length} bytes were said`);
  const event = await scene.says("refused", { host: source });
  assert.equal(event.code, code, String(event.message));
  return code;
}

/** As a dialler with its own CAPS, up to the acceptor's proof; `last` says what comes instead of the own one. */
async function badProof(
  scene: Scene,
  last: (handshake: Handshake, theirs: Buffer) => Buffer,
): Promise<string> {
  const source = freshSource();
  const id = freshX1Id();
  using raw = await RawPeer.connect(scene.victim.port, source);
  const helloFrame = frame(TYPE.HELLO, 0, 0, hello(scene.key, id));
  const diallerCaps = caps({ key: scene.key, community: COMMUNITY, id });
  raw.send(Buffer.concat([helloFrame, frame(TYPE.CONTROL, 0, 0, diallerCaps)]));
  const handshake = await hearAcceptor(raw, scene.key, helloFrame, diallerCaps);
  raw.send(frame(TYPE.CONTROL, 0, 1, record(OP.PROOF, last(handshake, proof(handshake, "acceptor")))));
  await raw.ends();
  const event = await scene.says("refused", { host: source });
  assert.equal(event.code, "ASOC_BAD_PROOF", String(event.message));
  assert.deepEqual(scene.victim.all("joined", { id: idText(id) }), []);
  return "ASOC_BAD_PROOF";
}

/** Lets the victim dial that server, and awaits its failure. */
async function dialFails(scene: Scene, server: RawServer): Promise<string> {
  scene.victim.command({ cmd: "addPeer", address: server.address });
  const failed = await scene.victim.process.waitFor(
    (event) => event.event === "dialFailed" && (event.address as { host?: string }).host === server.host,
  );
  return String(failed.cause ?? failed.code);
}

/** HELLO and a tensor behind it, without CAPS, from an id that has to prove itself. */
async function downgraded(scene: Scene, id: Buffer): Promise<string> {
  const source = freshSource();
  using raw = await RawPeer.connect(scene.victim.port, source);
  raw.send(
    Buffer.concat([frame(TYPE.HELLO, 0, 0, hello(scene.key, id)), frame(TYPE.DATA, 1, 0, Buffer.of(1))]),
  );
  assert.ok((await raw.ends()).length <= 30, "ACCEPT, or nothing");
  const event = await scene.says("refused", { host: source });
  return String(event.code);
}

export const HANDSHAKE_ATTACKS: readonly Attack<Scene>[] = [
  {
    title: "a HELLO that is signed with another key is refused without a word",
    outcome: "refused",
    play: (scene) => refused(scene, frame(TYPE.HELLO, 0, 0, hello(OTHER_KEY)), "ASOC_WRONG_KEY"),
  },
  {
    title: "a recorded HELLO is refused by the node that has seen it",
    outcome: "refused",
    play: async (scene) => {
      using first = await scene.x1();
      return await refused(scene, first.handshake.helloFrame, "ASOC_REPLAYED_HELLO");
    },
  },
  {
    title: "a recorded HELLO of a v0.1 peer opens a session at another node",
    outcome: "works",
    notOverTls: "v0.1 is refused there",
    play: async (scene) => {
      const id = freshId();
      const helloFrame = frame(TYPE.HELLO, 0, 0, hello(scene.key, id));
      using first = await RawPeer.connect(scene.victim.port);
      first.send(Buffer.concat([helloFrame, frame(TYPE.CONTROL, 0, 0)]));
      await first.take(30);
      using again = await RawPeer.connect(scene.good.port);
      again.send(Buffer.concat([helloFrame, frame(TYPE.CONTROL, 0, 0)]));
      await again.take(30);
      await scene.good.event("joined", { id: idText(id) });
      return "joined";
    },
  },
  {
    title: "a recorded HELLO opens no session where legacy is denied",
    outcome: "refused",
    notOverTls: "v0.1 is refused there",
    play: async (scene) => {
      await using strict = await Peer.start(scene.runtime, {
        apiKey: scene.key,
        community: COMMUNITY,
        legacy: "deny",
      });
      const source = freshSource();
      using raw = await RawPeer.connect(strict.port, source);
      raw.send(Buffer.concat([frame(TYPE.HELLO, 0, 0, hello(scene.key)), frame(TYPE.CONTROL, 0, 0)]));
      await raw.ends();
      const event = await strict.event("refused", { host: source });
      assert.deepEqual(strict.all("joined"), []);
      return String(event.code);
    },
  },
  {
    title: "a proof of an earlier handshake is refused",
    outcome: "refused",
    play: async (scene) => {
      using earlier = await scene.x1();
      const recorded = proof(earlier.handshake, "dialler");
      return await badProof(scene, () => recorded);
    },
  },
  {
    title: "the acceptor's own proof, sent back to it, is refused",
    outcome: "refused",
    play: (scene) => badProof(scene, (_handshake, theirs) => theirs),
  },
  {
    title: "a dialler's own CAPS, sent back to it, is refused",
    outcome: "refused",
    notOverTls: "the attacker is dialled",
    play: async (scene) => {
      await using server = await RawServer.listen(async (raw) => {
        await raw.take(50);
        const { payload } = await readFrame(raw);
        const reflected = Buffer.concat([payload, record(OP.PROOF, Buffer.alloc(32, 1))]);
        // The ACCEPT is one that was recorded elsewhere.
        raw.send(frame(TYPE.ACCEPT, 0, 0, x1Accept(scene.key)), frame(TYPE.CONTROL, 0, 0, reflected));
      });
      const code = await dialFails(scene, server);
      assert.equal(code, "ASOC_DUPLICATE_NODE_ID");
      return code;
    },
  },
  {
    title: "a CAPS of another community with the same key is refused",
    outcome: "refused",
    play: (scene) => {
      const id = freshX1Id();
      const foreign = caps({ key: scene.key, community: "elsewhere", id });
      const bytes = Buffer.concat([
        frame(TYPE.HELLO, 0, 0, hello(scene.key, id)),
        frame(TYPE.CONTROL, 0, 0, foreign),
      ]);
      return refused(scene, bytes, "ASOC_WRONG_COMMUNITY", 30);
    },
  },
  {
    title: "a v0.1 peer of another community with the same key gets in",
    outcome: "works",
    notOverTls: "v0.1 is refused there",
    play: async (scene) => {
      const id = freshId();
      using raw = await RawPeer.join(scene.victim.port, scene.key, id); // HELLO names no community
      raw.send(frame(TYPE.CONTROL, 0, 0));
      await scene.says("joined", { id: idText(id) });
      return "joined";
    },
  },
  {
    title: "a server that plays a recorded ACCEPT of version 1 is sent tensors",
    outcome: "works",
    notOverTls: "the attacker is dialled",
    play: async (scene) => {
      const recorded = accept(scene.key); // depends on nothing that this dialler says
      const dialled = Promise.withResolvers<RawPeer>();
      await using server = await RawServer.listen((raw) => {
        raw.send(frame(TYPE.ACCEPT, 0, 0, recorded));
        dialled.resolve(raw);
      });
      scene.victim.command({ cmd: "addPeer", address: server.address });
      await scene.says("joined", { dialledAs: server.address });
      scene.victim.begin(server.address, { bytes: 1000 });
      const raw = await dialled.promise;
      await raw.take(50);
      for (let came = await readFrame(raw); ; came = await readFrame(raw))
        if (came.type === TYPE.DATA) return `${came.payload.length} bytes of a tensor`;
    },
  },
  {
    title: "a server that plays a recorded ACCEPT of x1 gets no proof and no tensor",
    outcome: "refused",
    notOverTls: "the attacker is dialled",
    play: async (scene) => {
      const recorded = x1Accept(scene.key);
      const heard = Promise.withResolvers<Buffer>();
      await using server = await RawServer.listen((raw) => {
        raw.send(frame(TYPE.ACCEPT, 0, 0, recorded));
        void raw.closed.then(heard.resolve);
      });
      const code = await dialFails(scene, server);
      assert.equal(code, "ASOC_HANDSHAKE_TIMEOUT");
      const said = await heard.promise;
      const capsBytes = said.readUInt32BE(50 + 10);
      assert.equal(said.length, 50 + 14 + capsBytes, "HELLO and CAPS, and nothing else");
      return code;
    },
  },
  {
    title: "a server with another key that speaks all of x1 is refused",
    outcome: "refused",
    notOverTls: "the attacker is dialled",
    play: async (scene) => {
      await using server = await RawServer.listen(async (raw) => {
        await acceptX1(raw, { key: OTHER_KEY, community: COMMUNITY });
      });
      const code = await dialFails(scene, server);
      assert.equal(code, "ASOC_WRONG_KEY");
      return code;
    },
  },
  {
    title: "a peer that has proven itself is refused without proof",
    outcome: "refused",
    play: async (scene) => {
      const id = freshId(); // of version 4, as a v0.1 peer's is
      (await scene.x1({ id }))[Symbol.dispose]();
      await scene.says("left", { id: idText(id) });
      const code = await downgraded(scene, id);
      assert.equal(code, "ASOC_DOWNGRADE");
      return code;
    },
  },
  {
    title: "an id of version 8 is refused without proof",
    outcome: "refused",
    play: async (scene) => {
      const code = await downgraded(scene, freshX1Id());
      assert.equal(code, "ASOC_DOWNGRADE");
      return code;
    },
  },
  {
    title: "DATA before PROOF ends the connection",
    outcome: "refused",
    play: (scene) => {
      const id = freshX1Id();
      const bytes = Buffer.concat([
        frame(TYPE.HELLO, 0, 0, hello(scene.key, id)),
        frame(TYPE.CONTROL, 0, 0, caps({ key: scene.key, community: COMMUNITY, id })),
        frame(TYPE.DATA, 1, 0, Buffer.from("early")),
        frame(TYPE.END, 1, 1),
      ]);
      return refused(scene, bytes, "ASOC_BAD_HANDSHAKE", 400);
    },
  },
  {
    title: "whoever holds the key takes the uuid of another peer, and its tensors",
    outcome: "works",
    play: async (scene) => {
      const id = freshX1Id();
      using owner = await scene.x1({ id });
      using thief = await X1Peer.join(scene.victim.port, { key: scene.key, community: COMMUNITY, id });
      await thief.roundTrip();
      // The newest connection of a uuid is the one that is sent to.
      scene.victim.begin(idText(id), { bytes: 1000 });
      await thief.record(OP.OPEN);
      assert.equal(
        owner.heard.some(({ op }) => op === OP.OPEN),
        false,
      );
      return "OPEN at the thief";
    },
  },
];
