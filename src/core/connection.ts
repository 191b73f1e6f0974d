/** What a node keeps for each of its connections. */
import type { PeerAccess } from "./access/access.ts";
import type { ResumeAnswer } from "./delivery.ts";
import type { Driver } from "./driver.ts";
import type { AsocError } from "./errors.ts";
import type { IncomingStream } from "./incoming.ts";
import type { Outgoing } from "./outgoing.ts";
import type { Address } from "./runtime.ts";
import type { OutboundStream } from "./session/outbound.ts";
import type { ArrivingStream } from "./session/session_types.ts";
import type { Link, Target } from "./swarm/swarm.ts";

export interface Connection {
  readonly driver: Driver;
  readonly direction: "outbound" | "inbound";
  /** When it was made. */
  readonly sinceMs: number;
  readonly remote: Address;
  /** What its peer may do. */
  readonly access: PeerAccess;
  readonly target: Target | undefined;
  /** What we dialled, as we dialled it. */
  readonly dialled: Address | undefined;
  /** Of our HELLO, for outbound ones. */
  readonly challenge: number | undefined;
  link: Link | undefined;
  /** Whose memory its tensors use; known once it is open. */
  account: string | undefined;
  /** Since when its key is no longer believed, in ms since 1970, and whether that is because its time was over. */
  keyEndedMs?: number;
  keyEnded?: boolean;
  readonly outgoing: Map<OutboundStream, Outgoing>;
  readonly incoming: Map<ArrivingStream, IncomingStream>;
  /** Transfers that we have asked about, and who waits for the answer. */
  readonly asked: Map<string, { resolve(answer: ResumeAnswer): void; reject(error: AsocError): void }>;
}
