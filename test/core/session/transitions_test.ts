import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  Action,
  frameInput,
  Input,
  State,
  stateName,
  transition,
} from "../../../src/core/session/transitions.ts";

type StateName = keyof typeof State;
type InputName = keyof typeof Input;
const states = Object.keys(State) as StateName[];
const inputs = Object.keys(Input) as InputName[];

/** What RFC-0001 and RFC-0004 allow, written apart from the table; all that is missing is refused. */
const frames = (next: StateName) => ({
  UNKNOWN: ["SKIP", next],
  DATA: ["STREAM", next],
  END: ["STREAM", next],
  CONTROL: ["SKIP", next],
});
const EXPECTED: Record<StateName, Partial<Record<InputName, readonly string[]>>> = {
  HELLO_SENT: { ACCEPT: ["CHECK_ACCEPT", "OPEN"], FIN: ["LOST", "CLOSED"], CLOSE: ["NOTE", "CLOSED"] },
  HELLO_AWAITED: { HELLO: ["CHECK_HELLO", "OPEN"], FIN: ["LOST", "CLOSED"], CLOSE: ["NOTE", "CLOSED"] },
  OPEN: {
    ...frames("OPEN"),
    FIN: ["NOTE", "PEER_DONE"],
    CLOSE: ["NOTE", "CLOSING"],
    DRAINED: ["IGNORE", "OPEN"],
  },
  CLOSING: {
    ...frames("CLOSING"),
    FIN: ["NOTE", "PEER_DONE"],
    CLOSE: ["IGNORE", "CLOSING"],
    DRAINED: ["SEND_FIN", "FINISHED"],
  },
  FINISHED: {
    ...frames("FINISHED"),
    FIN: ["NOTE", "CLOSED"],
    CLOSE: ["IGNORE", "FINISHED"],
    DRAINED: ["IGNORE", "FINISHED"],
  },
  CAPS_AWAITED: {
    UNKNOWN: ["FALL_BACK", "OPEN"],
    DATA: ["FALL_BACK", "OPEN"],
    END: ["FALL_BACK", "OPEN"],
    CONTROL: ["RECORDS", "CAPS_AWAITED"],
    FIN: ["FALL_BACK", "OPEN"],
    CLOSE: ["NOTE", "CLOSED"],
  },
  PROOF_AWAITED: {
    UNKNOWN: ["SKIP", "PROOF_AWAITED"],
    CONTROL: ["RECORDS", "PROOF_AWAITED"],
    FIN: ["LOST", "CLOSED"],
    CLOSE: ["NOTE", "CLOSED"],
  },
  PEER_DONE: { CLOSE: ["IGNORE", "PEER_DONE"], DRAINED: ["SEND_FIN", "CLOSED"] },
  CLOSED: { FIN: ["IGNORE", "CLOSED"], CLOSE: ["IGNORE", "CLOSED"], DRAINED: ["IGNORE", "CLOSED"] },
};

const actionName = (action: Action) => Object.keys(Action)[Object.values(Action).indexOf(action)];

test("transition() does what the RFC's table says in every state, and refuses what it does not name", () => {
  for (const state of states) {
    for (const input of inputs) {
      const { action, next } = transition(State[state], Input[input]);
      const expected = EXPECTED[state][input] ?? ["REFUSE", "CLOSED"];
      assert.deepEqual([actionName(action), stateName(next)], expected, `${input} in ${state}`);
    }
  }
});

test("transition() never leaves CLOSED, whatever comes", () => {
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom(...inputs), { maxLength: 40 }),
      fc.constantFrom(...states),
      (list, from) => {
        let state: State = State[from];
        let hasClosed = state === State.CLOSED;
        for (const input of list) {
          state = transition(state, Input[input]).next;
          if (hasClosed) assert.equal(state, State.CLOSED);
          hasClosed ||= state === State.CLOSED;
        }
      },
    ),
  );
});

test("transition() opens by the handshake alone, or by falling back, and never goes back to it", () => {
  const handshake: StateName[] = ["HELLO_SENT", "HELLO_AWAITED"];
  const extension: StateName[] = ["CAPS_AWAITED", "PROOF_AWAITED"];
  for (const state of states) {
    for (const input of inputs) {
      const { action, next: to } = transition(State[state], Input[input]);
      const next = stateName(to) as StateName;
      if (next === "OPEN" && state !== "OPEN") {
        const shaken = handshake.includes(state) && ["HELLO", "ACCEPT"].includes(input);
        assert.ok(shaken || actionName(action) === "FALL_BACK", `${input} in ${state}`);
      }
      assert.ok(!handshake.includes(next), `${input} in ${state} leads to ${next}`);
      assert.ok(!extension.includes(next) || next === state, `${input} in ${state} leads to ${next}`);
    }
  }
});

test("transition() reaches CLOSED from every state by FIN and by being drained", () => {
  for (const name of states) {
    let state: State = State[name];
    for (const input of [Input.CLOSE, Input.DRAINED, Input.FIN, Input.DRAINED])
      state = transition(state, input).next;
    assert.equal(state, State.CLOSED, name);
  }
});

test("frameInput() maps the five types to themselves and all reserved ones to UNKNOWN", () => {
  for (let type = 0; type < 256; type++)
    assert.equal(frameInput(type), type >= 1 && type <= 5 ? type : Input.UNKNOWN);
});
