/** A peer by hand, on virtual time: speaks the handshake of RFC-0001 and nothing else by itself. */

import type { Address, Conn, Sink } from "../../src/core/runtime.ts";
import { encodeAccept } from "../../src/core/wire/accept.ts";
import { utf8 } from "../../src/core/wire/bytes.ts";
import { encodeHeader, FrameType, HEADER_BYTES } from "../../src/core/wire/header.ts";
import { encodeHello, HELLO_BYTES } from "../../src/core/wire/hello.ts";
import { RecordingSink } from "../support/recording_sink.ts";
import type { SimHost } from "./network.ts";
import { simRuntime } from "./runtime.ts";
import { KEY } from "./world.ts";

export function frame(
  type: number,
  streamId: number,
  seq: number,
  payload: Uint8Array = new Uint8Array(0),
): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES + payload.length);
  encodeHeader(bytes, 0, type, streamId, seq, payload.length);
  bytes.set(payload, HEADER_BYTES);
  return bytes;
}

/** A connection and what came on it. */
export interface RawPeer {
  readonly conn: Conn;
  readonly sink: RecordingSink;
  /** When bytes last came. */
  lastMs(): number;
}

function record(host: SimHost, conn: Conn, onBytes: (sink: RecordingSink) => void = () => {}): RawPeer {
  const { time } = host.network;
  const sink = new RecordingSink(4096);
  let lastMs = time.nowMs();
  const came = () => {
    lastMs = time.nowMs();
    onBytes(sink);
  };
  const timed: Sink = {
    next: () => sink.next(),
    commit(byteCount) {
      const news = sink.commit(byteCount);
      came();
      return news;
    },
    push(part) {
      sink.push(part);
      came();
    },
    end: () => sink.end(),
    fail: (cause) => sink.fail(cause),
  };
  conn.start(timed);
  return { conn, sink, lastMs: () => lastMs };
}

/** Dials and says nothing. */
export async function dialSilently(host: SimHost, to: Address): Promise<RawPeer> {
  const { time } = host.network;
  return record(
    host,
    await time.settle(host.transport.dial(to, { timeoutMs: 2000, localHost: host.address })),
  );
}

/** Dials and sends HELLO, signed with `key`. */
export async function dialWithHello(
  host: SimHost,
  to: Address,
  nodeId: Uint8Array,
  challenge: number,
  key = KEY,
): Promise<RawPeer> {
  const peer = await dialSilently(host, to);
  const hello = encodeHello({ nodeId, challenge }, utf8(key), simRuntime(host).crypto);
  // One that is turned away at once has nobody to greet.
  await host.network.time.settle(peer.conn.write([frame(FrameType.HELLO, 0, 0, hello)]).catch(() => {}));
  return peer;
}

/** Listens like a v0.1 peer: its token is random. `accepted` is told of each connection that has said HELLO. */
export async function acceptRaw(
  host: SimHost,
  port: number,
  accepted: (peer: RawPeer) => void,
): Promise<void> {
  const { crypto } = simRuntime(host);
  await host.transport.listen({ host: "0.0.0.0", port }, (conn) => {
    let answered = false;
    const peer = record(host, conn, (sink) => {
      if (answered || sink.receivedBytes < HEADER_BYTES + HELLO_BYTES) return;
      answered = true;
      const accept = encodeAccept(crypto.randomBytes(8), utf8(KEY), crypto);
      void conn.write([frame(FrameType.ACCEPT, 0, 0, accept)]).then(() => accepted(peer));
    });
  });
}
