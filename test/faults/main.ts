/** `npm run test:faults -- --minutes 30`: a fault run on request; ends with 1 when anything was lost, duplicated or corrupt. */
import { parseArgs } from "node:util";
import { ledgerText, runFaults, verdict } from "./faults.ts";
import { whyNoFaults } from "./field.ts";

const HELP = `usage: npm run test:faults -- [--minutes N] [--seed N] [--quiet]

Three hosts in network namespaces, one runtime each, send tensors to each other while connections are cut, reset,
slowed and delayed, hosts partitioned, processes suspended and killed. Needs Linux, root, iproute2 and nftables.

  --minutes N  how long things break (default 30)
  --seed N     what breaks when (default: a new one, printed)
  --quiet      the ledger alone
`;

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "30" },
    seed: { type: "string" },
    quiet: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});
const minutes = Number(values.minutes);
const seed = Number(values.seed ?? Date.now() % 1_000_000);
const why = whyNoFaults();
if (values.help) process.stdout.write(HELP);
else if (!(minutes > 0) || !Number.isInteger(seed)) {
  process.stderr.write(`--minutes, --seed: expected numbers\n${HELP}`);
  process.exitCode = 2;
} else if (why !== undefined) {
  process.stderr.write(`Cannot make faults here: ${why}\n`);
  process.exitCode = 2;
} else {
  process.stdout.write(`seed ${seed}\n`);
  const say = (text: string) => {
    if (!values.quiet) process.stdout.write(`${text}\n`);
  };
  const report = await runFaults(seed, minutes * 60, say);
  const wrong = verdict(report);
  process.stdout.write(
    `${ledgerText(report)}\n${wrong.length === 0 ? "nothing lost, nothing twice, nothing changed" : wrong.join("\n")}\n`,
  );
  process.exitCode = wrong.length === 0 ? 0 : 1;
}
