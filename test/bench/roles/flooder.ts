/**
 * An attacker: connections to a port that never prove anything, and beacons that nobody has signed, from many addresses of
 * this machine. What is refused comes again, so that the load stays the same whatever the other side does with it.
 *
 *   {"cmd":"connect","port":n,"slots":n,"perSecond":n,"talks":bool,"addresses":n}   until "stop"
 *   {"cmd":"beacons","port":n,"perSecond":n}                                        until "stop"
 *   {"cmd":"stop"}                                                                  prints "stopped"
 */
import { createHash, randomBytes } from "node:crypto";
import { createSocket } from "node:dgram";
import { connect, type Socket } from "node:net";
import { createInterface } from "node:readline";
import { frame, hello, TYPE } from "../../support/raw_peer.ts";
import { say } from "./role.ts";

interface FloodCommand {
  readonly cmd: "connect" | "beacons" | "stop";
  readonly port: number;
  /** Connections at once. */
  readonly slots: number;
  readonly perSecond: number;
  /** They say HELLO with another key; otherwise nothing. */
  readonly talks: boolean;
  /** How many source addresses. */
  readonly addresses: number;
}

const TICK_MS = 5;
const HELLO = frame(TYPE.HELLO, 0, 0, hello("another key"));
const network = 1 + (process.pid % 250);

const open = new Set<Socket>();
let opened = 0;
let closed = 0;
let beacons = 0;
let startMs = performance.now();
let timer: NodeJS.Timeout | undefined;

/** Calls `act` so often on average, in bursts of one tick. */
function pace(perSecond: number, act: () => void): void {
  const startMs = performance.now();
  let acts = 0;
  clearInterval(timer);
  timer = setInterval(() => {
    const due = ((performance.now() - startMs) / 1000) * perSecond;
    // What was missed while the machine was busy is not made up for at once.
    acts = Math.max(acts, due - perSecond / 20);
    for (; acts < due; acts++) act();
  }, TICK_MS);
}

function connectOne({ port, talks, addresses }: FloodCommand): void {
  const at = opened % addresses;
  const localAddress = `127.${network}.${at >> 8}.${1 + (at % 254)}`;
  const socket = connect({ host: "127.0.0.1", port, localAddress, noDelay: true });
  opened++;
  open.add(socket);
  if (talks) socket.write(HELLO);
  socket.on("error", () => {});
  socket.on("end", () => socket.destroy());
  socket.on("data", () => {});
  socket.on("close", () => {
    open.delete(socket);
    closed++;
  });
}

function floodBeacons({ port, perSecond }: FloodCommand): void {
  const socket = createSocket("udp4");
  socket.on("error", () => {});
  const community = createHash("sha256").update("default").digest().subarray(0, 8);
  const packet = Buffer.concat([community, randomBytes(42)]);
  let number = 0;
  pace(perSecond, () => {
    packet.writeUInt32BE(number++ >>> 0, 8); // another uuid each time
    socket.send(packet, port, "127.0.0.1", () => {});
    beacons++;
  });
}

say({ event: "ready" });
createInterface({ input: process.stdin })
  .on("line", (line) => {
    const command = JSON.parse(line) as FloodCommand;
    if (command.cmd !== "stop") startMs = performance.now();
    if (command.cmd === "connect") {
      pace(command.perSecond, () => {
        if (open.size < command.slots) connectOne(command);
      });
    } else if (command.cmd === "beacons") floodBeacons(command);
    else {
      clearInterval(timer);
      const held = open.size;
      for (const socket of open) socket.resetAndDestroy();
      say({
        event: "stopped",
        seconds: (performance.now() - startMs) / 1000,
        opened,
        closed,
        held,
        beacons,
      });
    }
  })
  .on("close", () => process.exit(0));
