/** The named deadlines of a session (RFC-0001, Timers; RFC-0006, Liveness): computed anew whenever somebody asks. */
import type { Timing } from "../limits.ts";
import type { Arrivals } from "./arrivals.ts";
import type { FrameIntake } from "./frame_intake.ts";
import type { Lifecycle } from "./lifecycle.ts";
import type { Outbound } from "./outbound.ts";
import { State } from "./transitions.ts";

interface Times {
  handshake: number;
  sendStall: number;
  /** Somebody should look whether some of what is being written has gone. */
  sendLook: number;
  /** Our own reader has paused the connection for too long. */
  reader: number;
  silence: number;
  linger: number;
  /** A tensor is too late, or a held one may go on. */
  streams: number;
  /** CAPS has not come: the other side is taken for a v0.1 peer. */
  caps: number;
  keepalive: number;
}
export type Deadline = keyof Times;

const NEVER = Number.POSITIVE_INFINITY;

/** Of several that have passed the first counts. */
const ORDER: readonly Deadline[] = [
  "handshake",
  "sendStall",
  "reader",
  "silence",
  "linger",
  "streams",
  "caps",
  "keepalive",
  "sendLook",
];
/** How often that is in the time after which a send counts as stalled. */
const LOOKS = 4;
/** For so many times between PINGs after its last byte the other side counts as heard; */
const HEARD_PINGS = 1.5;
/** and then a send may stand still so many times as long. */
const HEARD_STALLS = 10;

export class Deadlines {
  readonly #limits: Timing;
  readonly #lifecycle: Lifecycle;
  readonly #intake: FrameIntake;
  readonly #arrivals: Arrivals;
  readonly #outbound: Outbound;
  readonly #startedMs: number;
  readonly #at: Times;
  /** When bytes last came. */
  lastReadMs: number;
  /** When something was last sent that shows that we are there. */
  lastSentMs: number;
  /** When somebody last looked for progress. */
  lastLookMs = 0;
  /** When our FIN went out. */
  finishedMs = 0;
  /** Whether the connection is one that keepalives must hold. */
  keepalive = false;

  constructor(
    limits: Timing,
    lifecycle: Lifecycle,
    intake: FrameIntake,
    arrivals: Arrivals,
    outbound: Outbound,
  ) {
    this.#limits = limits;
    this.#lifecycle = lifecycle;
    this.#intake = intake;
    this.#arrivals = arrivals;
    this.#outbound = outbound;
    this.#startedMs = this.lastReadMs = this.lastSentMs = lifecycle.nowMs;
    this.#at = {
      handshake: NEVER,
      sendStall: NEVER,
      sendLook: NEVER,
      reader: NEVER,
      silence: NEVER,
      linger: NEVER,
      streams: NEVER,
      caps: NEVER,
      keepalive: NEVER,
    };
  }

  /** When the next one passes; Infinity: never. Asked after every read: it allocates nothing. */
  get earliestMs(): number {
    const at = this.#refreshed();
    return Math.min(
      Math.min(at.handshake, at.sendStall, at.reader, at.silence),
      Math.min(at.linger, at.keepalive, Math.min(at.caps, at.streams, at.sendLook)),
    );
  }

  /** One that has passed; undefined: none has. */
  passed(nowMs: number): Deadline | undefined {
    const at = this.#refreshed();
    return ORDER.find((deadline) => nowMs >= at[deadline]);
  }

  /**
   * The system takes nothing for as long as its own buffer is too full, and on a slow link that is long: where the other side
   * can be heard with PING it lives, and has more time.
   */
  #stallMs(x1: boolean): number {
    const { sendStallMs, keepaliveMs } = this.#limits;
    const { lastProgressMs } = this.#outbound;
    if (!x1) return lastProgressMs + sendStallMs;
    const heardMs = this.lastReadMs + HEARD_PINGS * keepaliveMs;
    return Math.max(
      lastProgressMs + sendStallMs,
      Math.min(heardMs, lastProgressMs + HEARD_STALLS * sendStallMs),
    );
  }

  #refreshed(): Readonly<Times> {
    const at = this.#at;
    const limits = this.#limits;
    const outbound = this.#outbound;
    const { state, handshaking } = this.#lifecycle;
    const { openStreams, tensors, pause } = this.#arrivals;
    const pausedMs = pause.sinceMs;
    const reading = pausedMs === undefined;
    const x1 = this.#intake.peer !== undefined;
    const kept = (this.keepalive || x1) && (state === State.OPEN || state === State.CLOSING);
    // With PING and PONG silence means that nobody is there; without, only an open stream tells that something should come.
    const expecting = openStreams > 0 || (kept && x1);
    const waiting = reading && !handshaking && expecting;
    const lingering = reading && state === State.FINISHED;
    const silenceMs = x1 ? Math.max(limits.silenceMs, 2 * limits.keepaliveMs) : limits.silenceMs;
    at.handshake = handshaking ? this.#startedMs + limits.handshakeTimeoutMs : NEVER;
    at.sendStall = outbound.inFlight ? this.#stallMs(x1) : NEVER;
    at.sendLook = outbound.inFlight
      ? Math.max(outbound.lastProgressMs, this.lastLookMs) + limits.sendStallMs / LOOKS
      : NEVER;
    at.reader = reading ? NEVER : pausedMs + limits.silenceMs;
    at.silence = waiting ? this.lastReadMs + silenceMs : NEVER;
    at.linger = lingering ? Math.max(this.finishedMs, this.lastReadMs) + limits.lingerMs : NEVER;
    at.caps = this.#intake.capsAwaitedSinceMs + limits.capsWaitMs;
    at.streams = Math.min(outbound.deadlineMs, tensors?.deadlineMs ?? NEVER);
    at.keepalive = kept ? this.lastSentMs + limits.keepaliveMs : NEVER;
    return at;
  }
}
