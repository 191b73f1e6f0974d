/**
 * A single-file ASoc peer for Deno: joins, sends files, prints what it receives.
 *
 *   deno run --allow-net --allow-sys=networkInterfaces --allow-env=ASOC_API_KEY --allow-read examples/deno_peer.ts \
 *     --community lab --send model.safetensors --count 1
 *
 * Permissions, no more than these: net (its sockets), sys=networkInterfaces (where to send beacons), env=ASOC_API_KEY
 * (the key), read (only with --send), write (only with --out). Outside a checkout import "npm:asoc" instead of
 * "../src/mod.ts".
 *
 * Flags come through @std/cli from JSR. Tests run this file with an import map (test/examples/offline_imports.json)
 * that puts a stand-in in the place of that one import, because they run without a network.
 */
import { parseArgs } from "jsr:@std/cli@^1/parse-args";
import { join } from "../src/mod.ts";

const flags = parseArgs(Deno.args, {
  string: ["community", "host", "port", "peers", "discovery-port", "send", "out", "count", "timeout"],
  boolean: ["help"],
  default: {
    community: "default",
    host: "0.0.0.0",
    port: "0",
    "discovery-port": "9999",
    count: "0",
    timeout: "10",
  },
});

if (flags.help) {
  console.log(`A single-file ASoc peer. The key comes from ASOC_API_KEY.

  --community NAME       default "default"
  --host HOST            address to listen on, default 0.0.0.0
  --port PORT            default: any free one
  --peers HOST:PORT,…    static peers; discovery is off with them
  --discovery-port PORT  default 9999
  --send FILE            send FILE to every peer that is found
  --out DIR              keep what is received in DIR
  --count N              leave after N tensors were received; 0: after sending, or at Ctrl-C
  --timeout SECONDS      how long to wait for a peer, default 10`);
  Deno.exit(0);
}

const node = await join({
  community: flags.community,
  apiKey: Deno.env.get("ASOC_API_KEY"),
  host: flags.host,
  port: Number(flags.port),
  peers: flags.peers ? flags.peers.split(",") : [],
  discoveryPort: Number(flags["discovery-port"]),
}).catch((error: Error): never => {
  console.error(error.message);
  Deno.exit(2);
});
const say = (event: object) => console.log(JSON.stringify(event));
say({ event: "ready", nodeId: node.id, port: node.port });
Deno.addSignalListener("SIGINT", () => void node.close().finally(() => Deno.exit(130)));

const wanted = Number(flags.count);
const receiving = (async () => {
  let received = 0;
  for await (const stream of node.incoming) {
    try {
      const tensor = await stream.tensor();
      const digest = new Uint8Array(
        await crypto.subtle.digest("SHA-256", tensor.bytes as Uint8Array<ArrayBuffer>),
      );
      const sha256 = digest.toHex();
      say({ event: "received", from: tensor.peer.id, bytes: tensor.bytes.length, sha256 });
      if (flags.out)
        await Deno.writeFile(`${flags.out}/${tensor.peer.id}-${tensor.streamId}.bin`, tensor.bytes);
      tensor.release();
    } catch (error) {
      console.error((error as Error).message);
      continue;
    }
    if (++received === wanted) return;
  }
})();

if (flags.send) {
  const file = flags.send;
  try {
    await node.peers.wait(1, { timeoutMs: Number(flags.timeout) * 1000 });
    const bytes = await Deno.readFile(file);
    for (const { peer, report, error } of await node.sendAll(bytes)) {
      if (report) say({ event: "sent", to: peer.id, bytes: report.bytes });
      else console.error((error as Error).message);
    }
  } catch (error) {
    console.error((error as Error).message);
    await node.close();
    Deno.exit(1);
  }
}
if (wanted > 0 || !flags.send) await receiving;
await node.close();
Deno.exit(0);
