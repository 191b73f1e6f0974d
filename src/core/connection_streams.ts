/** The streams of a node's connections, both ways: what their sessions say of them goes to whoever reads or sends them. */
import type { Connection } from "./connection.ts";
import type { Doorkeeper } from "./doorkeeper.ts";
import { AsocError, ConnectionError } from "./errors.ts";
import { IncomingStream, type Tensor } from "./incoming.ts";
import type { NodeConfig, NodeEvent } from "./node_events.ts";
import { Outgoing } from "./outgoing.ts";
import type { Resuming } from "./resuming.ts";
import type { SendOptions, SendPlan } from "./send_plan.ts";
import type { TensorDescription } from "./session/description.ts";
import { InboundTensor } from "./session/inbound_tensor.ts";
import type { ArrivingStream, SessionEvent } from "./session/session_types.ts";
import { type Link, type Peer, peerOf } from "./swarm/swarm.ts";
import type { Traffic } from "./traffic.ts";
import type { TapRecord, UntapRecord } from "./wire/records/tap.ts";

/** What a node wants to hear of streams. */
export interface StreamsListener {
  emit(event: NodeEvent): void;
  /** A tensor begins to arrive; false: nobody has room for it. */
  arrived(stream: IncomingStream): boolean;
  /** A tensor of x1 was assembled; its bytes are valid during the call. */
  whole(peer: Peer, description: TensorDescription, bytes: Uint8Array): void;
  /** A peer wants copies of tensors, or no more of them. */
  tapAsked(peer: Peer, record: TapRecord | UntapRecord): void;
}

/** What a session says of its streams. */
export type StreamEvent = Extract<
  SessionEvent,
  {
    kind:
      | "stream"
      | "readable"
      | "sent"
      | "streamFailed"
      | "resumed"
      | "cut"
      | "resumeAsked"
      | "resumeAnswered"
      | "tapAsked";
  }
>;

export class ConnectionStreams {
  readonly #config: Pick<NodeConfig, "memoryFor">;
  readonly #door: Doorkeeper;
  readonly #traffic: Traffic;
  readonly #resuming: Resuming;
  readonly #listener: StreamsListener;

  constructor(
    config: Pick<NodeConfig, "memoryFor">,
    door: Doorkeeper,
    traffic: Traffic,
    resuming: Resuming,
    listener: StreamsListener,
  ) {
    this.#config = config;
    this.#door = door;
    this.#traffic = traffic;
    this.#resuming = resuming;
    this.#listener = listener;
  }

  /** A new stream on an open connection that carries `plan` from `baseOffset` on. Throws what its session and the access rules do. */
  open(
    connection: Connection,
    options: SendOptions,
    plan: SendPlan,
    baseOffset: number,
    nowMs: number,
  ): Outgoing {
    this.#door.checkSend(connection, options.topic ?? "");
    const link = connection.link as Link; // it is open
    const tensor = connection.driver.session.tensors ? plan.at(baseOffset, nowMs) : undefined;
    const outgoing = new Outgoing(connection.driver, peerOf(link), options, tensor, {
      checksOrder: () => link.proven,
      release: (stream) => connection.outgoing.delete(stream),
    });
    connection.outgoing.set(outgoing.stream, outgoing);
    return outgoing;
  }

  handle(connection: Connection, event: StreamEvent): void {
    const { link } = connection;
    switch (event.kind) {
      case "stream":
        this.#started(connection, event.stream);
        break;
      case "readable":
        readable(connection, event.stream);
        break;
      case "sent":
        connection.outgoing.get(event.stream)?.notify();
        break;
      case "streamFailed": {
        const { streamId, error } = event;
        this.#door.streamFailed(connection, error);
        if (link) this.#listener.emit({ kind: "streamFailed", peer: peerOf(link), streamId, error });
        break;
      }
      case "resumed":
        break; // `Resuming` has heard of it from the book
      case "cut":
        this.#resuming.handleCut(connection, event.stream, event.error);
        break;
      case "resumeAsked":
        this.#resuming.handleAsked(connection, event.transferId);
        break;
      case "resumeAnswered": {
        const { offset, transferId } = event;
        const bootEpoch = connection.driver.session.peer?.bootEpoch ?? 0;
        connection.asked.get(transferId)?.resolve({ offset, bootEpoch });
        connection.asked.delete(transferId);
        break;
      }
      case "tapAsked":
        if (link && (event.record.kind === "untap" || this.#door.mayTap(connection, event.record.glob)))
          this.#listener.tapAsked(peerOf(link), event.record);
    }
  }

  /** `connection` has ended: nothing that was asked on it is answered any more. */
  ended({ asked }: Connection): void {
    const why = "The connection was lost before the answer to RESUME? came";
    for (const { reject } of asked.values()) reject(new ConnectionError("ASOC_CONNECTION_LOST", why));
    asked.clear();
  }

  #started(connection: Connection, stream: ArrivingStream): void {
    const { link } = connection;
    if (!link) return; // streams exist on open sessions only
    const peer = peerOf(link);
    const description = stream instanceof InboundTensor ? stream.description : undefined;
    const memory = this.#config.memoryFor?.({ peer, streamId: stream.id, description });
    if (memory) {
      try {
        stream.prepareInto(memory);
      } catch (error) {
        if (!(error instanceof AsocError && stream instanceof InboundTensor)) throw error;
        connection.driver.refuse(stream, error);
        return;
      }
    }
    const assembled = (tensor: Tensor) => {
      if (tensor.description) this.#listener.whole(peer, tensor.description, tensor.bytes);
    };
    const watched = this.#traffic.arriving(peer, stream);
    const incoming = new IncomingStream(connection.driver, stream, peer, assembled, watched);
    connection.incoming.set(stream, incoming);
    this.#listener.emit({ kind: "streamStarted", peer, streamId: stream.id });
    if (this.#listener.arrived(incoming)) return;
    // Nobody reads `incoming`: the newest is refused, so that what waits stays whole.
    connection.driver.giveUp(stream, "nobody reads what arrives here");
    this.#door.turnedAway(connection.remote, "maxQueuedStreams", undefined, link.nodeId, connection);
  }
}

function readable({ incoming }: Connection, stream: ArrivingStream): void {
  const read = incoming.get(stream);
  if (!read) return;
  if (stream.ended) {
    incoming.delete(stream);
    read.watched?.received();
  }
  read.notify();
}
