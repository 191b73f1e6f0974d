/**
 * When a session ends, and how: by FIN of either side when all streams are done, by a loss, or by an error, of which the other
 * side hears where it should. Streams that are open then fail here.
 */
import { type AsocError, ConnectionError } from "../errors.ts";
import type { Arrivals } from "./arrivals.ts";
import type { ControlFrames } from "./control_frames.ts";
import type { Deadlines } from "./deadlines.ts";
import { farewell } from "./farewell.ts";
import { connectionLost, handshakeRefused, notSentWhole, truncatedFrame } from "./faults.ts";
import type { FrameIntake, FramePlace } from "./frame_intake.ts";
import type { Lifecycle } from "./lifecycle.ts";
import type { Outbound } from "./outbound.ts";
import type { RecordDispatch } from "./record_dispatch.ts";
import type { RecordSender } from "./record_sender.ts";
import type { SessionEvents } from "./session_events.ts";
import type { SessionConfig } from "./session_types.ts";
import { Action, Input, State, transition } from "./transitions.ts";

const MAX_U32 = 0xffff_ffff;

/** Those of a session that have a say in its end, or hear of it. */
interface Parts {
  readonly config: SessionConfig;
  readonly lifecycle: Lifecycle;
  readonly events: SessionEvents;
  readonly control: ControlFrames;
  readonly outbound: Outbound;
  readonly sender: RecordSender;
  readonly arrivals: Arrivals;
  readonly records: RecordDispatch;
  readonly intake: FrameIntake;
  readonly deadlines: Deadlines;
}

export class Ending {
  readonly #parts: Parts;
  #lastWords: Uint8Array | undefined;
  #error: AsocError | undefined;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** Why it has ended; undefined: it has not, or as it should. */
  get error(): AsocError | undefined {
    return this.#error;
  }
  /** Said before the connection is cut. */
  get lastWords(): Uint8Array | undefined {
    return this.#lastWords;
  }

  /** The other side's FIN. `atBoundary`: no frame is cut by it. */
  handleFin(atBoundary: boolean): void {
    const { lifecycle, events, arrivals, outbound } = this.#parts;
    const { action, next } = transition(lifecycle.state, Input.FIN);
    const open = arrivals.openStreams + outbound.openStreams + outbound.unsettled;
    if (!atBoundary) {
      this.fail(truncatedFrame(lifecycle.handshaking));
    } else if (action === Action.LOST || action === Action.FALL_BACK) {
      this.fail(handshakeRefused("closed"));
    } else if (arrivals.tensors && open > 0) {
      this.fail(connectionLost(undefined)); // nobody is there to confirm or to go on
    } else {
      arrivals.fail(this.#error, lifecycle.nowMs);
      lifecycle.state = next;
      if (next === State.CLOSED) events.emit({ kind: "closed", error: undefined });
      else this.checkDrained();
    }
    this.letGo();
  }

  /** The connection is gone. */
  handleLost(cause: unknown): void {
    const { lifecycle } = this.#parts;
    if (!lifecycle.closed) {
      this.fail(lifecycle.handshaking ? handshakeRefused("reset", cause) : connectionLost(cause));
    }
    this.letGo();
  }

  /** See `Session.close`. */
  close(code: number, drainMs: number): void {
    const { config, lifecycle, events, arrivals, records, sender } = this.#parts;
    const { action, next } = transition(lifecycle.state, Input.CLOSE);
    if (action === Action.IGNORE) return;
    if (arrivals.tensors && next === State.CLOSING) {
      // A PONG shows that it was read: no stream is begun by the other side after that.
      records.goawayUnheard = true;
      const lastStream = arrivals.tensors.lastId;
      const goaway = { kind: "goaway", lastStream, drainMs: Math.min(drainMs, MAX_U32), code } as const;
      sender.sendRecords(goaway, records.pings.ping(config, lifecycle.nowMs));
    }
    lifecycle.state = next;
    if (next === State.CLOSED) {
      this.#error = new ConnectionError("ASOC_CLOSED", "The handshake was given up: the node is closing");
      events.emit({ kind: "closed", error: this.#error });
    } else this.checkDrained();
  }

  /** Where one side wants to end it: ours sends FIN, or it is over, as soon as no stream is left. */
  checkDrained(): void {
    const { lifecycle, events, arrivals, outbound, records, deadlines } = this.#parts;
    if (!lifecycle.draining) return;
    if (!outbound.idle || arrivals.openStreams > 0) return;
    // What was refused is answered with RESET: the other side has streams open until then.
    const unanswered = records.goawayUnheard || (arrivals.tensors?.skippedStreams ?? 0) > 0;
    if (lifecycle.state === State.CLOSING && unanswered) return;
    const { action, next } = transition(lifecycle.state, Input.DRAINED);
    lifecycle.state = next;
    deadlines.finishedMs = lifecycle.nowMs;
    if (action === Action.SEND_FIN) events.emit({ kind: "finish" });
    if (next === State.CLOSED) events.emit({ kind: "closed", error: undefined });
  }

  /** `frame`: what is wrong is wrong with that one of the other side's. */
  fail(error: AsocError, frame?: FramePlace): void {
    const { lifecycle, events, control, outbound, intake } = this.#parts;
    this.#error = error;
    if (intake.peer && outbound.atBoundary) this.#lastWords = farewell(error, control.numbered, frame);
    lifecycle.state = State.CLOSED;
    outbound.fail((stream) => notSentWhole(stream, error), events.sent);
    events.emit({ kind: "closed", error });
  }

  /** After the end of reading: memory goes back, open streams fail. */
  letGo(): void {
    this.#parts.arrivals.letGo(this.#error, this.#parts.lifecycle.nowMs);
  }
}
