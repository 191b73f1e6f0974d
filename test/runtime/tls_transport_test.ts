/** The contract suite over TLS, on the runtime that runs this file. */
import { runtimeAtHand } from "../../src/join.ts";
import { transportContract } from "../contract/transport_contract.ts";
import { configOf, content, listenOf, makeSelfSigned } from "../support/tls.ts";

const { name, transport } = await runtimeAtHand();
const config = configOf(await makeSelfSigned(content()));

transportContract({
  name: `${name} TLS`,
  transport: async () => ({
    ...transport,
    capabilities: { ...transport.capabilities, directRead: false },
    dial: (to, options) => transport.dial(to, { ...options, tls: config }),
    listen: (at, accept, _tls, isShut) => transport.listen(at, accept, listenOf(config), isShut),
  }),
  host: "127.0.0.1",
  settle: (promise) => promise,
  sleep: (delayMs) => new Promise((resolve) => setTimeout(resolve, delayMs)),
  refusals: true,
});
