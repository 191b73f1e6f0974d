/**
 * The states of one connection and what may happen in each (RFC-0001, State machines).
 *
 *   dialler:  HELLO_SENT ── ACCEPT ──▶ OPEN          acceptor:  HELLO_AWAITED ── HELLO ──▶ OPEN
 *
 * Where a side may speak x1 (RFC-0004), CAPS_AWAITED and PROOF_AWAITED lie before OPEN; a v1 frame in CAPS_AWAITED
 * falls back to OPEN where that is allowed.
 *
 *   OPEN ── close ──▶ CLOSING ── all sent, nothing arriving ──▶ FINISHED (FIN sent) ── FIN ──▶ CLOSED
 *     └──── FIN ────▶ PEER_DONE ── all sent ──▶ CLOSED ◀── FIN and all sent ── CLOSING
 *
 * A missing entry is a protocol error and ends the connection; loss and time-out end it in every state.
 */

export const State = {
  HELLO_SENT: 0,
  HELLO_AWAITED: 1,
  OPEN: 2,
  /** The user wants it closed; streams under way finish. */
  CLOSING: 3,
  /** Our FIN is sent; what still arrives is read until the peer's FIN. */
  FINISHED: 4,
  /** The peer's FIN has come; our streams finish. */
  PEER_DONE: 5,
  CLOSED: 6,
  /** Both v1 proofs are in; the other side's CAPS decides whether x1 follows. */
  CAPS_AWAITED: 7,
  /** The other side speaks x1; nothing counts before its PROOF. */
  PROOF_AWAITED: 8,
} as const;
export type State = (typeof State)[keyof typeof State];

/** The first six are frame types as on the wire; UNKNOWN stands for all reserved ones. */
export const Input = {
  UNKNOWN: 0,
  DATA: 1,
  END: 2,
  CONTROL: 3,
  HELLO: 4,
  ACCEPT: 5,
  /** The peer's FIN. */
  FIN: 6,
  /** The user's close. */
  CLOSE: 7,
  /** Nothing is left to send and nothing is arriving. */
  DRAINED: 8,
} as const;
export type Input = (typeof Input)[keyof typeof Input];

export const Action = {
  /** A protocol error. */
  REFUSE: 0,
  CHECK_HELLO: 1,
  CHECK_ACCEPT: 2,
  STREAM: 3,
  SKIP: 4,
  NOTE: 5,
  SEND_FIN: 6,
  /** The FIN came before the handshake was over. */
  LOST: 7,
  IGNORE: 8,
  /** A CONTROL frame whose records count. */
  RECORDS: 9,
  /** A v1 frame where CAPS could come: the other side does not speak x1. */
  FALL_BACK: 10,
} as const;
export type Action = (typeof Action)[keyof typeof Action];

export interface Transition {
  readonly action: Action;
  readonly next: State;
}

const frames = (next: State): Partial<Record<Input, Transition>> => ({
  [Input.UNKNOWN]: { action: Action.SKIP, next },
  [Input.DATA]: { action: Action.STREAM, next },
  [Input.END]: { action: Action.STREAM, next },
  [Input.CONTROL]: { action: Action.SKIP, next },
});

const REFUSED: Transition = { action: Action.REFUSE, next: State.CLOSED };

const TABLE: Readonly<Record<State, Partial<Record<Input, Transition>>>> = {
  [State.HELLO_SENT]: {
    [Input.ACCEPT]: { action: Action.CHECK_ACCEPT, next: State.OPEN },
    [Input.FIN]: { action: Action.LOST, next: State.CLOSED },
    [Input.CLOSE]: { action: Action.NOTE, next: State.CLOSED },
  },
  [State.HELLO_AWAITED]: {
    [Input.HELLO]: { action: Action.CHECK_HELLO, next: State.OPEN },
    [Input.FIN]: { action: Action.LOST, next: State.CLOSED },
    [Input.CLOSE]: { action: Action.NOTE, next: State.CLOSED },
  },
  [State.OPEN]: {
    ...frames(State.OPEN),
    [Input.FIN]: { action: Action.NOTE, next: State.PEER_DONE },
    [Input.CLOSE]: { action: Action.NOTE, next: State.CLOSING },
    [Input.DRAINED]: { action: Action.IGNORE, next: State.OPEN },
  },
  [State.CLOSING]: {
    ...frames(State.CLOSING),
    [Input.FIN]: { action: Action.NOTE, next: State.PEER_DONE },
    [Input.CLOSE]: { action: Action.IGNORE, next: State.CLOSING },
    [Input.DRAINED]: { action: Action.SEND_FIN, next: State.FINISHED },
  },
  [State.FINISHED]: {
    ...frames(State.FINISHED),
    [Input.FIN]: { action: Action.NOTE, next: State.CLOSED },
    [Input.CLOSE]: { action: Action.IGNORE, next: State.FINISHED },
    [Input.DRAINED]: { action: Action.IGNORE, next: State.FINISHED },
  },
  [State.PEER_DONE]: {
    [Input.CLOSE]: { action: Action.IGNORE, next: State.PEER_DONE },
    [Input.DRAINED]: { action: Action.SEND_FIN, next: State.CLOSED },
  },
  [State.CAPS_AWAITED]: {
    [Input.UNKNOWN]: { action: Action.FALL_BACK, next: State.OPEN },
    [Input.DATA]: { action: Action.FALL_BACK, next: State.OPEN },
    [Input.END]: { action: Action.FALL_BACK, next: State.OPEN },
    [Input.CONTROL]: { action: Action.RECORDS, next: State.CAPS_AWAITED },
    [Input.FIN]: { action: Action.FALL_BACK, next: State.OPEN },
    [Input.CLOSE]: { action: Action.NOTE, next: State.CLOSED },
  },
  [State.PROOF_AWAITED]: {
    [Input.UNKNOWN]: { action: Action.SKIP, next: State.PROOF_AWAITED },
    [Input.CONTROL]: { action: Action.RECORDS, next: State.PROOF_AWAITED },
    [Input.FIN]: { action: Action.LOST, next: State.CLOSED },
    [Input.CLOSE]: { action: Action.NOTE, next: State.CLOSED },
  },
  [State.CLOSED]: {
    [Input.FIN]: { action: Action.IGNORE, next: State.CLOSED },
    [Input.CLOSE]: { action: Action.IGNORE, next: State.CLOSED },
    [Input.DRAINED]: { action: Action.IGNORE, next: State.CLOSED },
  },
};

const INPUTS = Object.keys(Input).length;
const DENSE: readonly Transition[] = Object.values(State).flatMap((state) =>
  Object.values(Input).map((input) => TABLE[state][input] ?? REFUSED),
);

/** What `input` does in `state`. */
export function transition(state: State, input: Input): Transition {
  return DENSE[state * INPUTS + input] as Transition;
}

/** The input that an arriving frame of `type` is. */
export function frameInput(type: number): Input {
  return type >= 1 && type <= 5 ? (type as Input) : Input.UNKNOWN;
}

export function stateName(state: State): string {
  return Object.keys(State)[state] as string;
}

/** No stream may begin yet. */
export function isHandshaking(state: State): boolean {
  return (
    state === State.HELLO_SENT ||
    state === State.HELLO_AWAITED ||
    state === State.CAPS_AWAITED ||
    state === State.PROOF_AWAITED
  );
}
