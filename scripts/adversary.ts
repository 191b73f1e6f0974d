/**
 * `npm run test:adversary`: plays every attack of docs/security.md against real nodes and prints what became of each.
 *
 * `-- --victim bun` chooses one runtime, `-- --attack TEXT` those attacks with that in their title. The exit code is 0 when
 * every attack ended as the table says, on every runtime that was asked for.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

interface Played {
  readonly runtime: string;
  readonly title: string;
  readonly outcome: string;
  readonly named: string;
}

const ROOT = join(import.meta.dirname, "..");
const { values } = parseArgs({
  options: { victim: { type: "string" }, attack: { type: "string" } },
});
const folder = mkdtempSync(join(tmpdir(), "asoc-adversary-"));
const log = join(folder, "played");
writeFileSync(log, "");
const files = readdirSync(join(ROOT, "test", "adversary"))
  .filter((file) => file.endsWith("_test.ts"))
  .map((file) => `./test/adversary/${file}`);
// The man in the middle of a TLS connection, which has real nodes of its own.
if (!values.victim && !values.attack) files.push("./test/process/tls_mitm_test.ts");
const child = spawn("node", ["--test", "--test-reporter=spec", "--test-concurrency=1", ...files], {
  cwd: ROOT,
  env: {
    ...process.env,
    NO_COLOR: "1",
    ASOC_ADVERSARY_LOG: log,
    ...(values.victim ? { ASOC_VICTIM: values.victim } : {}),
    ...(values.attack ? { ASOC_ATTACK: values.attack } : {}),
  },
  stdio: ["ignore", "pipe", "inherit"],
});
let output = "";
child.stdout.setEncoding("utf8").on("data", (text: string) => {
  output += text;
});
const code = await new Promise<number>((resolve) => child.once("close", (ended) => resolve(ended ?? 1)));
const played = readFileSync(log, "utf8")
  .split("\n")
  .filter((line) => line !== "")
  .map((line) => JSON.parse(line) as Played);
rmSync(folder, { recursive: true });

const byTitle = Map.groupBy(played, ({ title }) => title);
const width = Math.max(...[...byTitle.keys()].map((title) => title.length), 0);
for (const [title, rows] of byTitle) {
  const outcome = rows[0]?.outcome === "works" ? "WORKS" : rows[0]?.outcome;
  const on = rows.map(({ runtime }) => runtime).join(" ");
  const named = [...new Set(rows.map((row) => row.named))].join(" | ");
  process.stdout.write(`${title.padEnd(width)}  ${outcome?.padEnd(8)}  ${on.padEnd(13)}  ${named}\n`);
}
const count = (outcome: string) => [...byTitle.values()].filter(([row]) => row?.outcome === outcome).length;
process.stdout.write(
  `\n${byTitle.size} attacks, ${played.length} times: ${count("refused")} refused, ${count("bounded")} bounded, ` +
    `${count("detected")} detected, ${count("works")} work (they are said to in docs/security.md)\n`,
);
if (code !== 0) process.stdout.write(`\n${output.slice(output.indexOf("failing tests")).slice(0, 20_000)}\n`);
process.exitCode = code;
