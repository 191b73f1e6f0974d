/**
 * Which handshake in progress makes way for a connection that comes in when there is no room (RFC-0001, Abuse).
 *
 * The oldest one, so that idle sockets keep nobody out; but one whose HELLO was right has the key, and goes last. One that
 * came only now has had no time to say anything: where thousands come in a second, ending those would let none through at
 * all and leave no processor time for the sessions that there are, so the newcomer is refused before anything is made for it.
 */
import type { Connection } from "./connection.ts";
import { UNDISTURBED_HANDSHAKE_MS } from "./limits.ts";
import { State } from "./session/transitions.ts";

/** In the order in which they came; undefined: nobody makes way. */
export function whoMakesRoom(connections: Iterable<Connection>, nowMs: number): Connection | undefined {
  let knowsKey: Connection | undefined;
  for (const connection of connections) {
    if (connection.link || connection.target) continue;
    // Those that follow are younger still.
    if (nowMs - connection.sinceMs < UNDISTURBED_HANDSHAKE_MS) break;
    if (connection.driver.session.state === State.HELLO_AWAITED) return connection;
    knowsKey ??= connection;
  }
  return knowsKey;
}
