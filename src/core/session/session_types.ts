/** What a session is made with, says, and counts. */
import type { AsocError } from "../errors.ts";
import type { Limits, Timing } from "../limits.ts";
import type { ConnTls, Crypto } from "../runtime.ts";
import type { TensorMemory } from "../tensor/memory_account.ts";
import type { CapsRecord } from "../wire/records/caps.ts";
import type { KeyGrant, KeyReceipt } from "../wire/records/key.ts";
import type { TapRecord, UntapRecord } from "../wire/records/tap.ts";
import type { StreamRefusal } from "./inbound_context.ts";
import type { InboundStream } from "./inbound_stream.ts";
import type { InboundTensor } from "./inbound_tensor.ts";
import type { X1Config } from "./negotiation.ts";
import type { OutboundStream } from "./outbound.ts";
import type { TransferBook } from "./transfer_book.ts";

/** A tensor on its way in, of v1 or of x1. */
export type ArrivingStream = InboundStream | InboundTensor;

export interface SessionConfig {
  readonly role: "dialler" | "acceptor";
  readonly nodeId: Uint8Array;
  /** The dialler's HELLO is signed with it; an acceptor believes it. */
  readonly key: Uint8Array;
  /** What an acceptor believes besides; it answers with the key that HELLO was signed with. */
  readonly otherKeys?: readonly Uint8Array[];
  /** Asked before an acceptor computes X25519; false: it does without. */
  readonly mayExchange?: () => boolean;
  /** The dialler's challenge; the node keeps it to know its own HELLO again. */
  readonly challenge?: number;
  readonly limits: Limits & Timing;
  readonly crypto: Crypto;
  /** What was found on a connection that speaks TLS: it goes into the proof, and an id in a certificate must hold. */
  readonly tls?: ConnTls | undefined;
  /** Until `useMemory` names the peer's. */
  readonly pool: TensorMemory;
  /** Wall clock, ms since 1970; undefined: PING carries no time. */
  readonly unixMs?: () => number;
  /** What we say in CAPS; undefined: this side does not speak x1. */
  readonly x1?: X1Config;
  /** The transfers of a peer that has proven itself; default: every one is new. */
  readonly bookOf?: (nodeId: Uint8Array) => TransferBook;
  /** Whether the other side may not be without proof: asked with the id of its HELLO, or with undefined about whom we dialled. */
  readonly mustProve?: (nodeId: Uint8Array | undefined) => boolean;
  /** Whether the dialler with that id has come without CAPS before: then nobody waits for it. */
  readonly isLegacy?: (nodeId: Uint8Array) => boolean;
  /** Of ours: odd for a dialler, even for an acceptor. Default 1 or 2; a test begins where ids run out. */
  readonly firstStreamId?: number;
  /** Why a stream of the other side may not begin, see `InboundContext`. */
  readonly refusal?: StreamRefusal;
  /** Asked once about an authentic HELLO: an error refuses it. */
  readonly admit?: (nodeId: Uint8Array, challenge: number) => AsocError | undefined;
}

/** Who is on the other side, and how. */
export interface Opened {
  /** Undefined where a v0.1 peer has answered our dial: its ACCEPT names nobody. */
  readonly nodeId: Uint8Array | undefined;
  /** What the other side can do; undefined: it does not speak x1. */
  readonly caps: CapsRecord | undefined;
}

export type SessionEvent =
  /** Both sides have proven the key. */
  | ({ readonly kind: "open" } & Opened)
  | { readonly kind: "stream"; readonly stream: ArrivingStream }
  /** A transfer that broke goes on in this session. */
  | { readonly kind: "resumed"; readonly stream: InboundTensor }
  /** The connection ended in the middle of it; the rest may come on another one. */
  | { readonly kind: "cut"; readonly stream: InboundTensor; readonly error: AsocError }
  | { readonly kind: "readable"; readonly stream: ArrivingStream }
  | { readonly kind: "streamFailed"; readonly streamId: number; readonly error: AsocError }
  /** Bytes of a stream that we send are in the kernel, or it is done or failed. */
  | { readonly kind: "sent"; readonly stream: OutboundStream }
  /** How much is here of a transfer that broke? `answerResume` says. */
  | { readonly kind: "resumeAsked"; readonly transferId: string }
  | { readonly kind: "resumeAnswered"; readonly transferId: string; readonly offset: number | undefined }
  /** Streams have waited for tensor memory for long, and nothing came: said by who drives the session. */
  | { readonly kind: "starved" }
  /** PONG has come: the other side is there, and round trip and skew are known. */
  | { readonly kind: "heard" }
  /** AGENT: the name and version of the other side's runtime. */
  | { readonly kind: "introduced"; readonly runtime: string }
  /** The other side wants no new streams here; `code` is one of `GoawayCode`. */
  | { readonly kind: "goaway"; readonly code: number }
  /** It wants copies of tensors, or no more of them. */
  | { readonly kind: "tapAsked"; readonly record: TapRecord | UntapRecord }
  /** KEY_NEW: a rotation brings a key, commits it, or takes it back (RFC-0102). */
  | { readonly kind: "keyOffered"; readonly grant: KeyGrant }
  /** KEY_ACK. */
  | { readonly kind: "keyAnswered"; readonly receipt: KeyReceipt }
  /** Everything is written and nothing arrives: send FIN. */
  | { readonly kind: "finish" }
  /** The end. With an error the connection must be aborted. */
  | { readonly kind: "closed"; readonly error: AsocError | undefined };

/** Counters of one session, for stats and tests. */
export interface SessionCounters {
  readonly framesIn: number;
  readonly framesOut: number;
  readonly payloadBytesIn: number;
  readonly payloadBytesOut: number;
  readonly unknownFrames: number;
  readonly controlFrames: number;
  /** Payload bytes that took the copying way in, and that moved when a buffer grew. */
  readonly copiedBytes: number;
  readonly grownBytes: number;
  /** Payload bytes that were put beside their header because they are few; all others go out from where they lie. */
  readonly coalescedBytes: number;
  /** How often a tensor stream had bytes to send, and waited for CREDIT (RFC-0006). */
  readonly creditStalls: number;
}
