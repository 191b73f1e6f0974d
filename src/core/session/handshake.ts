/**
 * The beginning of one connection: HELLO and ACCEPT (RFC-0001, Handshake), then the extension's CAPS and PROOF where both
 * sides speak it (RFC-0004). `Session` brings the frames and holds the state; this checks, answers, and says what is next.
 */
import type { RotationKeys } from "../auth/rotation_keys.ts";
import { AuthError } from "../errors.ts";
import { decodeAccept, encodeAccept, isX1Token, makeX1Token, TOKEN_BYTES } from "../wire/accept.ts";
import { FrameType } from "../wire/header.ts";
import { decodeHello, encodeHello, HELLO_BYTES } from "../wire/hello.ts";
import { formatNodeId, isVersion8 } from "../wire/node_id.ts";
import { type RawRecord, splitRecords } from "../wire/records/framing.ts";
import { RecordOp } from "../wire/records/ops.ts";
import { decodeRecord } from "../wire/records/records.ts";
import { unexpectedRecord } from "./faults.ts";
import { checkIdentity } from "./identity.ts";
import { Negotiation } from "./negotiation.ts";
import type { Opened, SessionConfig } from "./session_types.ts";
import { State } from "./transitions.ts";

/** What a CONTROL frame of the handshake has led to. */
export interface HandshakeStep {
  readonly next: State;
  /** Records behind PROOF: they belong to the open session. */
  readonly rest: readonly RawRecord[];
}

export class Handshake {
  readonly #config: SessionConfig;
  readonly #send: (type: number, payload: Uint8Array) => void;
  readonly #bytes = new Uint8Array(HELLO_BYTES);
  #negotiation: Negotiation | undefined;
  #key: Uint8Array;
  #filled = 0;
  #helloId: Uint8Array | undefined;
  #mayFallBack = true;

  /** `send` takes a payload on stream 0. A dialler says HELLO, and CAPS with it, at once. */
  constructor(config: SessionConfig, send: (type: number, payload: Uint8Array) => void) {
    this.#config = config;
    this.#send = send;
    const { role, nodeId, key, crypto } = config;
    this.#key = key;
    if (role === "acceptor") return; // the dialler's HELLO says which key it is
    this.#negotiation = this.#negotiate(key);
    const hello = encodeHello({ nodeId, challenge: config.challenge ?? 0 }, key, crypto);
    this.#negotiation?.setHello(hello);
    send(FrameType.HELLO, hello);
    if (this.#negotiation) send(FrameType.CONTROL, this.#negotiation.ownCaps);
  }

  /** Whether the other side may turn out not to speak x1. */
  get mayFallBack(): boolean {
    return this.#mayFallBack;
  }
  /** The key of this connection: the dialler's choice, and for an acceptor a guess until HELLO has come. */
  get key(): Uint8Array {
    return this.#key;
  }
  /** The keys that it signs or checks with yet: before HELLO an acceptor has a choice. */
  get keys(): readonly Uint8Array[] {
    const { role, key, otherKeys = [] } = this.#config;
    return role === "acceptor" && !this.#helloId ? [key, ...otherKeys] : [this.#key];
  }
  /** What seals keys; undefined before both proofs, and without a key exchange. */
  get rotationKeys(): RotationKeys | undefined {
    return this.#negotiation?.rotationKeys;
  }
  get opened(): Opened {
    const caps = this.#negotiation?.peer;
    return { nodeId: caps?.uuid ?? this.#helloId, caps };
  }

  /** Where the next `byteCount` bytes of HELLO or ACCEPT go. */
  target(byteCount: number): Uint8Array {
    return this.#bytes.subarray(this.#filled, this.#filled + byteCount);
  }
  filled(byteCount: number): void {
    this.#filled += byteCount;
  }

  /** HELLO is complete: answers it. Throws what refuses it. */
  handleHello(): State {
    const { crypto, admit, mustProve, isLegacy, tls } = this.#config;
    const payload = this.#bytes.subarray(0, this.#filled);
    const { hello, key } = this.#readHello(payload);
    if (!key) throw new AuthError("ASOC_WRONG_KEY", "HELLO refused: signed with another key");
    this.#key = key;
    checkIdentity("HELLO", hello.nodeId, tls);
    const refused = admit?.(hello.nodeId, hello.challenge);
    if (refused) throw refused;
    this.#helloId = hello.nodeId;
    const negotiation = this.#negotiate(key);
    this.#negotiation = negotiation;
    const token = negotiation ? makeX1Token(key, crypto) : crypto.randomBytes(TOKEN_BYTES);
    const accept = encodeAccept(token, key, crypto);
    this.#send(FrameType.ACCEPT, accept);
    if (!negotiation) return State.OPEN;
    negotiation.setHello(payload);
    negotiation.setAccept(accept);
    this.#mayFallBack = !isVersion8(hello.nodeId) && mustProve?.(hello.nodeId) !== true;
    return this.#mayFallBack && isLegacy?.(hello.nodeId) ? State.OPEN : State.CAPS_AWAITED;
  }

  /** ACCEPT is complete. Throws what refuses it. */
  handleAccept(): State {
    const { crypto, mustProve } = this.#config;
    const key = this.#key;
    const payload = this.#bytes.subarray(0, this.#filled);
    const { token, authentic } = decodeAccept(payload, key, crypto);
    if (!authentic) throw new AuthError("ASOC_WRONG_KEY", "ACCEPT refused: signed with another key");
    this.#mayFallBack = !isX1Token(token, key, crypto);
    if (!this.#negotiation) return State.OPEN;
    if (this.#mayFallBack) {
      if (mustProve?.(undefined)) throw this.#downgrade();
      return State.OPEN;
    }
    this.#negotiation.setAccept(payload);
    return State.CAPS_AWAITED;
  }

  /**
   * A CONTROL frame before the session is open; its payload may be kept. `onZero`: it has stream 0 and seq 0, as the frame
   * with CAPS must. Undefined: no CAPS where one could have come, so the other side does not speak x1. Throws what ends
   * the connection.
   */
  handleControl(state: State, payload: Uint8Array, onZero: boolean): HandshakeStep | undefined {
    const negotiation = this.#negotiation as Negotiation; // no state awaits CONTROL without one
    let next = state;
    if (next === State.CAPS_AWAITED && payload[0] !== RecordOp.CAPS) {
      if (this.#mayFallBack) return undefined;
      throw unexpectedRecord("CAPS", payload[0] ?? 0);
    }
    if (next === State.CAPS_AWAITED && !onZero)
      throw unexpectedRecord("CAPS on stream 0 with seq 0", RecordOp.CAPS);
    const raws = splitRecords(payload);
    for (const [index, raw] of raws.entries()) {
      if (next === State.OPEN) return { next, rest: raws.slice(index) };
      const record = decodeRecord(raw);
      if (record?.kind === "caps") {
        this.#mayFallBack = false;
        negotiation.handleCaps(raw, record, this.#helloId);
        if (this.#config.role === "acceptor")
          this.#send(FrameType.CONTROL, joined(negotiation.ownCaps, negotiation.ownProof()));
        next = State.PROOF_AWAITED;
      } else if (record?.kind === "proof") {
        negotiation.handleProof(record.proof);
        if (this.#config.role === "dialler") this.#send(FrameType.CONTROL, negotiation.ownProof());
        next = State.OPEN;
        negotiation.forget();
      } else if (record) throw unexpectedRecord("PROOF", raw.op);
    }
    return { next, rest: [] };
  }

  /** The other side does not speak x1. Throws ASOC_DOWNGRADE where it must. */
  fallBack(): void {
    if (!this.#mayFallBack) throw this.#downgrade();
  }

  #negotiate(key: Uint8Array): Negotiation | undefined {
    const { role, nodeId, crypto, limits, x1, mayExchange, tls } = this.#config;
    const { keepaliveMs } = limits;
    return x1 && new Negotiation({ role, nodeId, key, crypto, limits, keepaliveMs, x1, mayExchange, tls });
  }

  /** HELLO, and the key that has signed it. All keys are tried, whichever it is: time tells nothing about the ring. */
  #readHello(payload: Uint8Array) {
    const { key, otherKeys = [], crypto } = this.#config;
    const hello = decodeHello(payload, key, crypto);
    let signedWith = hello.authentic ? key : undefined;
    for (const other of otherKeys) {
      if (decodeHello(payload, other, crypto).authentic) signedWith ??= other;
    }
    return { hello, key: signedWith };
  }

  #downgrade(): AuthError {
    const who = this.#helloId ? formatNodeId(this.#helloId) : "the other side";
    return new AuthError(
      "ASOC_DOWNGRADE",
      `Handshake refused: ${who} does not prove itself, although it must (it speaks x1, has proven itself before, or legacy is "deny")`,
    );
  }
}

function joined(one: Uint8Array, two: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(one.length + two.length);
  bytes.set(one, 0);
  bytes.set(two, one.length);
  return bytes;
}
