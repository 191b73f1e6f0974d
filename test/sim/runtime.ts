/** The `Runtime` of one simulated host: real hashes, seeded randomness, virtual time. */
import type { Runtime } from "../../src/core/runtime.ts";
import { createCrypto } from "../../src/runtime/common/crypto.ts";
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
    crypto: createCrypto((byteCount) => random.bytes(byteCount)),
    interfaces: () => host.interfaces(),
  };
}
