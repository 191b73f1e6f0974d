/** How fast sessions open with mutual proof: both sides in this process, over memory instead of a socket. */
import { DEFAULT_LIMITS } from "../../src/core/limits.ts";
import { Session } from "../../src/core/session/session.ts";
import { BufferPool } from "../../src/core/tensor/buffer_pool.ts";
import { makeNodeIdV8 } from "../../src/core/wire/node_id.ts";
import { runtime } from "../../src/runtime/node/mod.ts";

const KEY = new TextEncoder().encode("bench".repeat(8));

function side(role: "dialler" | "acceptor", keyExchange: boolean, pool: BufferPool): Session {
  const { crypto } = runtime;
  return new Session(
    {
      role,
      nodeId: makeNodeIdV8(crypto),
      key: KEY,
      challenge: 7,
      limits: DEFAULT_LIMITS,
      crypto,
      pool,
      x1: { communityHash: new Uint8Array(8), bootEpoch: 1, tensors: true, keyExchange },
    },
    0,
  );
}

/** Hands over all that `from` has to say. */
function deliver(from: Session, to: Session, parts: Uint8Array[]): boolean {
  let any = false;
  while (from.pollTransmit(parts, 0)) {
    for (const part of parts) to.handlePart(part, 0);
    from.handleWritten(0);
    any = true;
  }
  while (from.pollEvent());
  return any;
}

/** Session set-ups a second of one core's time: each handshake is two, one on either side. Nodes always exchange keys (X25519). */
export function sessionsPerSecond(handshakes: number, keyExchange: boolean): number {
  const pool = new BufferPool(DEFAULT_LIMITS);
  const parts: Uint8Array[] = [];
  const once = () => {
    const dialler = side("dialler", keyExchange, pool);
    const acceptor = side("acceptor", keyExchange, pool);
    while (deliver(dialler, acceptor, parts) || deliver(acceptor, dialler, parts));
    if (!dialler.open || !acceptor.open) throw new Error("the sessions did not open");
  };
  for (let i = 0; i < handshakes / 4; i++) once();
  const cpu = process.cpuUsage();
  for (let i = 0; i < handshakes; i++) once();
  const { user, system } = process.cpuUsage(cpu);
  return (2 * handshakes * 1e6) / (user + system);
}
