/** Control: the bare Bun socket in its fastest form. `data` and then readSync until the socket is empty. */
import { readSync } from "node:fs";
import { type BareSocket, serveBare } from "./bare.ts";
import { header, type Reader } from "./bare_reader.ts";

/** The part of a Bun socket that is used here. */
interface Writable {
  write(data: Uint8Array, offset?: number, length?: number): number;
  end(): void;
}

/** What Bun did not take at once waits here. */
class Rest implements BareSocket {
  readonly #socket: Writable;
  readonly #onDrain: () => void;
  #parts: Uint8Array[] = [];

  constructor(socket: Writable, onDrain: () => void) {
    this.#socket = socket;
    this.#onDrain = onDrain;
  }

  write(...parts: Uint8Array[]): boolean {
    this.#parts.push(...parts);
    return this.#flush();
  }

  drained(): void {
    if (this.#parts.length > 0 && this.#flush()) this.#onDrain();
  }

  end(): void {
    this.#socket.end();
  }

  #flush(): boolean {
    for (let part = this.#parts[0]; part; part = this.#parts[0]) {
      const written = this.#socket.write(part);
      if (written < part.length) {
        this.#parts[0] = part.subarray(Math.max(0, written));
        return false;
      }
      this.#parts.shift();
    }
    return true;
  }
}

function drain(socket: unknown, reader: Reader, part: Uint8Array): void {
  reader.push(part);
  const { fd } = socket as { fd: number };
  for (;;) {
    const target = reader.next();
    let byteCount: number;
    try {
      byteCount = readSync(fd, target, 0, target.length, null);
    } catch {
      return;
    }
    if (byteCount === 0) return;
    reader.commit(byteCount);
  }
}

interface Held {
  reader: Reader;
  rest: Rest;
}

await serveBare({
  framesPerWrite: 1,

  async listen(accept) {
    const listener = Bun.listen<Held>({
      hostname: "127.0.0.1",
      port: 0,
      socket: {
        open(socket) {
          const rest = new Rest(socket, () => {});
          socket.data = { rest, reader: accept(rest) };
        },
        data: (socket, part) => drain(socket, socket.data.reader, part),
        drain: (socket) => socket.data.rest.drained(),
      },
    });
    return listener.port;
  },

  connect(port, reader, onDrain) {
    return new Promise((resolve, reject) => {
      Bun.connect<Held>({
        hostname: "127.0.0.1",
        port,
        socket: {
          open(socket) {
            socket.data = { reader, rest: new Rest(socket, onDrain) };
            resolve(socket.data.rest);
          },
          data: (socket, part) => drain(socket, socket.data.reader, part),
          drain: (socket) => socket.data.rest.drained(),
        },
      }).catch(reject);
    });
  },

  sendBulk(port, memory, count, frameBytes) {
    return new Promise((resolve, reject) => {
      let tensor = 0;
      let at = 0;
      let seq = 0;
      let head: Uint8Array | undefined;
      let headAt = 0;
      let left = 0;
      const pump = (socket: Writable) => {
        for (;;) {
          if (left === 0 && !head) {
            if (tensor === count) {
              socket.end();
              resolve();
              return;
            }
            left = Math.min(frameBytes, memory.length - at);
            head = header(1, 1, seq++, left);
            headAt = 0;
          }
          if (head) {
            headAt += socket.write(head, headAt, head.length - headAt);
            if (headAt < head.length) return;
            head = undefined;
          }
          const written = socket.write(memory, at, left);
          at += written;
          left -= written;
          if (left > 0) return;
          if (at === memory.length) {
            at = 0;
            seq = 0;
            tensor++;
          }
        }
      };
      Bun.connect({
        hostname: "127.0.0.1",
        port,
        socket: { open: (socket) => pump(socket), drain: (socket) => pump(socket), data() {} },
      }).catch(reject);
    });
  },
});
