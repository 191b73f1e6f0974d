/** Sending: takes a tensor from its source to one or several sessions. */
import type { Driver } from "./driver.ts";
import { type AsocError, ClosedError } from "./errors.ts";
import type { SendOptions, SendPlan, SendReport } from "./send_plan.ts";
import { digestText } from "./session/digest.ts";
import type { OutboundStream, TensorSending } from "./session/outbound.ts";
import type { Peer } from "./swarm/swarm.ts";
import type { WatchedStream } from "./traffic.ts";

/** One destination: its stream, and who waits for it. */
export class Outgoing {
  readonly driver: Driver;
  readonly stream: OutboundStream;
  readonly peer: Peer;
  readonly #baseOffset: number;
  #wake: (() => void) | undefined;
  #onProgress: ((sentBytes: number, peer: Peer) => void) | undefined;
  /** What those see of it who watch the node, where it is told here. */
  watched: WatchedStream | undefined;
  /** Called when the stream has failed. */
  onFailed: (() => void) | undefined;

  readonly #checksOrder: () => boolean;
  /** The send is over: news of the stream goes nowhere any more. */
  readonly release: () => void;

  /** `tensor`: what it carries, where the session has tensor streams. */
  constructor(
    driver: Driver,
    peer: Peer,
    options: SendOptions,
    tensor: TensorSending | undefined,
    owner: { checksOrder(): boolean; release(stream: OutboundStream): void },
  ) {
    this.#checksOrder = () => owner.checksOrder();
    this.release = () => owner.release(this.stream);
    this.driver = driver;
    this.peer = peer;
    this.stream = driver.session.openStream(options.chunkBytes, tensor);
    this.#baseOffset = tensor?.baseOffset ?? 0;
    this.#onProgress = options.onProgress;
  }

  /** The driver has news of it. */
  notify(): void {
    const sentBytes = this.#baseOffset + this.stream.sentBytes;
    if (this.watched) this.watched.movedBytes = sentBytes;
    this.#onProgress?.(sentBytes, this.peer);
    if (this.stream.error) this.onFailed?.();
    if (!this.stream.writable && !this.stream.settled) return;
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }

  /**
   * Hands the bytes over, and `end` with them; resolves when the memory may be used again, after `end` when nothing more
   * will be heard: with x1 the receiver has verified it.
   */
  async write(bytes: Uint8Array | undefined, end: boolean): Promise<void> {
    if (this.stream.error) throw this.stream.error;
    if (this.stream.settled) return; // given up meanwhile
    // Refused while its source was slow: why is known once RESET is out, and nothing more goes into it.
    if (!this.stream.abandoned) {
      if (bytes && bytes.byteLength > 0) this.driver.session.write(this.stream, bytes);
      if (end) this.driver.session.endStream(this.stream);
      else if (this.stream.writable) return;
    }
    const news = new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    this.driver.pump();
    await news;
    if (this.stream.error) throw this.stream.error;
  }

  /**
   * Gives it up so that the receiver cannot take it for whole. x1 has RESET. v1 has no frame for that: a peer known to check the
   * order of frames gets one out of order; with any other the connection is ended, once something has been sent.
   */
  abandon(): void {
    const { stream, driver } = this;
    if (stream.settled) return;
    if (stream.started && !stream.tensor && !this.#checksOrder()) {
      const error = new ClosedError(
        "ASOC_CANCELLED",
        `Stream ${stream.id} was given up; v1 can only end the connection for that`,
      );
      driver.session.abort(error, driver.nowMs());
    } else driver.session.abandonStream(stream);
    this.driver.pump();
  }

  report(plan: SendPlan, cuts = 0): SendReport {
    const { peer, stream } = this;
    const { tensor } = stream;
    return {
      peer,
      streamId: stream.id,
      bytes: this.#baseOffset + stream.sentBytes,
      delivery: tensor ? "verified" : "kernel",
      digest: tensor && digestText(plan.digest.name, plan.digest.finish()),
      cuts,
    };
  }
}

/**
 * Sends `parts` to every destination in step: the slowest sets the pace.
 * Returns, for each, undefined or why it failed; the others go on without it.
 */
export async function sendTo(
  destinations: readonly Outgoing[],
  source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  signal: AbortSignal | undefined,
): Promise<(unknown | undefined)[]> {
  const errors: (unknown | undefined)[] = destinations.map(() => undefined);
  /** Ends the wait for a source that is slow: nobody is left who wants its next part. */
  let stopWaiting: (() => void) | undefined;
  const abort = () => {
    for (const destination of destinations) destination.abandon();
    stopWaiting?.();
  };
  for (const destination of destinations) {
    destination.onFailed = () => {
      if (destinations.every(({ stream }) => stream.error)) stopWaiting?.();
    };
  }
  signal?.addEventListener("abort", abort, { once: true });
  const writeAll = (bytes: Uint8Array | undefined, end: boolean) =>
    Promise.all(
      destinations.map(async (destination, index) => {
        if (errors[index] !== undefined) return;
        try {
          await destination.write(bytes, end);
        } catch (error) {
          errors[index] = error;
        }
      }),
    );
  try {
    if (signal?.aborted) abort();
    const parts = iteratorOf(source);
    const nextPart = () =>
      new Promise<IteratorResult<Uint8Array> | undefined>((resolve, reject) => {
        stopWaiting = () => resolve(undefined);
        Promise.resolve(parts.next()).then(resolve, reject);
      });
    const given = () => signal?.aborted === true || destinations.every(({ stream }) => stream.error);
    for (;;) {
      const step = given() ? undefined : await nextPart();
      if (step === undefined || given()) {
        // Not awaited: a source that waits for something may take its time to notice.
        Promise.resolve(parts.return?.()).catch(() => {});
        break;
      }
      if (step.done) break;
      checkPart(step.value);
      await writeAll(step.value, false);
    }
    if (!signal?.aborted) await writeAll(undefined, true);
  } catch (error) {
    // The source failed: what was sent of it must not pass for the whole.
    abort();
    return errors.map((known) => known ?? error);
  } finally {
    signal?.removeEventListener("abort", abort);
  }
  if (signal?.aborted) {
    // Sent whole before the signal came, or given up; a connection may have been lost while the source was slow.
    return destinations.map(({ stream }) =>
      stream.settled && !stream.abandoned && !stream.error ? undefined : signal.reason,
    );
  }
  return errors;
}

/** Throws TypeError: an array of numbers, or a reader that gives memory, would pass for an empty tensor. */
export function checkPart(part: unknown): void {
  if (!(part instanceof Uint8Array))
    throw new TypeError(`source: expected parts of Uint8Array, got ${typeof part}`);
}

function iteratorOf(
  source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): AsyncIterator<Uint8Array> | Iterator<Uint8Array> {
  return Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]();
}

/** The error for sending to nobody. */
export function unknownPeer(id: string, known: readonly Peer[]): AsocError {
  const list =
    known.length === 0 ? "no peer is connected" : `connected: ${known.map((peer) => peer.id).join(", ")}`;
  return new ClosedError("ASOC_UNKNOWN_PEER", `Cannot send to ${id}: ${list}`, { details: { id } });
}
