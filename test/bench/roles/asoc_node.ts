/** The whole node, through its public API: what users run. */
import { type AsocNode, join } from "../../../src/mod.ts";
import { type Command, fill, Meter, say, serveCommands } from "./role.ts";

const options = { apiKey: "bench".repeat(8), host: "127.0.0.1", discovery: false } as const;
const node = await join(options);
say({ event: "ready", port: node.port });

let memory = new Uint8Array(0);
let meter: Meter | undefined;
let verify = false;

async function receiveAll(): Promise<void> {
  for await (const stream of node.incoming) {
    const tensor = await stream.tensor();
    if (verify) check(tensor.bytes);
    meter?.add(tensor.bytes.length);
    tensor.release();
  }
}
void receiveAll();

function check(bytes: Uint8Array): void {
  const expected = new Uint8Array(bytes.length);
  fill(expected, 0);
  if (Buffer.compare(bytes, expected) !== 0) say({ event: "different" });
}

const senders = new Map<number, AsocNode>();

async function send(command: Command): Promise<void> {
  const { port, tensorBytes, count, frameBytes } = command;
  if (memory.length !== tensorBytes) {
    memory = new Uint8Array(tensorBytes);
    fill(memory, 0);
  }
  let sender = senders.get(port);
  if (!sender) {
    sender = await join({ ...options, peers: [`127.0.0.1:${port}`] });
    senders.set(port, sender);
    await sender.peers.wait(1);
  }
  const id = `127.0.0.1:${port}`;
  // One after another, as the bare sender does: two at once would interleave, and want memory for both there.
  for (let i = 0; i < count; i++) await sender.send(id, memory, { chunkBytes: frameBytes });
}

await serveCommands(async (command) => {
  if (command.cmd === "receive") {
    meter = new Meter(command.tensorBytes, command.count);
    verify = command.verify === true;
    say({ event: "armed" });
  } else if (command.cmd === "stats") say({ event: "stats", ...node.stats, refusedBeacons: 0 });
  else await send(command);
});
