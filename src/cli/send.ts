/** `asoc send`: sends files to peers. */
import {
  AsocError,
  type AsocNode,
  formatAddress,
  type NodeEvent,
  type Peer,
  type SendOutcome,
} from "../mod.ts";
import type { Command, Context } from "./command.ts";
import { flag, type NodeSettings, nodeSettings } from "./config.ts";
import { CliError, ExitCode, Interrupted, usageError } from "./exit_codes.ts";
import { checkSource, readParts, type SourceFile } from "./files.ts";
import { type Job, withNode } from "./joined.ts";
import type { Output } from "./output.ts";
import { ProgressBar } from "./progress.ts";
import { readStdin } from "./stdin.ts";
import {
  DEFAULT_TIMEOUT_S,
  discardIncoming,
  parseTargets,
  type Wanted,
  waitForTargets,
  withTargets,
} from "./targets.ts";
import { peerText, secondsSince, transferText } from "./text.ts";

/** At the end: how long peers may take to read what they were sent. */
const DRAIN_MS = 60_000;
const STDIN = "-";

export const send: Command = {
  name: "send",
  summary: "send files to peers",
  usage: "send FILE... --to PEER|all [--to ...] [FLAGS]",
  about: `Sends each FILE as one tensor, one after another, to every target at once. A FILE of - is standard input.
PEER is a node id or the beginning of one, a name, or HOST:PORT; all means every peer that is found.
A file may be larger than memory. Ctrl-C finishes the file under way, a second one ends at once; what comes from
standard input is given up at the first, because nobody could tell whether it was whole.`,
  flags: {
    to: { value: "PEER|all", multiple: true, help: "whom to send to; may be given again" },
    timeout: { value: "SECONDS", help: `how long to wait for them (default ${DEFAULT_TIMEOUT_S})` },
  },
  joins: true,
  examples: [
    ["asoc send model.safetensors --to all", "to every node that is found"],
    ["asoc send a.npy b.npy --to gpu1 --to 3f2a", "two files to two nodes, by name and by id"],
    ["./make_tensor | asoc send - --to 10.0.0.5:9000", "from a pipe to an address, without discovery"],
  ],
  run: sendCommand,
};

async function sendCommand({ args, env, output }: Context): Promise<ExitCode> {
  const files = args.positionals;
  if (files.length === 0) throw usageError("send: expected FILE..., or - for standard input; got nothing");
  if (files.filter((file) => file === STDIN).length > 1) throw usageError("send: - can be given once");
  const wanted = parseTargets(args.list("to"));
  const timeoutMs = (flag("seconds", args, "timeout") ?? DEFAULT_TIMEOUT_S) * 1000;
  const sources: SourceFile[] = [];
  for (const path of files)
    sources.push(path === STDIN ? { path, bytes: undefined } : await checkSource(path));
  const settings = withTargets(await nodeSettings(args, env, 0), wanted);
  return withNode(settings, output, new SendJob(sources, wanted, settings, timeoutMs, output));
}

class SendJob implements Job {
  readonly announces = true;
  readonly stays = false;
  readonly drainMs = DRAIN_MS;
  readonly #sources: readonly SourceFile[];
  readonly #wanted: Wanted;
  readonly #settings: NodeSettings;
  readonly #timeoutMs: number;
  readonly #output: Output;
  /** Peers that were sent something; a connection that breaks afterwards may have taken bytes with it. */
  readonly #sentTo = new Set<string>();
  readonly #lost: string[] = [];
  /** Those of them that are still there, and what ends the reading of standard input when none is. */
  readonly #present = new Set<string>();
  #over = new AbortController();
  #failed = false;

  constructor(
    sources: readonly SourceFile[],
    wanted: Wanted,
    settings: NodeSettings,
    timeoutMs: number,
    output: Output,
  ) {
    this.#sources = sources;
    this.#wanted = wanted;
    this.#settings = settings;
    this.#timeoutMs = timeoutMs;
    this.#output = output;
  }

  onEvent(event: NodeEvent): void {
    if (event.kind === "named" && this.#sentTo.has(event.was)) {
      this.#sentTo.add(event.peer.id);
      if (this.#present.delete(event.was)) this.#present.add(event.peer.id);
    }
    if (event.kind !== "left" || !this.#sentTo.has(event.peer.id)) return;
    if (event.error) this.#lost.push(`${peerText(event.peer)}: ${event.reason}`);
    if (this.#present.delete(event.peer.id) && this.#present.size === 0) this.#over.abort(event.error);
  }

  async run(node: AsocNode, stop: AbortSignal): Promise<ExitCode> {
    discardIncoming(node, this.#output, "send");
    const { peers, missing } = await waitForTargets(
      node,
      this.#settings,
      this.#wanted,
      this.#timeoutMs,
      stop,
      this.#output,
    );
    for (const address of missing) {
      this.#fail(
        new CliError(
          ExitCode.INCOMPLETE,
          "ASOC_UNKNOWN_PEER",
          `Static peer ${formatAddress(address)} was not there: ${node.explainNobody()}`,
        ),
      );
    }
    // "all" is settled by the first file, so that every peer gets every file.
    let targets: readonly Peer[] | undefined = this.#wanted.all ? undefined : peers;
    for (const source of this.#sources) {
      if (stop.aborted) throw stop.reason;
      const outcomes = await this.#send(node, source, targets, stop);
      targets ??= outcomes.map(({ peer }) => peer);
    }
    return this.#failed ? ExitCode.INCOMPLETE : ExitCode.OK;
  }

  /** A peer that broke off after its bytes went out may not have read them. */
  finish(code: ExitCode): ExitCode {
    if (code !== ExitCode.OK || this.#lost.length === 0) return code;
    const who = this.#lost.join("; ");
    this.#output.error(
      new CliError(
        ExitCode.INCOMPLETE,
        "ASOC_CONNECTION_LOST",
        `A peer may not have read all that was sent: ${who}`,
      ),
    );
    return ExitCode.INCOMPLETE;
  }

  async #send(
    node: AsocNode,
    source: SourceFile,
    targets: readonly Peer[] | undefined,
    stop: AbortSignal,
  ): Promise<readonly SendOutcome[]> {
    const { path, bytes } = source;
    const bar = new ProgressBar(nameOf(path), bytes);
    this.#output.bar = bar;
    const sent = new Map<string, number>();
    const startMs = performance.now();
    const options = {
      ...(targets ? { to: targets } : {}),
      ...(path === STDIN ? { signal: stop } : {}),
      onProgress: (sentBytes: number, peer: Peer) => {
        this.#sentTo.add(peer.id);
        this.#present.add(peer.id);
        sent.set(peer.id, sentBytes);
        bar.update(Math.min(...sent.values()));
      },
    };
    // Standard input may wait for ever: when nobody is left to send to, or at the end, it is let go.
    this.#over = new AbortController();
    this.#present.clear();
    const parts = path === STDIN ? readStdin(AbortSignal.any([stop, this.#over.signal])) : readParts(source);
    const outcomes = await node.sendAll(parts, options).finally(() => this.#over.abort());
    bar.hide();
    this.#output.bar = undefined;
    for (const outcome of outcomes) this.#report(path, outcome, secondsSince(startMs));
    return outcomes;
  }

  #report(file: string, { peer, report, error }: SendOutcome, seconds: number): void {
    if (error instanceof Interrupted) throw error;
    if (report) {
      this.#output.event(
        { event: "sent", file, peer: peer.id, bytes: report.bytes, seconds, delivery: report.delivery },
        `${nameOf(file)} -> ${peerText(peer)}: ${transferText(report.bytes, seconds)}`,
      );
      return;
    }
    const message = `Cannot send ${nameOf(file)} to ${peerText(peer)}: ${error instanceof Error ? error.message : String(error)}`;
    const code = error instanceof AsocError ? error.code : "ASOC_CANCELLED";
    this.#fail(new CliError(ExitCode.INCOMPLETE, code, message, { cause: error }));
  }

  #fail(error: CliError): void {
    this.#failed = true;
    this.#output.error(error);
  }
}

function nameOf(path: string): string {
  return path === STDIN ? "standard input" : path;
}
