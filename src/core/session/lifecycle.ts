/** Where one connection is, and what time it is: the parts of its session share this. */
import { isHandshaking, State } from "./transitions.ts";

export class Lifecycle {
  state: State;
  /** As it was last told. */
  nowMs: number;

  constructor(role: "dialler" | "acceptor", nowMs: number) {
    this.state = role === "dialler" ? State.HELLO_SENT : State.HELLO_AWAITED;
    this.nowMs = nowMs;
  }

  get open(): boolean {
    return this.state === State.OPEN;
  }
  get closed(): boolean {
    return this.state === State.CLOSED;
  }
  /** It ends as soon as the streams are done. */
  get draining(): boolean {
    return this.state === State.CLOSING || this.state === State.PEER_DONE;
  }
  /** No stream may begin yet. */
  get handshaking(): boolean {
    return isHandshaking(this.state);
  }
}
