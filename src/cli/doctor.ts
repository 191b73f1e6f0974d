/** `asoc doctor`: looks for what keeps a node from being found, or from being fast, and says what to do. */
import { AsocError, type AsocNode, describeRefused, formatAddress, join } from "../mod.ts";
import type { Command, Context } from "./command.ts";
import { type NodeSettings, nodeSettings } from "./config.ts";
import { kernelFindings } from "./doctor_kernel.ts";
import { readingFinding, runtimeFinding } from "./doctor_runtime.ts";
import { securityFindings } from "./doctor_security.ts";
import { CliError, ExitCode, usageError } from "./exit_codes.ts";
import { type Finding, ok, problem, warning } from "./finding.ts";
import { GATEWAY_FLAGS } from "./gateway.ts";
import type { Output } from "./output.ts";
import { peerText } from "./text.ts";
import { readTls } from "./tls.ts";

/** One beacon's interval and some. */
const LISTEN_MS = 3500;
const DEFAULT_TCP_PORT = 9000;

export const doctor: Command = {
  name: "doctor",
  summary: "check this machine: network, key, security, kernel",
  usage: "doctor [FLAGS]",
  about: `Checks this machine: runtime, its version and how it reads, key, ports, broadcast, clock against the nodes that can be
heard, congestion control and socket limits; and what a node with these flags would be open to: key, file modes, TLS, audit,
access, gateway, peers that have not proven the key. Give it the flags that \`asoc serve\` would get: it joins with them for
${LISTEN_MS / 1000} s, and opens no gateway.
Each finding is ok, a warning or a problem, and says what to do. Ends with 1 when there is a problem, with 0 when there
are warnings at most.`,
  flags: GATEWAY_FLAGS,
  joins: true,
  examples: [
    ["asoc doctor", "is this machine ready?"],
    ["asoc doctor --tls --audit-log audit.log --gateway", "would a node with these flags be safe?"],
    ["asoc doctor --json | jq -r 'select(.level != \"ok\").advice'", "what to do"],
  ],
  run: doctorCommand,
};

async function doctorCommand({ args, env, output }: Context): Promise<ExitCode> {
  if (args.positionals.length > 0) {
    throw usageError(`doctor: expected no words, got ${args.positionals.join(" ")}`);
  }
  const findings: Finding[] = [];
  const report = (finding: Finding) => {
    findings.push(finding);
    say(finding, output);
  };
  report(runtimeFinding());
  const settings = await nodeSettings(args, env, DEFAULT_TCP_PORT).catch((error: unknown) => {
    if (!(error instanceof CliError)) throw error;
    report(
      problem(
        "settings",
        error.message,
        "without them this machine cannot join; the rest is checked all the same",
      ),
    );
  });
  if (settings) {
    report(keyFinding(settings));
    for (const security of await securityFindings(settings, args, env)) report(security);
    const { node, finding } = await portFinding(settings);
    report(finding);
    if (node) {
      report(readingFinding(node, settings.tls !== undefined));
      try {
        for (const heard of await networkFindings(node, settings, output)) report(heard);
      } finally {
        await node.close({ timeoutMs: 1000 }).catch(() => {});
      }
    }
  }
  for (const kernel of await kernelFindings()) report(kernel);
  const problems = findings.filter(({ level }) => level === "problem").length;
  const warnings = findings.filter(({ level }) => level === "warning").length;
  if (!output.json) output.log(`${problems} problems, ${warnings} warnings`);
  return problems > 0 ? ExitCode.FAILURE : ExitCode.OK;
}

function say(finding: Finding, output: Output): void {
  const advice = finding.advice === "" ? "" : `\n             ${finding.advice}`;
  const text = `${finding.level.padEnd(8)}  ${finding.check}: ${finding.found}${advice}`;
  output.event({ event: "finding", ...finding }, text);
}

function keyFinding(settings: NodeSettings): Finding {
  const found = settings.warnings.join("; ");
  if (found === "")
    return ok("key", settings.keys.length > 1 ? `${settings.keys.length} in a ring` : "strong");
  const says = (word: string) => settings.warnings.some((one) => one.includes(word));
  const advice = says("weak")
    ? "make one with `asoc keygen --write` and copy it to every node"
    : says("chmod")
      ? "only its owner may be able to read it"
      : "asoc key list shows all keys and their dates";
  return warning("key", found, advice);
}

/** Joins as `serve` would: what is in use shows. */
async function portFinding(settings: NodeSettings): Promise<{ node?: AsocNode; finding: Finding }> {
  const { community, keys, host, port, peers, discovery, discoveryPort } = settings;
  let options: Parameters<typeof join>[0] = { community, keys, host, peers, discovery, discoveryPort };
  try {
    if (settings.tls) options = { ...options, tls: await readTls(settings.tls) };
    const node = await join({ ...options, port });
    return {
      node,
      finding: ok(
        "ports",
        `TCP ${formatAddress(node.address)} is free${discovery ? `, UDP ${discoveryPort} can be shared` : ""}`,
      ),
    };
  } catch (error) {
    if (!(error instanceof AsocError)) throw error;
    if (error.code === "ASOC_CONFIG")
      return { finding: problem("tls", error.message, "asoc certs --help says what makes certificates") };
    const node = await join({ ...options, port: 0 }).catch(() => undefined);
    if (!node)
      return { finding: problem("ports", error.message, "choose another --host or --discovery-port") };
    const inUse = error.code === "ASOC_PORT_IN_USE";
    const advice = inUse
      ? "fine if that is your `asoc serve`; else choose another --port"
      : "choose another --host";
    return { node, finding: warning("ports", error.message, advice) };
  }
}

async function networkFindings(node: AsocNode, settings: NodeSettings, output: Output): Promise<Finding[]> {
  if (!settings.discovery) {
    const all = settings.peers.length;
    await node.peers.waitFor((found) => found.length >= all || undefined, { timeoutMs: LISTEN_MS });
    return [ok("discovery", "off: static peers only"), ...(all > 0 ? [peersFinding(node)] : [])];
  }
  if (!output.json) output.log(`listening for ${LISTEN_MS / 1000} s`);
  await node.peers.waitFor(() => undefined, { timeoutMs: LISTEN_MS });
  const findings: Finding[] = [];
  const { refusedBeacons, ownBeacons } = node.stats;
  findings.push(
    ownBeacons > 0
      ? ok("broadcast", "our own beacons come back")
      : problem(
          "broadcast",
          "our own beacons do not come back",
          "allow UDP broadcast in the firewall, or use --peers HOST:PORT",
        ),
  );
  const clock = refusedBeacons.get("clock");
  findings.push(
    clock
      ? problem(
          "clock",
          `${clock.count} beacons with a clock ${Math.abs(clock.skewS ?? 0)} s off, the last from ${clock.lastAddress}`,
          "synchronise the clocks (chrony, systemd-timesyncd); 60 s are allowed",
        )
      : ok(
          "clock",
          node.peers.size > 0 ? "agrees with the nodes that were heard" : "no node was heard to compare with",
        ),
  );
  const others = describeRefused(new Map([...refusedBeacons].filter(([reason]) => reason !== "clock")));
  if (others)
    findings.push(
      warning(
        "beacons",
        `refused: ${others}`,
        "another key or community nearby is normal; if it should be yours, compare key files",
      ),
    );
  findings.push(peersFinding(node));
  return findings;
}

/** Whether all who are there have proven that they have the key. */
function peersFinding(node: AsocNode): Finding {
  const found = `${node.peers.size} connected`;
  const unproven = node.peers.list().filter(({ protocol }) => protocol === "v1");
  if (unproven.length === 0) return ok("peers", found);
  return warning(
    "peers",
    `${found}, ${unproven.length} of them without proof: ${unproven.map(peerText).join(", ")}`,
    "they speak version 0.1; --legacy deny, once every node speaks x1",
  );
}
