/** The life of a node in a command: join, report what happens, drain or abort on Ctrl-C, leave. */
import { AsocError, type AsocNode, formatAddress, join, type NodeEvent } from "../mod.ts";
import type { NodeSettings } from "./config.ts";
import { CliError, ExitCode } from "./exit_codes.ts";
import { loadIdentity } from "./identity.ts";
import { Interrupts } from "./interrupts.ts";
import { keyText } from "./key_text.ts";
import { KeyWatch } from "./key_watch.ts";
import { NodeSecurity } from "./node_security.ts";
import type { Output } from "./output.ts";
import { RingStore } from "./ring_store.ts";
import { peerText } from "./text.ts";
import { readTls, tlsEndWarnings, tlsWarnings } from "./tls.ts";

/** After Ctrl-C: how long transfers under way may take. */
const DRAIN_MS = 600_000;
/** When there is nothing to drain: how long peers may take to close their side. */
const LEAVE_MS = 1000;

/** What a command does with its node. */
export interface Job {
  /** Whether ready, peer and refused events are reported. */
  readonly announces: boolean;
  /** Whether Ctrl-C is the usual end (0), or cuts the job short (130). */
  readonly stays: boolean;
  /** False: peers are told to send nothing here. Default true. */
  readonly takesTensors?: boolean;
  /** At the end: how long what was sent may take to be read; undefined: nothing was sent. */
  readonly drainMs?: number;
  /** After Ctrl-C the node stays open until `run` settles, so that it can begin what belongs to what is under way. */
  readonly closesItself?: boolean;
  /** Every event of the node. */
  onEvent?(event: NodeEvent): void;
  /**
   * The job itself. `stop` aborts at the first Ctrl-C; from then on the node is closing and begins nothing new, unless the job closes itself.
   * A rejection ends the command with the error's exit code.
   */
  run(node: AsocNode, stop: AbortSignal): Promise<ExitCode>;
  /** Called when the node has closed and all its events were seen; may change the exit code. */
  finish?(code: ExitCode): Promise<ExitCode> | ExitCode;
}

/** Joins, does `job`, and leaves. Rejects with what joining or the job rejects with, once the node is closed. */
export async function withNode(settings: NodeSettings, output: Output, job: Job): Promise<ExitCode> {
  const identity = await loadIdentity(settings);
  const warnings = [...settings.warnings, ...tlsWarnings(settings.tls), ...identity.warnings];
  for (const warning of warnings) output.log(`warning: ${warning}`);
  const security = await NodeSecurity.open(settings, output);
  let node: AsocNode | undefined;
  let watching: KeyWatch | undefined;
  const interrupts = new Interrupts(output, async () => node?.abort());
  try {
    const { community, keys, keySource, host, port, peers, discovery, discoveryPort } = settings;
    const store =
      keySource.ringFile === undefined
        ? undefined
        : await RingStore.open(keySource.ringFile, keys, keySource.ringText);
    const { nodeId, name } = identity;
    const tls = settings.tls && (await readTls(settings.tls));
    for (const warning of job.stays ? await tlsEndWarnings(tls) : []) output.log(`warning: ${warning}`);
    const options = {
      community,
      keys,
      host,
      port,
      nodeId,
      name,
      peers,
      discovery,
      discoveryPort,
      tls,
      takesTensors: job.takesTensors,
    };
    const { rotation } = settings;
    node = await join({ ...options, ...security.options, keyStore: store, rotation }).catch((error) => {
      throw joinError(error, settings);
    });
    security.guard(node, job.stays);
    await identity.keep(node.id).catch(async (error) => {
      await node?.close();
      throw error;
    });
    // A hang-up ends what does not stay, as ever.
    if (job.stays) watching = new KeyWatch(node, keySource, store, output);
    return await runJob(node, settings, output, job, interrupts);
  } finally {
    watching?.close();
    interrupts.dispose();
    await security.close();
  }
}

async function runJob(
  joined: AsocNode,
  settings: NodeSettings,
  output: Output,
  job: Job,
  interrupts: Interrupts,
): Promise<ExitCode> {
  const drain = () => void joined.close({ timeoutMs: DRAIN_MS }).catch(() => {});
  if (!job.closesItself) interrupts.signal.addEventListener("abort", drain);
  const leaving = { now: false };
  const watching = watch(joined, settings, output, job, leaving);
  let code: ExitCode;
  try {
    interrupts.signal.throwIfAborted();
    if (job.announces) announce(joined, settings, output);
    code = await job.run(joined, interrupts.signal);
  } catch (error) {
    leaving.now = true;
    const timeoutMs = interrupts.signal.aborted ? DRAIN_MS : LEAVE_MS;
    await joined.close({ timeoutMs }).catch(() => {});
    await watching;
    if (interrupts.outputLost) return ExitCode.FAILURE;
    throw error;
  }
  leaving.now = true;
  const unread = await joined.close({ timeoutMs: job.drainMs ?? LEAVE_MS }).then(
    () => undefined,
    (error: unknown) => error,
  );
  await watching;
  if (unread !== undefined && job.drainMs !== undefined) {
    const why = unread instanceof Error ? unread.message : String(unread);
    output.error(
      new CliError(
        ExitCode.INCOMPLETE,
        "ASOC_CONNECTION_LOST",
        `A peer may not have read all that was sent: ${why}`,
      ),
    );
    if (code === ExitCode.OK) code = ExitCode.INCOMPLETE;
  }
  if (job.finish) code = await job.finish(code);
  if (interrupts.outputLost) return code === ExitCode.INCOMPLETE ? code : ExitCode.FAILURE;
  return interrupts.signal.aborted && !job.stays ? ExitCode.INTERRUPTED : code;
}

function announce(node: AsocNode, settings: NodeSettings, output: Output): void {
  const { host, port } = node.address;
  const { discovery, discoveryPort } = settings;
  const { community, runtime } = node;
  const parts = [
    `node ${node.id} on ${formatAddress(node.address)}`,
    `community ${JSON.stringify(community)}`,
  ];
  parts.push(discovery ? `discovery on UDP port ${discoveryPort}` : "discovery off", runtime);
  const { tls } = node;
  if (tls) parts.push(`TLS (${tls.verify}), certificate ${tls.certificateSha256}`);
  const event = { event: "ready", nodeId: node.id, port, host, community, runtime, discovery, tls };
  output.note(event, parts.join(", "));
}

/** Reports what happens until the node has closed. */
async function watch(
  node: AsocNode,
  settings: NodeSettings,
  output: Output,
  job: Job,
  leaving: { readonly now: boolean },
): Promise<void> {
  const fixed = new Set(settings.peers.map(formatAddress));
  const seen = new Set<string>();
  for await (const event of node.events()) {
    job.onEvent?.(event);
    if (!job.announces) continue;
    switch (event.kind) {
      case "joined":
        seen.add(formatAddress(event.peer.address));
        output.note(
          {
            ...peerEvent("joined", event.peer.id, formatAddress(event.peer.address)),
            protocol: event.peer.protocol,
            tls: event.peer.tls,
          },
          `peer joined: ${peerText(event.peer)}${event.peer.protocol === "v1" ? UNPROVEN : ""}`,
        );
        break;
      case "left":
        if (leaving.now && !output.json) break; // it is we who left
        output.note(
          { ...peerEvent("left", event.peer.id, formatAddress(event.peer.address)), reason: event.reason },
          `peer left: ${peerText(event.peer)}: ${event.reason}`,
        );
        break;
      case "named":
        output.note(
          { ...peerEvent("named", event.peer.id, formatAddress(event.peer.address)), was: event.was },
          `peer ${event.was} is ${event.peer.id}`,
        );
        break;
      case "unverified":
        output.note(
          peerEvent("unverified", event.peer.id, formatAddress(event.peer.address)),
          `warning: neither a certificate nor a proof vouches for ${peerText(event.peer)}: whoever is on the path may read what passes`,
        );
        break;
      case "starved":
        output.note(
          {
            ...peerEvent("starved", event.peer.id, formatAddress(event.peer.address)),
            code: event.error.code,
            message: event.error.message,
          },
          `warning: ${peerText(event.peer)}: ${event.error.message}`,
        );
        break;
      case "refused":
        output.note(
          {
            event: "refused",
            address: formatAddress(event.address),
            reason: event.error?.message ?? event.reason,
            code: event.error?.code,
          },
          `refused ${formatAddress(event.address)}: ${event.error?.message ?? event.reason}`,
        );
        break;
      case "key": {
        const { change, keyId, epoch, peer, kept, error } = event;
        const message = error instanceof Error ? error.message : undefined;
        output.note({ event: "key", change, keyId, epoch, peer: peer?.id, kept, message }, keyText(event));
        break;
      }
      case "dialFailed": {
        // A peer that was found, was here and went its way is no news.
        const address = formatAddress(event.address);
        if (!fixed.has(address) && seen.has(address)) break;
        const retry =
          event.retryMs === undefined ? "given up" : `next try in ${(event.retryMs / 1000).toFixed(1)} s`;
        output.log(`cannot reach ${event.error.message} (${retry})`);
        break;
      }
      default:
        break;
    }
  }
}

/** Said of each session that relies on the other side's word alone. */
const UNPROVEN = "; warning: it speaks version 1 only and has not proven who it is";

/** The fields of a `peer` event. */
export function peerEvent(
  state: "joined" | "left" | "named" | "unverified" | "starved",
  id: string,
  address: string,
) {
  return { event: "peer", state, id, address };
}

/** Says what to do about a port that is in use. */
function joinError(error: unknown, settings: NodeSettings): unknown {
  if (!(error instanceof AsocError) || error.code !== "ASOC_PORT_IN_USE") return error;
  const isTcp = !error.message.includes("UDP");
  const advice = isTcp
    ? `: ${settings.portSource === "--port" ? "--port PORT, or --port 0" : `it came from ${settings.portSource}; --port PORT or --port 0 goes before it`}. Is another asoc running here?`
    : ": --discovery-port PORT (the same on every node), or --no-discovery with --peers";
  return new CliError(ExitCode.FAILURE, error.code, `${error.message}${advice}`, { cause: error });
}
