import assert from "node:assert/strict";
import { test } from "node:test";
import type { Connection } from "../../src/core/connection.ts";
import { whoMakesRoom } from "../../src/core/make_room.ts";
import { State } from "../../src/core/session/transitions.ts";

/** As much of a connection as counts here. */
function handshake(sinceMs: number, state: State, isOpen = false): Connection {
  return { sinceMs, link: isOpen ? {} : undefined, driver: { session: { state } } } as unknown as Connection;
}

test("whoMakesRoom() names the oldest handshake, and one whose HELLO was right only when there is no other", () => {
  const open = handshake(0, State.OPEN, true);
  const knowsKey = handshake(10, State.PROOF_AWAITED);
  const silent = handshake(20, State.HELLO_AWAITED);
  const later = handshake(30, State.HELLO_AWAITED);
  assert.equal(whoMakesRoom([open, knowsKey, silent, later], 1000), silent);
  assert.equal(whoMakesRoom([open, knowsKey], 1000), knowsKey);
  assert.equal(whoMakesRoom([open], 1000), undefined);
});

test("whoMakesRoom() names none that came so lately that nothing of it can have been read", () => {
  assert.equal(whoMakesRoom([handshake(990, State.HELLO_AWAITED)], 1000), undefined);
});
