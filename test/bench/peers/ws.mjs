/**
 * ws 8: WebSocket server and client.
 *
 * Its fair best: no compression; 1 MiB binary messages written straight from the tensor (64 KiB and 64 MiB were slower);
 * `generateMask` that leaves the mask zero, so that neither side spends time on masking (the library then skips it; fit
 * for a trusted network). ws joins the chunks of a message in fresh memory, and the receiver copies that into the one
 * reused tensor: with one message of 64 MiB the second copy would go, but the fresh memory costs more than it. 8 MiB may
 * be on their way, by the callbacks of `send`.
 */
import { WebSocket, WebSocketServer } from "ws";
import { parts, Reply, servePeer, Window } from "./common.ts";

const OPTIONS = { perMessageDeflate: false, maxPayload: 0, skipUTF8Validation: true };

async function makeReceiver() {
  /** @type {import("./common.ts").TensorSink | undefined} */
  let sink;
  const server = new WebSocketServer({ ...OPTIONS, host: "127.0.0.1", port: 0 });
  server.on("connection", (socket) => {
    socket.on("message", (message) => {
      if (sink) sink.copy(message);
      else socket.send(message);
    });
  });
  await new Promise((resolve) => server.once("listening", resolve));
  return {
    address: { port: server.address().port },
    receive: (next) => {
      sink = next;
    },
    echo: () => {
      sink = undefined;
    },
  };
}

async function makeSender() {
  const sockets = new Map();
  const reply = new Reply();
  const connect = async (port) => {
    const known = sockets.get(port);
    if (known) return known;
    const socket = new WebSocket(`ws://127.0.0.1:${port}`, { ...OPTIONS, generateMask() {} });
    await new Promise((resolve, reject) => {
      socket.once("open", resolve);
      socket.once("error", reject);
    });
    socket.on("message", (data) => reply.add(data.length));
    sockets.set(port, socket);
    return socket;
  };
  return {
    async send({ port, count, frameBytes }, memory) {
      const socket = await connect(port);
      const window = new Window(8 << 20);
      for (let i = 0; i < count; i++) {
        for (const part of parts(memory, frameBytes)) {
          const wait = window.take(part.length);
          if (wait) await wait;
          socket.send(part, (error) => {
            if (error) throw error;
            window.give(part.length);
          });
        }
      }
      await window.empty();
    },
    async pinger({ port }, message) {
      const socket = await connect(port);
      return () => {
        const answered = reply.next(message.length);
        socket.send(message);
        return answered;
      };
    },
  };
}

await servePeer(makeReceiver, makeSender);
