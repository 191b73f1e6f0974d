/** Control: the bare Node.js socket in its fastest form. `onread` into place, cork and uncork around header and payload. */
import { connect, createServer, type OnReadOpts, Socket } from "node:net";
import { BareReader, type Command, fill, header, Meter, say, serveCommands } from "./role.ts";

let reader: BareReader | undefined;
let memory = new Uint8Array(0);

const server = createServer({ noDelay: true, pauseOnConnect: true }, (accepted) => {
  const internals = accepted as unknown as { _handle: object | null };
  const handle = internals._handle;
  internals._handle = null;
  const first = new Uint8Array(14);
  let started = false;
  const onread: OnReadOpts = {
    buffer: () => {
      if (!started || !reader) return first;
      return reader.next();
    },
    callback: (byteCount, buffer) => {
      if (!started) {
        started = true;
        reader?.push(buffer.subarray(0, byteCount));
      } else reader?.commit(byteCount);
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
  socket.resume();
  socket.read(0);
});
server.listen(0, "127.0.0.1", () =>
  say({ event: "ready", port: (server.address() as { port: number }).port }),
);

function send(command: Command): Promise<void> {
  return new Promise((resolve, reject) => {
    const { port, tensorBytes, count, frameBytes } = command;
    if (memory.length !== tensorBytes) {
      memory = new Uint8Array(tensorBytes);
      fill(memory, 0);
    }
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
        const length = Math.min(frameBytes, tensorBytes - at);
        socket.write(header(1, seq++, length));
        const part = memory.subarray(at, at + length);
        at += length;
        if (at === tensorBytes) {
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
}

await serveCommands(async (command) => {
  if (command.cmd === "receive") {
    if (memory.length !== command.tensorBytes) memory = new Uint8Array(command.tensorBytes).fill(1);
    reader = new BareReader(memory, new Meter(command.tensorBytes, command.count));
    say({ event: "armed" });
  } else await send(command);
});
