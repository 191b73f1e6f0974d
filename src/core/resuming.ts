/**
 * Tensors of x1 whose connection broke while they arrived: kept until their rest comes on another one, or does not
 * (RFC-0006, Resume). `Transfers` knows which those are; here they meet connections and readers.
 */
import type { Connection } from "./connection.ts";
import { type AsocError, ConnectionError } from "./errors.ts";
import type { IncomingStream } from "./incoming.ts";
import type { Limits, Timing } from "./limits.ts";
import type { Clock } from "./runtime.ts";
import { incomplete } from "./session/faults.ts";
import type { InboundTensor } from "./session/inbound_tensor.ts";
import type { TransferBook } from "./session/transfer_book.ts";
import { type Peer, peerOf } from "./swarm/swarm.ts";
import { keyOf, Transfers } from "./transfers.ts";
import { fromHex } from "./wire/bytes.ts";

/** What goes with a transfer whose connection broke. */
interface Suspended {
  readonly incoming: IncomingStream;
  readonly peer: Peer;
  readonly error: AsocError;
}

export class Resuming {
  readonly #clock: Clock;
  readonly #failed: (peer: Peer, streamId: number, error: AsocError) => void;
  readonly #transfers: Transfers<Connection, Suspended>;
  /** Who has asked about a transfer that is still on an older connection. */
  readonly #questions = new Map<string, { readonly connection: Connection; readonly transferId: string }>();
  #closed = false;

  /** `failed` hears of each tensor whose rest did not come. */
  constructor(
    limits: Limits & Timing,
    clock: Clock,
    failed: (peer: Peer, streamId: number, error: AsocError) => void,
  ) {
    this.#clock = clock;
    this.#failed = failed;
    this.#transfers = new Transfers(limits, clock, (stream, { incoming, peer, error }) =>
      this.#giveUpOn(stream, incoming, peer, error),
    );
    this.#transfers.onSettled = (key) => this.#answerLate(key);
  }

  /** The book that the session of `connection` keeps of the transfers of `peerId`. */
  bookOf(peerId: string, connection: Connection): TransferBook {
    return this.#transfers.bookOf(peerId, connection, ({ incoming }) => {
      incoming.moveTo(connection.driver);
      connection.incoming.set(incoming.arriving, incoming);
    });
  }

  /** RESUME?: how much of a transfer is here? One that an older connection still holds has to be let go by that first. */
  handleAsked(connection: Connection, transferId: string): void {
    const { link, driver } = connection;
    if (!link?.nodeId) return; // whoever speaks x1 has an id
    const state = this.#transfers.stateOf(link.nodeId, transferId);
    if (state.kind === "arriving") {
      this.#questions.set(keyOf(link.nodeId, transferId), { connection, transferId });
      if (state.owner === connection) return; // it will be answered when that has ended
      const why = "Another connection of the same peer goes on in place of this one";
      state.owner.driver.session.abort(new ConnectionError("ASOC_CONNECTION_LOST", why), this.#clock.nowMs());
      state.owner.driver.pump();
      return;
    }
    const offset = state.kind === "delivered" ? undefined : state.kind === "suspended" ? state.offset : 0;
    driver.session.answerResume(fromHex(transferId), offset);
    driver.pump();
  }

  #answerLate(key: string): void {
    const question = this.#questions.get(key);
    if (!question) return;
    this.#questions.delete(key);
    if (!question.connection.driver.session.closed)
      this.handleAsked(question.connection, question.transferId);
  }

  /** `connection` broke under `stream`: the rest may come on another one. */
  handleCut(connection: Connection, stream: InboundTensor, error: AsocError): void {
    const incoming = connection.incoming.get(stream);
    const { link } = connection;
    connection.incoming.delete(stream);
    if (link?.nodeId) this.#transfers.forget(link.nodeId, stream.description.transferId);
    if (incoming?.watched) incoming.watched.cuts++;
    if (!incoming || !link?.nodeId || this.#closed) {
      this.#giveUpOn(stream, incoming, link && peerOf(link), error);
      return;
    }
    const { nodeId } = link;
    const key = keyOf(nodeId, stream.description.transferId);
    incoming.moveTo({
      room: () => {},
      giveUp: () => this.#transfers.giveUp(key),
      refuse: () => this.#transfers.giveUp(key),
    });
    this.#transfers.suspend(nodeId, stream, { incoming, peer: peerOf(link), error });
  }

  #giveUpOn(
    stream: InboundTensor,
    incoming: IncomingStream | undefined,
    peer: Peer | undefined,
    error: AsocError,
  ): void {
    const failure = incomplete(stream, error);
    stream.fail(failure);
    stream.dropMemory();
    if (peer) this.#failed(peer, stream.id, failure);
    incoming?.watched?.received();
    incoming?.notify();
  }

  /** Nothing is waited for any more. */
  close(): void {
    this.#closed = true;
    this.#transfers.close();
  }
}
