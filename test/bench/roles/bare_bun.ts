/** Control: the bare Bun socket in its fastest form. `data` and then readSync until the socket is empty. */
import { readSync } from "node:fs";
import { BareReader, type Command, fill, header, Meter, say, serveCommands } from "./role.ts";

let reader: BareReader | undefined;
let memory = new Uint8Array(0);

const listener = Bun.listen({
  hostname: "127.0.0.1",
  port: 0,
  socket: {
    data(socket, part) {
      if (!reader) return;
      reader.push(part);
      const { fd } = socket as unknown as { fd: number };
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
    },
  },
});
say({ event: "ready", port: listener.port });

function send(command: Command): Promise<void> {
  return new Promise((resolve) => {
    const { port, tensorBytes, count, frameBytes } = command;
    if (memory.length !== tensorBytes) {
      memory = new Uint8Array(tensorBytes);
      fill(memory, 0);
    }
    let tensor = 0;
    let at = 0;
    let seq = 0;
    let head: Uint8Array | undefined;
    let headAt = 0;
    let left = 0;
    const pump = (socket: {
      write(data: Uint8Array, offset?: number, length?: number): number;
      end(): void;
    }) => {
      for (;;) {
        if (left === 0 && !head) {
          if (tensor === count) {
            socket.end();
            resolve();
            return;
          }
          left = Math.min(frameBytes, tensorBytes - at);
          head = header(1, seq++, left);
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
        if (at === tensorBytes) {
          at = 0;
          seq = 0;
          tensor++;
        }
      }
    };
    void Bun.connect({
      hostname: "127.0.0.1",
      port,
      socket: { open: (socket) => pump(socket), drain: (socket) => pump(socket), data() {} },
    });
  });
}

await serveCommands(async (command) => {
  if (command.cmd === "receive") {
    if (memory.length !== command.tensorBytes) memory = new Uint8Array(command.tensorBytes).fill(1);
    reader = new BareReader(memory, new Meter(command.tensorBytes, command.count));
    say({ event: "armed" });
  } else await send(command);
});
