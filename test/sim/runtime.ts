/** The `Runtime` of one simulated host: real hashes, seeded randomness, virtual time. */
import { createHash, createHmac } from "node:crypto";
import type { Runtime } from "../../src/core/runtime.ts";
import { SimClock } from "./clock.ts";
import type { SimHost } from "./network.ts";

export interface SimRuntime extends Runtime {
  readonly clock: SimClock;
  readonly host: SimHost;
}

/** `skewS`: how far the host's wall clock is off. */
export function simRuntime(host: SimHost, skewS = 0): SimRuntime {
  const random = host.network.random.fork();
  return {
    name: "sim",
    version: "1",
    host,
    transport: host.transport,
    clock: new SimClock(host.network.time, skewS),
    crypto: {
      randomBytes: (byteCount) => random.bytes(byteCount),
      sha256: (data) => createHash("sha256").update(data).digest(),
      hmacSha256: (key, data) => createHmac("sha256", key).update(data).digest(),
    },
    interfaces: () => host.interfaces(),
  };
}
