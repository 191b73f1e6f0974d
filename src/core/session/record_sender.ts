/** What this side says in CONTROL frames, and until when it may say anything. */
import { MAX_WAITING_CONTROL } from "../limits.ts";
import { FrameType } from "../wire/header.ts";
import { encodeControl, type X1Record } from "../wire/records/records.ts";
import { controlUnread } from "./faults.ts";
import type { Lifecycle } from "./lifecycle.ts";
import type { Outbound } from "./outbound.ts";
import { State } from "./transitions.ts";

export class RecordSender {
  readonly #x1: boolean;
  readonly #lifecycle: Lifecycle;
  readonly #outbound: Outbound;

  /** `x1`: this side speaks it, so its CONTROL frames are counted. */
  constructor(x1: boolean, lifecycle: Lifecycle, outbound: Outbound) {
    this.#x1 = x1;
    this.#lifecycle = lifecycle;
    this.#outbound = outbound;
  }

  /** A frame on stream 0. */
  send(type: number, payload: Uint8Array): void {
    this.#outbound.sendControl(type, payload, type === FrameType.CONTROL && this.#x1);
  }

  /** Records about the connection, in one frame. */
  sendRecords(...records: X1Record[]): void {
    if (this.#lifecycle.state === State.FINISHED) return; // our FIN is out
    this.send(FrameType.CONTROL, encodeControl(records));
  }

  /** A record that the other side has caused, about its stream `streamId`. Throws ASOC_RECORD_LIMIT when it reads none of them. */
  say(streamId: number, record: X1Record): void {
    if (this.#lifecycle.state === State.FINISHED || this.#lifecycle.closed) return;
    if (this.#outbound.waitingControl >= MAX_WAITING_CONTROL) throw controlUnread();
    this.#outbound.sendControl(FrameType.CONTROL, encodeControl([record]), true, streamId);
  }
}
