/** `npm run soak -- --minutes 10 --runtime node`: ends with 1 when memory, handles or timers grow. */
import { parseArgs } from "node:util";
import { RUNTIMES, type RuntimeName } from "../support/process.ts";
import { soak, soakText, verdict } from "./soak.ts";

const HELP = `usage: npm run soak -- [--minutes N] [--runtime ${RUNTIMES.join("|")}] [--seed N] [--quiet]

One node with a gateway under a mixed load: tensors of all sizes, peers that come, go and die, strangers, clients.
Memory, file descriptors and timers must stay flat after the warm-up. Linux only.

  --minutes N   how long (default 60)
  --runtime R   of the node that is watched (default node); the load runs on Node.js
  --seed N      of the load (default 1)
  --quiet       the verdict alone
`;

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "60" },
    runtime: { type: "string", default: "node" },
    seed: { type: "string", default: "1" },
    quiet: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});
const minutes = Number(values.minutes);
const seed = Number(values.seed);
const runtime = RUNTIMES.find((name) => name === values.runtime) as RuntimeName | undefined;
if (values.help) process.stdout.write(HELP);
else if (!(minutes > 0) || !Number.isInteger(seed) || !runtime) {
  process.stderr.write(`--minutes, --seed, --runtime: not what was expected\n${HELP}`);
  process.exitCode = 2;
} else {
  const report = await soak(runtime, minutes * 60, seed, (text) => {
    if (!values.quiet) process.stdout.write(`${text}\n`);
  });
  const wrong = verdict(report);
  process.stdout.write(`${soakText(report)}\n${wrong.length === 0 ? "flat" : wrong.join("; ")}\n`);
  process.exit(wrong.length === 0 ? 0 : 1);
}
