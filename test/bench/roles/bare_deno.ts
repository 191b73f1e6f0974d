/** Control: the bare Deno socket in its fastest form. `read` into place, `write` of header and payload in turn. */
import { deno } from "../../../src/runtime/deno/deno_api.ts";
import { type BareSocket, serveBare } from "./bare.ts";
import { header, type Reader } from "./bare_reader.ts";

type DenoConn = Awaited<ReturnType<typeof deno.connect>>;

async function writeAll(conn: DenoConn, part: Uint8Array): Promise<void> {
  let written = await conn.write(part);
  while (written < part.length) written += await conn.write(part.subarray(written));
}

/** `write` answers later: every one is waited for. */
function bareSocket(conn: DenoConn, onDrain: () => void): BareSocket {
  return {
    write(...parts) {
      void (async () => {
        for (const part of parts) await writeAll(conn, part);
        onDrain();
      })().catch(() => {});
      return false;
    },
    end: () => conn.close(),
  };
}

async function readAll(conn: DenoConn, reader: Reader): Promise<void> {
  for (;;) {
    const byteCount = await conn.read(reader.next());
    if (byteCount === null) return conn.close();
    reader.commit(byteCount);
  }
}

await serveBare({
  framesPerWrite: 1,

  async listen(accept) {
    const listener = deno.listen({ hostname: "127.0.0.1", port: 0 });
    void (async () => {
      for await (const conn of listener) {
        conn.setNoDelay(true);
        readAll(conn, accept(bareSocket(conn, () => {}))).catch(() => {});
      }
    })();
    return listener.addr.port;
  },

  async connect(port, reader, onDrain) {
    const conn = await deno.connect({ hostname: "127.0.0.1", port });
    conn.setNoDelay(true);
    readAll(conn, reader).catch(() => {}); // ends with the connection
    return bareSocket(conn, onDrain);
  },

  async sendBulk(port, memory, count, frameBytes) {
    const conn = await deno.connect({ hostname: "127.0.0.1", port });
    conn.setNoDelay(true);
    for (let tensor = 0; tensor < count; tensor++) {
      let seq = 0;
      for (let at = 0; at < memory.length; at += frameBytes) {
        const length = Math.min(frameBytes, memory.length - at);
        await writeAll(conn, header(1, 1, seq++, length));
        await writeAll(conn, memory.subarray(at, at + length));
      }
    }
    conn.close();
  },
});
