/**
 * js-libp2p 3 with @libp2p/tcp, @libp2p/yamux and @libp2p/plaintext.
 *
 * Its fair best: plaintext, as the others here do not encrypt either; one long-lived stream; yamux with its window of
 * 256 KiB that grows to 16 MiB (to start with 1, 4 or 16 MiB was not faster); `send` of 256 KiB views of the tensor until
 * it says that the buffer is full, then `onDrain`. The receiver's "message" event delivers a list of chunks, each of
 * which is copied once, into the one reused tensor.
 */
import { plaintext } from "@libp2p/plaintext";
import { tcp } from "@libp2p/tcp";
import { yamux } from "@libp2p/yamux";
import { multiaddr } from "@multiformats/multiaddr";
import { createLibp2p } from "libp2p";
import { parts, Reply, servePeer } from "./common.ts";

const TENSORS = "/asoc-bench/tensors/1";
const ECHO = "/asoc-bench/echo/1";
const MESSAGE_BYTES = 256 << 10;

const makeNode = (listen) =>
  createLibp2p({
    addresses: { listen },
    transports: [tcp()],
    connectionEncrypters: [plaintext()],
    streamMuxers: [yamux({ streamOptions: { maxReadBufferLength: 64 << 20 } })],
    connectionMonitor: { enabled: false },
  });

async function makeReceiver() {
  const node = await makeNode(["/ip4/127.0.0.1/tcp/0"]);
  /** @type {import("./common.ts").TensorSink | undefined} */
  let sink;
  await node.handle(TENSORS, (stream) => {
    stream.addEventListener("message", ({ data }) => {
      for (const part of data instanceof Uint8Array ? [data] : data) sink?.copy(part);
    });
  });
  await node.handle(ECHO, (stream) => {
    stream.addEventListener("message", ({ data }) => stream.send(data.slice()));
  });
  const [address] = node.getMultiaddrs();
  return {
    address: { port: Number(/\/tcp\/(\d+)/.exec(String(address))?.[1]), address: String(address) },
    receive: (next) => {
      sink = next;
    },
    echo: () => {},
  };
}

async function makeSender() {
  const node = await makeNode([]);
  const streams = new Map();
  const open = async (port, protocol) => {
    const key = `${port} ${protocol}`;
    const known = streams.get(key);
    if (known) return known;
    const stream = await node.dialProtocol(multiaddr(`/ip4/127.0.0.1/tcp/${port}`), protocol);
    streams.set(key, stream);
    return stream;
  };
  return {
    async send({ port, count, frameBytes }, memory) {
      const stream = await open(port, TENSORS);
      for (let i = 0; i < count; i++) {
        for (const part of parts(memory, Math.min(frameBytes, MESSAGE_BYTES)))
          if (!stream.send(part)) await stream.onDrain();
      }
    },
    async pinger({ port }, message) {
      const stream = await open(port, ECHO);
      const reply = new Reply();
      stream.addEventListener("message", ({ data }) => reply.add(data.byteLength));
      return () => {
        const answered = reply.next(message.length);
        stream.send(message);
        return answered;
      };
    },
  };
}

await servePeer(makeReceiver, makeSender);
