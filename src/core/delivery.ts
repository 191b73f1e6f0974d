/**
 * One tensor to one peer, over as many connections as it takes (RFC-0006, Resume).
 *
 * Its bytes can be read again, so where a connection of x1 breaks, the next one goes on from what the peer has. To a peer
 * of v1 it is sent once.
 */
import { AsocError, ConnectionError, describe, ProtocolError } from "./errors.ts";
import type { Timing } from "./limits.ts";
import { checkPart, type Outgoing, sendTo } from "./outgoing.ts";
import type { Clock } from "./runtime.ts";
import type { SendOptions, SendPlan, SendReport } from "./send_plan.ts";
import type { Peer } from "./swarm/swarm.ts";
import type { Rereadable } from "./tensor/source.ts";

/** What the other side has of a transfer. */
export interface ResumeAnswer {
  /** Undefined: it was delivered. 0: nothing, or it is not known. */
  readonly offset: number | undefined;
  /** Of the other side: another one after it was started again. */
  readonly bootEpoch: number;
}

/** What a delivery needs of the node's connections. */
export interface Roads {
  /** Throws what says why there is none now. */
  open(peerId: string, options: SendOptions, plan: SendPlan, baseOffset: number): Outgoing;
  /** Resolves when a connection to the peer can take streams; rejects after `timeoutMs`, and with the signal's reason. */
  road(peerId: string, timeoutMs: number, signal: AbortSignal | undefined): Promise<void>;
  /** The peer as it is known now. Throws ASOC_UNKNOWN_PEER. */
  peer(peerId: string): Peer;
  /** RESUME? on such a connection. Rejects with ConnectionError when that ends first. Undefined: the peer speaks only v1. Throws ASOC_UNKNOWN_PEER. */
  askResume(peerId: string, transferId: Uint8Array): Promise<ResumeAnswer> | undefined;
}

export async function deliver(
  roads: Roads,
  clock: Clock,
  limits: Timing,
  peerId: string,
  source: Rereadable,
  plan: SendPlan,
  options: SendOptions,
): Promise<SendReport> {
  const { signal } = options;
  signal?.throwIfAborted();
  let id = peerId;
  let offset = 0;
  /** Where it last began. */
  let reached = 0;
  let cuts = 0;
  let { endedEpoch: bootEpoch } = options;
  /** CLOSE and END may have reached the other side. */
  let ended = bootEpoch !== undefined;
  let last: Outgoing | undefined;
  let wanted = options.transferId !== undefined;
  let giveUpMs = clock.nowMs() + limits.resumeMs;
  const leftMs = () => (ended ? giveUpMs : Math.min(giveUpMs, plan.deadlineAtMs)) - clock.nowMs();
  for (;;) {
    try {
      if (wanted) {
        await roads.road(id, leftMs(), signal);
        const question = roads.askResume(id, plan.transferId);
        const answer = question && (await answerWithin(question, clock, leftMs(), signal));
        if (answer && answer.offset === undefined)
          return reportDelivered(roads, id, options, plan, last, cuts);
        offset = answer?.offset ?? 0;
        const { totalBytes = offset } = plan.described;
        if (offset > totalBytes) throw beyondEnd(id, totalBytes, offset);
        if (offset === 0 && ended && bootEpoch !== undefined && answer?.bootEpoch !== bootEpoch)
          throw unknownOutcome(id, undefined);
        bootEpoch = answer?.bootEpoch ?? bootEpoch;
        wanted = false;
      }
      last = roads.open(id, options, plan, offset);
      id = last.peer.nodeId ?? id;
      bootEpoch ??= last.driver.session.peer?.bootEpoch;
      try {
        await sendFrom(last, source, offset, plan, signal);
      } finally {
        last.release();
      }
      return last.report(plan, cuts);
    } catch (error) {
      // Between the answer and the next stream the connection may have gone, too.
      const onTheWay = wanted || cuts > 0 || options.transferId !== undefined;
      if (last?.stream.tensor && isBreak(error) && !wanted) {
        cuts++;
        ended ||= last.stream.endSent;
        // A transfer that breaks every connection without getting further ends some time.
        if (offset > reached || cuts === 1) giveUpMs = clock.nowMs() + limits.resumeMs;
        reached = offset;
      } else if (!onTheWay || !(isBreak(error) || isGone(error)) || clock.nowMs() >= giveUpMs) {
        throw ended && isBreak(error) ? unknownOutcome(id, error) : error;
      }
      if (!ended && clock.nowMs() >= plan.deadlineAtMs) throw tooLate(id, error);
      wanted = true;
    }
  }
}

/** A peer need not answer: then it ends as if there were no connection, or with the signal's reason. */
function answerWithin(
  question: Promise<ResumeAnswer>,
  clock: Clock,
  timeoutMs: number,
  signal: AbortSignal | undefined,
): Promise<ResumeAnswer> {
  return new Promise((resolve, reject) => {
    const settle = (run: () => void) => {
      timer.cancel();
      signal?.removeEventListener("abort", abort);
      run();
    };
    const abort = () => settle(() => reject(signal?.reason));
    const timer = clock.after(Math.max(0, timeoutMs), () =>
      settle(() => reject(new ConnectionError("ASOC_CONNECTION_LOST", "RESUME? was not answered in time"))),
    );
    signal?.addEventListener("abort", abort, { once: true });
    question.then(
      (answer) => settle(() => resolve(answer)),
      (error) => settle(() => reject(error)),
    );
    if (signal?.aborted) abort();
  });
}

/** Its deadline has passed between two connections (RFC-0006, 6.6). */
function tooLate(id: string, cause: unknown): ConnectionError {
  const message = `The transfer to ${id} is too late: its deadline passed before it could go on`;
  return new ConnectionError("ASOC_DEADLINE", message, { cause, details: { id } });
}

function isGone(error: unknown): boolean {
  return error instanceof AsocError && error.code === "ASOC_UNKNOWN_PEER";
}

/** The connection ended, and not the transfer. */
export function isBreak(error: unknown): boolean {
  return error instanceof ConnectionError && error.code === "ASOC_CONNECTION_LOST";
}

async function sendFrom(
  outgoing: Outgoing,
  source: Rereadable,
  offset: number,
  plan: SendPlan,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (source instanceof Uint8Array) {
    if (offset > plan.digest.position) plan.digest.update(source.subarray(0, offset), 0);
    if (!signal) return outgoing.write(offset === 0 ? source : source.subarray(offset), true);
    const abort = () => outgoing.abandon();
    signal.addEventListener("abort", abort, { once: true });
    try {
      if (signal.aborted) abort();
      await outgoing.write(offset === 0 ? source : source.subarray(offset), true);
    } catch (error) {
      throw signal.aborted ? signal.reason : error;
    } finally {
      signal.removeEventListener("abort", abort);
    }
    if (outgoing.stream.abandoned && signal.aborted) throw signal.reason;
    return;
  }
  // What went before this program was started has to be read once more for the digest of the whole.
  const from = outgoing.stream.tensor ? Math.min(offset, plan.digest.position) : offset;
  const [error] = await sendTo([outgoing], skipping(source(from), from, offset, plan), signal);
  if (error !== undefined) throw error;
}

/** Gives what lies from `to` on; what lies from `from` up to there goes to the digest alone. */
async function* skipping(
  parts: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  from: number,
  to: number,
  plan: SendPlan,
): AsyncGenerator<Uint8Array, void, undefined> {
  let at = from;
  for await (const part of parts) {
    checkPart(part);
    const skip = Math.max(0, Math.min(part.byteLength, to - at));
    // Where it lies, and not where the digest is: other destinations of the same send move that on meanwhile.
    if (skip > 0) plan.digest.update(part.subarray(0, skip), at);
    at += part.byteLength;
    if (skip < part.byteLength) yield skip > 0 ? part.subarray(skip) : part;
  }
}

/** It had come whole before the connection broke. */
function reportDelivered(
  roads: Roads,
  id: string,
  options: SendOptions,
  plan: SendPlan,
  last: Outgoing | undefined,
  cuts: number,
): SendReport {
  const { totalBytes = 0 } = plan.described;
  const peer = last?.peer ?? roads.peer(id);
  options.onProgress?.(totalBytes, peer);
  return {
    peer,
    streamId: last?.stream.id ?? 0,
    bytes: totalBytes,
    delivery: "verified",
    digest: undefined,
    cuts,
  };
}

function beyondEnd(id: string, totalBytes: number, offset: number): AsocError {
  return new ProtocolError(
    "ASOC_BAD_STREAM",
    `Cannot go on: ${id} says it has ${offset} of ${totalBytes} bytes`,
    {
      details: { id, expected: totalBytes, got: offset },
    },
  );
}

/** All of it was sent, and nobody is left who knows whether it came. */
export function unknownOutcome(id: string, cause: unknown): AsocError {
  const why = cause === undefined ? "it was started again before it could say so" : describe(cause);
  return new AsocError(
    "ASOC_OUTCOME_UNKNOWN",
    `Cannot tell whether ${id} has the tensor: all of it was sent, and ${why}`,
    { cause, details: { id } },
  );
}
