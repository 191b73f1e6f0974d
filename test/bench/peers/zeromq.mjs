/**
 * zeromq.js 6 (libzmq with its own I/O thread), DEALER to DEALER over TCP.
 *
 * Its fair best: tensors as 1 MiB messages of memory that libzmq sends without copying it; the receiver copies each
 * message into the one reused tensor. One 64 MiB message would need no copy, but libzmq then takes 64 MiB of fresh
 * memory for every tensor, which costs more. The queues hold 32 messages on each side: enough to keep both threads
 * busy, few enough that the memory of the messages is used again. The sender's is longer for small tensors.
 */
import { Dealer } from "zeromq";
import { parts, servePeer } from "./common.ts";

const QUEUE_BYTES = 32 << 20;

async function makeReceiver() {
  const socket = new Dealer({ receiveHighWaterMark: 32, sendHighWaterMark: 32, linger: 0 });
  await socket.bind("tcp://127.0.0.1:0");
  /** @type {import("./common.ts").TensorSink | undefined} */
  let sink;
  void (async () => {
    for await (const [message] of socket) {
      if (sink) sink.copy(message);
      else await socket.send(message);
    }
  })();
  return {
    address: { port: Number(socket.lastEndpoint?.split(":").at(-1)) },
    receive: (next) => {
      sink = next;
    },
    echo: () => {
      sink = undefined;
    },
  };
}

async function makeSender() {
  /** @type {Dealer | undefined} */
  let socket;
  let key = "";
  const connect = (port, messageBytes) => {
    const queue = Math.min(1000, Math.max(2, Math.floor(QUEUE_BYTES / messageBytes)));
    if (socket && key === `${port} ${queue}`) return socket;
    socket?.close();
    key = `${port} ${queue}`;
    socket = new Dealer({ sendHighWaterMark: queue, receiveHighWaterMark: queue, linger: 10_000 });
    socket.connect(`tcp://127.0.0.1:${port}`);
    return socket;
  };
  return {
    async send({ port, count, frameBytes, tensorBytes }, memory) {
      const to = connect(port, Math.min(frameBytes, tensorBytes));
      for (let i = 0; i < count; i++) for (const part of parts(memory, frameBytes)) await to.send(part);
    },
    async pinger({ port }, message) {
      const to = connect(port, message.length);
      return async () => {
        await to.send(message);
        await to.receive();
      };
    },
  };
}

await servePeer(makeReceiver, makeSender);
