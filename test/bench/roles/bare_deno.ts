/** Control: the bare Deno socket in its fastest form. `read` into place, `write` of header and payload in turn. */
import { deno } from "../../../src/runtime/deno/deno_api.ts";
import { BareReader, type Command, fill, header, Meter, say, serveCommands } from "./role.ts";

let reader: BareReader | undefined;
let memory = new Uint8Array(0);

const listener = deno.listen({ hostname: "127.0.0.1", port: 0 });
say({ event: "ready", port: listener.addr.port });
void (async () => {
  for await (const conn of listener) {
    conn.setNoDelay(true);
    void (async () => {
      for (;;) {
        if (!reader) return;
        const byteCount = await conn.read(reader.next());
        if (byteCount === null) return conn.close();
        reader.commit(byteCount);
      }
    })();
  }
})();

async function send(command: Command): Promise<void> {
  const { port, tensorBytes, count, frameBytes } = command;
  if (memory.length !== tensorBytes) {
    memory = new Uint8Array(tensorBytes);
    fill(memory, 0);
  }
  const conn = await deno.connect({ hostname: "127.0.0.1", port });
  conn.setNoDelay(true);
  const write = async (part: Uint8Array) => {
    let written = await conn.write(part);
    while (written < part.length) written += await conn.write(part.subarray(written));
  };
  for (let tensor = 0; tensor < count; tensor++) {
    let seq = 0;
    for (let at = 0; at < tensorBytes; at += frameBytes) {
      const length = Math.min(frameBytes, tensorBytes - at);
      await write(header(1, seq++, length));
      await write(memory.subarray(at, at + length));
    }
  }
  conn.close();
}

await serveCommands(async (command) => {
  if (command.cmd === "receive") {
    if (memory.length !== command.tensorBytes) memory = new Uint8Array(command.tensorBytes).fill(1);
    reader = new BareReader(memory, new Meter(command.tensorBytes, command.count));
    say({ event: "armed" });
  } else await send(command);
});
