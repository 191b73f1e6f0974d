/** What `asoc send` does with its node: waits for its targets, and sends them one file after another. */
import {
  AsocError,
  type AsocNode,
  formatAddress,
  type NodeEvent,
  type Peer,
  type SendOutcome,
} from "../mod.ts";
import type { NodeSettings } from "./config.ts";
import { CliError, ExitCode, Interrupted } from "./exit_codes.ts";
import type { Job } from "./joined.ts";
import type { Output } from "./output.ts";
import { ProgressBar } from "./progress.ts";
import { type FileOutcome, type FileToSend, sendFile } from "./send_file.ts";
import { sendOptionsOf, type TensorFlags } from "./send_options.ts";
import { SendReports } from "./send_reports.ts";
import { readStdin } from "./stdin.ts";
import { discardIncoming, everyone, takesNone, type Wanted, waitForTargets } from "./targets.ts";
import { peerText, secondsSince } from "./text.ts";
import type { TransferState } from "./transfer_state.ts";
import type { TransferStates } from "./transfer_states.ts";

/** At the end: how long peers may take to read what they were sent. */
const DRAIN_MS = 60_000;
export const STDIN = "-";
/** What to do where nobody can know whether a file has come. */
const LOOK_FIRST = ". Look there: what is missing is sent again by the same command with --again";

/** All that the command line asks for. */
export interface SendRequest {
  /** STDIN for standard input. */
  readonly sources: readonly (FileToSend | typeof STDIN)[];
  readonly wanted: Wanted;
  readonly settings: NodeSettings;
  readonly timeoutMs: number;
  readonly flags: TensorFlags;
  /** Whether a tensor that a peer may have had is sent to it again. */
  readonly again: boolean;
  /** Undefined: nothing is kept for a later run. */
  readonly states: TransferStates | undefined;
}

export class SendJob implements Job {
  readonly announces = true;
  readonly stays = false;
  readonly takesTensors = false;
  readonly drainMs = DRAIN_MS;
  readonly closesItself = true;
  readonly #request: SendRequest;
  readonly #output: Output;
  readonly #reports: SendReports;
  /** Peers of v1 that were sent something; a connection that breaks afterwards may have taken bytes with it. */
  readonly #sentTo = new Set<string>();
  readonly #lost: string[] = [];
  /** Peers that take standard input and are still there, and what ends the reading of it when none is. */
  readonly #present = new Set<string>();
  #over = new AbortController();
  #failed = false;

  constructor(request: SendRequest, output: Output) {
    this.#request = request;
    this.#output = output;
    this.#reports = new SendReports(output);
  }

  onEvent(event: NodeEvent): void {
    if (event.kind === "named") {
      for (const peers of [this.#sentTo, this.#present])
        if (peers.delete(event.was)) peers.add(event.peer.id);
    }
    if (event.kind !== "left") return;
    if (this.#sentTo.has(event.peer.id) && event.error)
      this.#lost.push(`${peerText(event.peer)}: ${event.reason}`);
    if (this.#present.delete(event.peer.id) && this.#present.size === 0) this.#over.abort(event.error);
  }

  async run(node: AsocNode, stop: AbortSignal): Promise<ExitCode> {
    const { settings, wanted, timeoutMs, sources } = this.#request;
    discardIncoming(node, this.#output, "send");
    const { peers, missing } = await waitForTargets(node, settings, wanted, timeoutMs, stop, this.#output);
    for (const address of missing) {
      this.#fail(
        new CliError(
          ExitCode.INCOMPLETE,
          "ASOC_UNKNOWN_PEER",
          `Static peer ${formatAddress(address)} was not there: ${node.explainNobody()}`,
        ),
      );
    }
    // Settled once, so that every peer gets every file; nodes that take nothing are left out from then on.
    let targets = wanted.all ? everyone(node) : peers;
    if (wanted.all) for (const peer of node.peers.list()) if (!peer.takesTensors) this.#logLeftOut(peer);
    for (const source of sources) {
      if (stop.aborted) throw stop.reason;
      targets =
        source === STDIN
          ? await this.#sendStdin(node, targets, stop)
          : await this.#sendFile(node, source, targets);
    }
    if (stop.aborted) throw stop.reason;
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

  async #sendFile(node: AsocNode, file: FileToSend, targets: readonly Peer[]): Promise<readonly Peer[]> {
    const { path } = file;
    const { flags, states, again } = this.#request;
    const isKept = targets.some(({ protocol }) => protocol === "x1");
    const state = isKept ? await states?.begin(path, node.id) : undefined;
    const totalBytes = file.tensors.tensors.reduce((sum, one) => sum + one.totalBytes, 0);
    const reports = this.#reports.begin(path, totalBytes, targets.length);
    const outBytes = node.stats.payloadBytesOut;
    const send = (peer: Peer) => {
      if (peer.protocol === "v1") this.#sentTo.add(peer.id);
      return sendFile(node, peer, file, flags, state, again, reports);
    };
    const outcomes = await Promise.all(targets.map(send));
    reports.end();
    // With one target what went out is what it was sent; with several nobody tells whose it was.
    const sentBytes = targets.length === 1 ? node.stats.payloadBytesOut - outBytes : undefined;
    const left = outcomes.filter(({ peer, error }) => !this.#isNoTaker(peer, error, targets.length));
    for (const outcome of left) {
      if (outcome.error === undefined) reports.whole(outcome, sentBytes);
      else this.#failFile(path, outcome);
    }
    await this.#keep(state, outcomes);
    return left.map(({ peer }) => peer);
  }

  async #keep(state: TransferState | undefined, outcomes: readonly FileOutcome[]): Promise<void> {
    if (!state) return;
    const isDone = outcomes.every(({ error }) => error === undefined || takesNone(error));
    await this.#request.states?.end(state, isDone);
  }

  async #sendStdin(node: AsocNode, targets: readonly Peer[], stop: AbortSignal): Promise<readonly Peer[]> {
    const bar = new ProgressBar(nameOf(STDIN), undefined);
    this.#output.bar = bar;
    const sent = new Map<string, number>();
    const startMs = performance.now();
    const options = {
      ...sendOptionsOf(this.#request.flags, "", 0),
      to: targets,
      signal: stop,
      onProgress: (sentBytes: number, peer: Peer) => {
        if (peer.protocol === "v1") this.#sentTo.add(peer.id);
        this.#present.add(peer.id);
        sent.set(peer.id, sentBytes);
        bar.update(Math.min(...sent.values()));
      },
    };
    // It may wait for ever: when nobody is left to send to, or at the end, it is let go.
    this.#over = new AbortController();
    this.#present.clear();
    const parts = readStdin(AbortSignal.any([stop, this.#over.signal]));
    const outcomes = await node.sendAll(parts, options).finally(() => this.#over.abort());
    bar.hide();
    this.#output.bar = undefined;
    const left = outcomes.filter(({ peer, error }) => !this.#isNoTaker(peer, error, targets.length));
    for (const outcome of left) this.#reportStdin(outcome, secondsSince(startMs));
    return left.map(({ peer }) => peer);
  }

  #reportStdin({ peer, report, error }: SendOutcome, seconds: number): void {
    if (report) this.#reports.stdin(report, this.#request.flags.topic, seconds);
    else this.#failFile(STDIN, { peer, error });
  }

  #failFile(path: string, { peer, error }: Pick<FileOutcome, "peer" | "error">): void {
    if (error instanceof Interrupted) throw error;
    const code = error instanceof AsocError ? error.code : "ASOC_CANCELLED";
    const why = error instanceof Error ? error.message : String(error);
    const advice = code === "ASOC_OUTCOME_UNKNOWN" && path !== STDIN ? LOOK_FIRST : "";
    const message = `Cannot send ${nameOf(path)} to ${peerText(peer)}: ${why}${advice}`;
    this.#fail(new CliError(ExitCode.INCOMPLETE, code, message, { cause: error }));
  }

  /** Among "all" there may be nodes that only send or look: that is no failure, unless there is nobody else. */
  #isNoTaker(peer: Peer, error: unknown, targets: number): boolean {
    if (!this.#request.wanted.all || targets < 2 || !takesNone(error)) return false;
    this.#logLeftOut(peer);
    return true;
  }

  #logLeftOut(peer: Peer): void {
    this.#output.log(`left out ${peerText(peer)}: it takes no tensors`);
  }

  #fail(error: CliError): void {
    this.#failed = true;
    this.#output.error(error);
  }
}

/** A source for people. */
export function nameOf(path: string): string {
  return path === STDIN ? "standard input" : path;
}
