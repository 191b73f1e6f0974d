/** Control: the bare Node.js socket in its fastest form. `onread` into place, cork and uncork around header and payload. */
import { connect, createServer, type OnReadOpts, Socket } from "node:net";
import { type BareSocket, serveBare } from "./bare.ts";
import { header, type Reader } from "./bare_reader.ts";

function bareSocket(socket: Socket): BareSocket {
  return {
    write(...parts) {
      if (parts.length === 1) return socket.write(parts[0] as Uint8Array); // it is there
      socket.cork();
      let more = true;
      for (const part of parts) more = socket.write(part);
      socket.uncork();
      return more;
    },
    end: () => socket.end(),
  };
}

await serveBare({
  framesPerWrite: 2,

  listen(accept) {
    const server = createServer({ noDelay: true, pauseOnConnect: true }, (accepted) => {
      const internals = accepted as unknown as { _handle: object | null };
      const handle = internals._handle;
      internals._handle = null;
      const first = new Uint8Array(14);
      let placed = false;
      let reader: Reader | undefined;
      const onread: OnReadOpts = {
        buffer: () => {
          placed = reader !== undefined;
          return reader?.next() ?? first;
        },
        callback: (byteCount, buffer) => {
          if (placed) reader?.commit(byteCount);
          else reader?.push(buffer.subarray(0, byteCount));
          return true;
        },
      };
      const socket = new Socket({
        handle,
        readable: true,
        writable: true,
        onread,
      } as unknown as ConstructorParameters<typeof Socket>[0]);
      socket.on("error", () => {});
      reader = accept(bareSocket(socket));
      socket.resume();
      socket.read(0);
    });
    return new Promise((resolve) => {
      server.listen(0, "127.0.0.1", () => resolve((server.address() as { port: number }).port));
    });
  },

  connect(port, reader, onDrain) {
    return new Promise((resolve, reject) => {
      const socket = connect({
        host: "127.0.0.1",
        port,
        noDelay: true,
        onread: {
          buffer: () => reader.next(),
          callback: (byteCount) => {
            reader.commit(byteCount);
            return true;
          },
        },
      });
      socket.on("error", reject);
      socket.on("drain", onDrain);
      socket.on("connect", () => resolve(bareSocket(socket)));
    });
  },

  sendBulk(port, memory, count, frameBytes) {
    return new Promise((resolve, reject) => {
      const socket = connect({ host: "127.0.0.1", port, noDelay: true });
      socket.on("error", reject);
      let tensor = 0;
      let at = 0;
      let seq = 0;
      // Two frames in one system call: one at a time leaves the receiver waiting.
      const step = () => {
        if (tensor === count) {
          socket.end(() => resolve());
          return;
        }
        socket.cork();
        for (let frame = 0; frame < 2 && tensor < count; frame++) {
          const length = Math.min(frameBytes, memory.length - at);
          socket.write(header(1, 1, seq++, length));
          const part = memory.subarray(at, at + length);
          at += length;
          if (at === memory.length) {
            at = 0;
            seq = 0;
            tensor++;
          }
          if (frame === 1 || tensor === count) socket.write(part, step);
          else socket.write(part);
        }
        socket.uncork();
      };
      socket.on("connect", step);
    });
  },
});
