/**
 * The wires between the hosts of a fault run, as a process on a host of its own: passes TCP on, in order and with
 * backpressure, and later by as many milliseconds as it is told ({"delayMs":n} on stdin). The kernel here has no netem.
 *
 * Argument: a list of { host, to }: connections to port PORT of `host` go on to port PORT of `to`, from `host`.
 */
import { connect, createServer, type Socket } from "node:net";
import { createInterface } from "node:readline";
import { reset } from "../support/reset.ts";

export interface Wire {
  readonly host: string;
  readonly to: string;
}

const PORT = 9000;
/** What one direction of a connection may hold. */
const MAX_HELD_BYTES = 4 * 1024 * 1024;

let delayMs = 0;

/** What comes from one socket goes to the other one, after the delay that holds when it comes. */
function pass(from: Socket, to: Socket): void {
  const held: { readonly atMs: number; readonly part: Uint8Array | undefined }[] = [];
  let heldBytes = 0;
  let timer: NodeJS.Timeout | undefined;
  const flush = () => {
    timer = undefined;
    const nowMs = performance.now();
    for (let head = held[0]; head && head.atMs <= nowMs; head = held[0]) {
      held.shift();
      if (to.destroyed) return;
      if (!head.part) {
        to.end();
        continue;
      }
      heldBytes -= head.part.length;
      if (!to.write(head.part)) {
        to.once("drain", flush);
        return;
      }
    }
    if (heldBytes < MAX_HELD_BYTES && from.isPaused()) from.resume();
    const [next] = held;
    if (next) timer = setTimeout(flush, next.atMs - nowMs);
  };
  const hold = (part: Uint8Array | undefined) => {
    // No part overtakes an earlier one when the delay becomes shorter.
    const atMs = Math.max(performance.now() + delayMs, held.at(-1)?.atMs ?? 0);
    held.push({ atMs, part });
    heldBytes += part?.length ?? 0;
    if (heldBytes >= MAX_HELD_BYTES) from.pause();
    if (to.writableNeedDrain) return;
    if (delayMs === 0 && held.length === 1) flush();
    else timer ??= setTimeout(flush, Math.max(0, (held[0]?.atMs ?? 0) - performance.now()));
  };
  from.on("data", hold);
  from.on("end", () => hold(undefined));
  from.on("error", () => reset(to));
  from.on("close", () => {
    clearTimeout(timer);
    if (!from.readableEnded) reset(to);
  });
}

const wires = JSON.parse(process.argv[2] ?? "[]") as Wire[];
for (const { host, to } of wires) {
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (dialler) => {
    const listener = connect({
      host: to,
      port: PORT,
      localAddress: host,
      noDelay: true,
      allowHalfOpen: true,
    });
    pass(dialler, listener);
    pass(listener, dialler);
  });
  await new Promise<void>((resolve) => server.listen(PORT, host, resolve));
}
createInterface({ input: process.stdin })
  .on("line", (line) => {
    delayMs = (JSON.parse(line) as { delayMs: number }).delayMs;
  })
  .on("close", () => process.exit(0));
process.stdout.write('{"event":"ready"}\n');
