/** `asoc recv`: takes a number of tensors and ends. */
import type { AsocNode, IncomingStream } from "../mod.ts";
import type { Command, Context } from "./command.ts";
import { flag, nodeSettings } from "./config.ts";
import { CliError, ExitCode, usageError } from "./exit_codes.ts";
import { makeOutDir } from "./files.ts";
import { type Job, withNode } from "./joined.ts";
import type { Output } from "./output.ts";
import { FORMAT_FLAG, Receiver, type ReceiverOptions } from "./receive.ts";
import { peerText, secondsSince, transferText } from "./text.ts";

/** How long peers may take to close their side when all is received. */
const LEAVE_MS = 5000;

export const recv: Command = {
  name: "recv",
  summary: "take tensors, then end",
  usage: "recv --out DIR [--count N] [--format FORMAT] [--timeout SECONDS] [FLAGS]",
  about: `Joins, writes the first N files that are whole to DIR, prints their paths and ends. Files are made and named as by
asoc serve; all tensors of one .safetensors file are one. --out - writes the bytes of one tensor to standard output. A
tensor that fails on its way is reported and does not count.`,
  flags: {
    out: { value: "DIR", help: "directory for the files, or - for standard output" },
    count: { value: "N", help: "how many files (default 1)" },
    ...FORMAT_FLAG,
    timeout: { value: "SECONDS", help: "give up after so long (default: never)" },
  },
  joins: true,
  examples: [
    ["asoc recv --out . --count 3", "takes three files"],
    ["asoc recv --out . --format npy --count 12", "twelve tensors, each as .npy"],
    ["asoc recv --out - | sha256sum", "one tensor into a pipe"],
    ["asoc recv --out in --port 9100 --name collector", "a fixed port and a name, for senders"],
  ],
  run: recvCommand,
};

async function recvCommand({ args, env, output }: Context): Promise<ExitCode> {
  if (args.positionals.length > 0)
    throw usageError(`recv: expected no words, got ${args.positionals.join(" ")}`);
  const out = flag("path", args, "out");
  if (out === undefined)
    throw usageError("--out: expected a directory, or - for standard output; got nothing");
  const count = flag("count", args, "count") ?? 1;
  const seconds = flag("seconds", args, "timeout");
  const toStdout = out === "-";
  if (toStdout && count !== 1) throw usageError(`--count: standard output takes one tensor, got ${count}`);
  const format = flag("format", args, "format");
  if (toStdout && format !== undefined)
    throw usageError("--format: standard output takes the bytes of a tensor as they are");
  const settings = await nodeSettings(args, env, 0);
  if (!toStdout) await makeOutDir(out);
  const timeoutMs = seconds === undefined ? undefined : seconds * 1000;
  const log = toStdout ? output.onStderr() : output;
  if (toStdout) return withNode(settings, log, stdoutJob(log, timeoutMs));
  return withNode(settings, log, filesJob(log, { out, format, wanted: count }, timeoutMs));
}

function filesJob(
  output: Output,
  options: ReceiverOptions & { readonly wanted: number },
  timeoutMs: number | undefined,
): Job {
  const { wanted: count } = options;
  const receiver = new Receiver(output, options);
  return {
    announces: true,
    stays: false,
    drainMs: LEAVE_MS,
    onEvent: (event) => receiver.onEvent(event),
    async run(node, stop) {
      const taking = (async () => {
        for await (const stream of node.incoming) receiver.take(stream);
      })();
      const end = await firstOf(receiver.complete, stop, timeoutMs);
      if (end === "stopped") {
        await taking; // until the node has drained
        await receiver.settled();
        output.log(`received ${receiver.files} of ${count} files`);
        return ExitCode.INTERRUPTED;
      }
      receiver.stop();
      await receiver.settled();
      if (end === "late")
        throw late(node, `${receiver.files} of ${count} files`, receiver.received, timeoutMs ?? 0);
      return ExitCode.OK;
    },
  };
}

/** The first tensor goes to standard output as it comes; others are given up. */
function stdoutJob(output: Output, timeoutMs: number | undefined): Job {
  return {
    announces: true,
    stays: false,
    drainMs: LEAVE_MS,
    async run(node, stop) {
      let done: ((code: ExitCode) => void) | undefined;
      let code: ExitCode | undefined;
      const complete = new Promise<void>((resolve) => {
        done = (value) => {
          code = value;
          resolve();
        };
      });
      const taking = (async () => {
        let busy = false;
        for await (const stream of node.incoming) {
          if (busy || code !== undefined) {
            output.log(`gave up a further tensor, from ${peerText(stream.peer)}`);
            stream.cancel("one tensor is wanted, and another one came first");
            continue;
          }
          busy = true;
          void toStdout(stream, output).then((result) => {
            busy = false;
            if (result !== undefined) done?.(result);
          });
        }
      })();
      const end = await firstOf(complete, stop, timeoutMs);
      if (end === "late") throw late(node, "no tensor", 0, timeoutMs ?? 0);
      if (end === "stopped") {
        await taking;
        return code === ExitCode.INCOMPLETE ? code : ExitCode.INTERRUPTED;
      }
      return code ?? ExitCode.OK;
    },
  };
}

/** The exit code that follows, or undefined when nothing of the tensor was written: then the next one may do. */
async function toStdout(stream: IncomingStream, output: Output): Promise<ExitCode | undefined> {
  const { peer, streamId } = stream;
  const startMs = performance.now();
  let bytes = 0;
  let begun = false;
  try {
    for await (const part of stream.chunks()) {
      begun = true;
      await writeStdout(part);
      bytes += part.length;
    }
    const seconds = secondsSince(startMs);
    output.event(
      { event: "stream", state: "received", peer: peer.id, streamId, bytes, file: "-", seconds },
      `received ${transferText(bytes, seconds)}, from ${peerText(peer)}`,
    );
    return ExitCode.OK;
  } catch (error) {
    stream.cancel();
    const message = error instanceof Error ? error.message : String(error);
    output.error(
      new CliError(
        ExitCode.INCOMPLETE,
        "ASOC_INCOMPLETE_STREAM",
        `The tensor was not written whole: ${message}`,
        { cause: error },
      ),
    );
    return begun ? ExitCode.INCOMPLETE : undefined;
  }
}

/** Resolves when standard output has taken the bytes; rejects when nobody reads it. */
function writeStdout(part: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(part, (error) => (error ? reject(error) : resolve()));
  });
}

/** What comes first: all is done, Ctrl-C, or the end of the time. */
function firstOf(
  complete: Promise<void>,
  stop: AbortSignal,
  timeoutMs: number | undefined,
): Promise<"done" | "stopped" | "late"> {
  return new Promise((resolve) => {
    const timer = timeoutMs === undefined ? undefined : setTimeout(() => settle("late"), timeoutMs);
    const stopped = () => settle("stopped");
    const settle = (end: "done" | "stopped" | "late") => {
      clearTimeout(timer);
      stop.removeEventListener("abort", stopped);
      resolve(end);
    };
    stop.addEventListener("abort", stopped);
    if (stop.aborted) stopped();
    void complete.then(() => settle("done"));
  });
}

function late(node: AsocNode, what: string, received: number, timeoutMs: number): CliError {
  const text = `Received ${what} within ${timeoutMs / 1000} s`;
  if (node.peers.size > 0 || received > 0)
    return new CliError(ExitCode.INCOMPLETE, "ASOC_INCOMPLETE_STREAM", text);
  return new CliError(ExitCode.NO_PEER, "ASOC_NO_PEERS", `${text}; no peer is here: ${node.explainNobody()}`);
}
