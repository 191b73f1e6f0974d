/** What a session hears of the tensor streams that arrive in it. */
import type { AsocError } from "../errors.ts";
import type { X1Record } from "../wire/records/records.ts";
import type { InboundTensor } from "./inbound_tensor.ts";

export interface InboundTensorEvents {
  started(stream: InboundTensor): void;
  /** A broken transfer goes on here. */
  resumed(stream: InboundTensor): void;
  changed(stream: InboundTensor): void;
  failed(streamId: number, error: AsocError): void;
  /** A record for the other side about its stream `streamId`; 0: the connection. */
  say(streamId: number, record: X1Record): void;
}
