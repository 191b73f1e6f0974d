/**
 * Which handshake in progress makes way for a connection that comes in when there is no room (RFC-0001, Abuse).
 *
 * The oldest one, so that idle sockets keep nobody out; but one whose HELLO was right has the key, and goes last. One that came
 * only now has had no turn to be read yet: where hundreds come in one turn of the event loop, ending those would let none
 * through at all, so the newcomer is refused instead.
 */
import type { Connection } from "./connection.ts";
import { State } from "./session/transitions.ts";

/** A handshake younger than this may not have been read yet. */
const FIRST_TURN_MS = 20;

/** In the order in which they came; undefined: nobody makes way. */
export function whoMakesRoom(connections: Iterable<Connection>, nowMs: number): Connection | undefined {
  let knowsKey: Connection | undefined;
  for (const connection of connections) {
    if (connection.link || connection.target) continue;
    // Those that follow are younger still.
    if (nowMs - connection.sinceMs < FIRST_TURN_MS) break;
    if (connection.driver.session.state === State.HELLO_AWAITED) return connection;
    knowsKey ??= connection;
  }
  return knowsKey;
}
