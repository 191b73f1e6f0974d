/** The contract suite against the runtime that runs this file, reading in place and copying. */

import type { Transport } from "../../src/core/runtime.ts";
import { runtimeAtHand } from "../../src/join.ts";
import { transportContract } from "../contract/transport_contract.ts";

const { name } = await runtimeAtHand();

async function create(direct: boolean): Promise<Transport> {
  if (name === "deno") return (await import("../../src/runtime/deno/tcp.ts")).createTransport({ direct });
  if (name === "bun") return (await import("../../src/runtime/bun/tcp.ts")).createTransport({ direct });
  return (await import("../../src/runtime/node/tcp.ts")).createTransport({ direct });
}

for (const direct of [true, false]) {
  transportContract({
    name: `${name} ${direct ? "direct" : "copying"}`,
    transport: () => create(direct),
    host: "127.0.0.1",
    settle: (promise) => promise,
    sleep: (delayMs) => new Promise((resolve) => setTimeout(resolve, delayMs)),
    refusals: true,
  });
}
