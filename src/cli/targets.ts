/** Whom to send to: what --to means, and waiting until they are there. */
import { type Address, AsocError, type AsocNode, formatAddress, type Peer, parseAddress } from "../mod.ts";
import type { NodeSettings } from "./config.ts";
import { CliError, ExitCode, usageError } from "./exit_codes.ts";
import type { Output } from "./output.ts";
import { peerText } from "./text.ts";

export const DEFAULT_TIMEOUT_S = 10;
/** One beacon's interval and some: by then every node has been heard once. */
const LOOK_AROUND_MS = 3500;

/** What --to asks for. */
export interface Wanted {
  readonly all: boolean;
  /** HOST:PORT, dialled as static peers. */
  readonly addresses: readonly Address[];
  /** Node ids, beginnings of them, and names. */
  readonly names: readonly string[];
}

/** Reads the values of --to. Throws a usage error when there are none. */
export function parseTargets(values: readonly string[]): Wanted {
  if (values.length === 0) {
    throw usageError(
      "--to: expected a node id or the beginning of one, a name, HOST:PORT or all; got nothing",
    );
  }
  const addresses: Address[] = [];
  const names: string[] = [];
  for (const value of values) {
    if (value === "all") continue;
    const address = addressOf(value);
    if (address) addresses.push(address);
    else if (value === "") throw usageError('--to: expected a peer, got ""');
    else names.push(value);
  }
  return { all: values.includes("all"), addresses, names };
}

function addressOf(text: string): Address | undefined {
  try {
    return parseAddress(text);
  } catch {
    return undefined;
  }
}

/** The settings with the addresses of --to as further static peers; discovery only where somebody needs it. */
export function withTargets(settings: NodeSettings, wanted: Wanted): NodeSettings {
  const needsNobodyElse = !wanted.all && wanted.names.length === 0;
  const discovery = settings.discovery && (settings.discoveryChosen || !needsNobodyElse);
  return { ...settings, discovery, peers: [...settings.peers, ...wanted.addresses] };
}

/**
 * The peers that `wanted` names, each once; `all` when everybody who is connected is meant as well.
 * Rejects with ASOC_NO_PEERS when one is not there within `timeoutMs`, and says what is known of it.
 */
export async function waitForTargets(
  node: AsocNode,
  settings: NodeSettings,
  wanted: Wanted,
  timeoutMs: number,
  signal: AbortSignal,
  output: Output,
): Promise<{ readonly peers: readonly Peer[]; readonly missing: readonly Address[] }> {
  const startMs = performance.now();
  const texts = [...wanted.addresses.map(formatAddress), ...wanted.names];
  let missing: readonly Address[] = [];
  if (wanted.all) {
    if (settings.discovery) output.log(`looking for peers for ${LOOK_AROUND_MS / 1000} s`);
    missing = await lookAround(node, settings, timeoutMs, signal, takesTensors);
  }
  const found = new Map<string, Peer>();
  for (const text of texts) {
    const leftMs = Math.max(0, timeoutMs - (performance.now() - startMs));
    const peer = await waitForOne(node, text, leftMs, signal);
    if (!peer) throw nobody(`Peer ${JSON.stringify(text)} was not found within ${timeoutMs / 1000} s`, node);
    found.set(peer.id, peer);
  }
  return { peers: [...found.values()], missing };
}

async function waitForOne(
  node: AsocNode,
  text: string,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<Peer | undefined> {
  const found = await node.peers.waitFor(
    () => {
      try {
        return node.findPeer(text);
      } catch (error) {
        return error instanceof Error ? error : new Error(String(error)); // thrown here it would reach the node
      }
    },
    { timeoutMs, signal },
  );
  if (found instanceof Error) throw usageError(`--to: ${found.message}`);
  return found;
}

/**
 * Waits until everybody who can be expected is there: all static peers, and with discovery until every node's beacon
 * has had its turn and somebody is there who `counts`. Resolves, after `timeoutMs` at the latest, with the static peers
 * that are not there; rejects with ASOC_NO_PEERS when nobody is.
 */
export async function lookAround(
  node: AsocNode,
  settings: NodeSettings,
  timeoutMs: number,
  signal: AbortSignal,
  counts: (peer: Peer) => boolean = () => true,
): Promise<readonly Address[]> {
  const startMs = performance.now();
  const leftMs = () => Math.max(0, timeoutMs - (performance.now() - startMs));
  const absent = () => settings.peers.filter((address) => !node.findPeer(formatAddress(address)));
  if (settings.discovery) {
    await node.peers.waitFor(() => undefined, { timeoutMs: Math.min(LOOK_AROUND_MS, timeoutMs), signal });
  }
  const isAnybody = () => node.peers.list().some(counts);
  const ready = () => (isAnybody() && absent().length === 0 ? true : undefined);
  await node.peers.waitFor(ready, { timeoutMs: leftMs(), signal });
  if (!isAnybody()) throw nobody(`Found no peer within ${timeoutMs / 1000} s`, node);
  return absent();
}

function nobody(text: string, node: AsocNode): CliError {
  const here = node.peers.list();
  const others = here.length > 0 ? `; connected: ${here.map(peerText).join(", ")}` : "";
  const why = node.explainNobody();
  return new CliError(ExitCode.NO_PEER, "ASOC_NO_PEERS", `${text}${others}${why === "" ? "" : `: ${why}`}`);
}

/** Everybody who takes tensors, each once: a v0.1 peer that was dialled tells no id, and may have dialled as well. */
export function everyone(node: AsocNode): readonly Peer[] {
  const all = node.peers.list().filter(takesTensors);
  const known = new Set(all.filter(({ nodeId }) => nodeId !== undefined).map(({ address }) => address.host));
  return all.filter(({ nodeId, address }) => nodeId !== undefined || !known.has(address.host));
}

function takesTensors(peer: Peer): boolean {
  return peer.takesTensors;
}

/** The reason that a node gives which only sends or looks. */
const TAKES_NONE = "takes no tensors";

/** Whether a send failed because its target is a node that takes nothing from anybody. */
export function takesNone(error: unknown): boolean {
  return error instanceof AsocError && error.code === "ASOC_STOPPED" && error.message.endsWith(TAKES_NONE);
}

/** Refuses what arrives at a node that only sends or looks. */
export function discardIncoming(node: AsocNode, output: Output, command: string): void {
  void (async () => {
    for await (const stream of node.incoming) {
      output.log(`threw away a tensor from ${peerText(stream.peer)}: asoc ${command} takes none`);
      stream.cancel(`asoc ${command} ${TAKES_NONE}`);
    }
  })();
}
