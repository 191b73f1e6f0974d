/** The simulated network passes the contract of the real ones, so that what is tested on it means something. */
import { transportContract } from "../contract/transport_contract.ts";
import { VirtualTime } from "./clock.ts";
import { Network } from "./network.ts";
import { Random } from "./random.ts";

const time = new VirtualTime();

for (const direct of [true, false]) {
  let seed = 0;
  transportContract({
    name: `simulated ${direct ? "direct" : "copying"}`,
    transport: () =>
      Promise.resolve(new Network(time, new Random(seed++)).addHost(["10.0.0.1"], direct).transport),
    host: "127.0.0.1",
    settle: (promise) => time.settle(promise),
    sleep: (delayMs) => time.sleep(delayMs),
    refusals: true,
  });
}
