/** `asoc peers`: who is there. */
import { type AsocNode, formatAddress, type Peer } from "../mod.ts";
import type { Command, Context } from "./command.ts";
import { flag, type NodeSettings, nodeSettings } from "./config.ts";
import { ExitCode, usageError } from "./exit_codes.ts";
import { peerEvent, withNode } from "./joined.ts";
import type { Output } from "./output.ts";
import { DEFAULT_TIMEOUT_S, discardIncoming, lookAround } from "./targets.ts";

export const peers: Command = {
  name: "peers",
  summary: "list the peers that can be reached",
  usage: "peers [--wait N] [--timeout SECONDS] [FLAGS]",
  about: `Joins, and lists the peers it gets a connection to. With --wait it lists them as soon as N are there; without, it
looks around until every node has had its turn to be heard, which takes 3.5 s with discovery. PROTOCOL is x1 for a peer
that has proven the key, v1 for one of version 0.1, which cannot. Nobody, or fewer than N: it ends with 3 and says what is
known about why, such as beacons that were refused because of another key.`,
  flags: {
    wait: { value: "N", help: "list them as soon as N are there" },
    timeout: { value: "SECONDS", help: `give up after so long (default ${DEFAULT_TIMEOUT_S})` },
  },
  joins: true,
  examples: [
    ["asoc peers", "who is there?"],
    ["asoc peers --wait 3 --timeout 60 && ./start_training", "waits for three nodes"],
    ["asoc peers --json | jq -r .id", "their ids"],
    ["asoc peers --json | jq -r 'select(.protocol == \"v1\").address'", "who has not proven the key?"],
  ],
  run: peersCommand,
};

async function peersCommand({ args, env, output }: Context): Promise<ExitCode> {
  if (args.positionals.length > 0)
    throw usageError(`peers: expected no words, got ${args.positionals.join(" ")}`);
  const wait = flag("count", args, "wait");
  const timeoutMs = (flag("seconds", args, "timeout") ?? DEFAULT_TIMEOUT_S) * 1000;
  const settings = await nodeSettings(args, env, 0);
  return withNode(settings, output, {
    announces: false,
    stays: false,
    takesTensors: false,
    async run(node, stop) {
      discardIncoming(node, output, "peers");
      const found = await find(node, settings, wait, timeoutMs, stop);
      list(found, output);
      return ExitCode.OK;
    },
  });
}

async function find(
  node: AsocNode,
  settings: NodeSettings,
  wait: number | undefined,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<readonly Peer[]> {
  if (wait !== undefined) return node.peers.wait(wait, { timeoutMs, signal });
  await lookAround(node, settings, timeoutMs, signal);
  return node.peers.list();
}

function list(found: readonly Peer[], output: Output): void {
  const width = Math.max(4, ...found.map((peer) => peer.id.length));
  const encrypted = found.some((peer) => peer.tls);
  const addressWidth = Math.max(7, ...found.map((peer) => formatAddress(peer.address).length));
  const row = (id: string, address: string, protocol: string, tls: string) =>
    `${id.padEnd(width)}  ${address.padEnd(addressWidth)}  ${encrypted ? `${protocol.padEnd(8)}  ${tls}` : protocol}`;
  if (!output.json)
    output.event({ event: "peers" }, row("PEER", "ADDRESS", "PROTOCOL", "VERIFIED BY  CERTIFICATE"));
  for (const { id, address, protocol, tls } of found) {
    const at = formatAddress(address);
    const shown = tls ? `${tls.verified.padEnd(11)}  ${tls.certificateSha256 ?? "none"}` : "";
    output.event({ ...peerEvent("joined", id, at), protocol, tls }, row(id, at, protocol, shown));
  }
}
