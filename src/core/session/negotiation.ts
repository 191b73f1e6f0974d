/**
 * The extension x1 on one connection: who speaks it, and the mutual proof (RFC-0004, Negotiation; RFC-0100).
 *
 *   dialler   HELLO CAPS ─────────────────────▶   acceptor
 *             ◀─────────────── ACCEPT, CAPS PROOF
 *             PROOF, then everything else ────▶
 *
 * Sans-IO and without the connection's state: `Session` says what has come, this says what to answer, or throws.
 * Nothing in the other side's CAPS may act before its PROOF has held; `peer` is undefined until then.
 */
import {
  handshakeSecret,
  keyId,
  makeProof,
  type ProofRole,
  transcriptHash,
  verifyProof,
} from "../auth/proof.ts";
import { type RotationKeys, rotationKeys } from "../auth/rotation_keys.ts";
import { AuthError, LimitError, ProtocolError } from "../errors.ts";
import { type Limits, MIN_X1_FRAME_BYTES } from "../limits.ts";
import type { ConnTls, Crypto, X25519KeyPair } from "../runtime.ts";
import { equalBytes } from "../wire/bytes.ts";
import { encodeHeader, FrameType, HEADER_BYTES } from "../wire/header.ts";
import { formatNodeId } from "../wire/node_id.ts";
import { Capability, type CapsRecord, EXT_VERSION, NONCE_BYTES } from "../wire/records/caps.ts";
import { type RawRecord, wholeRecord } from "../wire/records/framing.ts";
import { encodeRecord } from "../wire/records/records.ts";
import { checkIdentity } from "./identity.ts";

/** What a node says of itself in CAPS, beside its id and its limits. */
export interface X1Config {
  /** `SHA-256(community)[:8]`, as in beacons. */
  readonly communityHash: Uint8Array;
  /** Differs from one start of the node to the next. */
  readonly bootEpoch: number;
  /** Offers X25519: costs each side about 0.1 ms and 36 bytes, and rotation of keys needs it. */
  readonly keyExchange?: boolean;
  /** Considers keys that a rotation brings (RFC-0102). */
  readonly rotation?: boolean;
  /** Streams are tensor streams (RFC-0005) with a peer that can do the same. */
  readonly tensors?: boolean;
  /** False: CAPS asks the other side to open no stream (RFC-0005, section 3.3). */
  readonly takesTensors?: boolean;
}

const MAX_U16 = 0xffff;

/** How many streams of the other side may be open at once, as CAPS says it. */
export function maxStreamsOf({ takesTensors }: X1Config, { maxInboundStreams }: Limits): number {
  return takesTensors === false ? 0 : Math.min(MAX_U16, maxInboundStreams);
}

export interface NegotiationConfig {
  readonly role: ProofRole;
  readonly nodeId: Uint8Array;
  readonly key: Uint8Array;
  readonly crypto: Crypto;
  readonly limits: Limits;
  readonly keepaliveMs: number;
  readonly x1: X1Config;
  readonly tls?: ConnTls | undefined;
  /** Asked before an acceptor computes X25519; false: it does without. */
  readonly mayExchange?: (() => boolean) | undefined;
}

const NO_BINDING = new Uint8Array(0);
const MAX_U32 = 0xffff_ffff;

export class Negotiation {
  readonly #config: NegotiationConfig;
  readonly #nonce: Uint8Array;
  #keyPair: X25519KeyPair | undefined;
  #ownCaps: Uint8Array | undefined;
  #hello: Uint8Array | undefined;
  #accept: Uint8Array | undefined;
  #claimed: CapsRecord | undefined;
  #secrets: { readonly prk: Uint8Array; readonly th: Uint8Array } | undefined;
  #exchanged = false;
  #rotationKeys: RotationKeys | undefined;
  #proven = false;

  constructor(config: NegotiationConfig) {
    this.#config = config;
    this.#nonce = config.crypto.randomBytes(NONCE_BYTES);
  }

  /**
   * Our CAPS as it goes out, from op to the end of its body. A dialler's is made at once, an acceptor's when it has that of
   * the dialler: where that offers no key exchange, a key pair would be for nothing.
   */
  get ownCaps(): Uint8Array {
    this.#ownCaps ??= this.#makeCaps();
    return this.#ownCaps;
  }

  #makeCaps(): Uint8Array {
    const { role, crypto, x1, limits, nodeId, key, mayExchange } = this.#config;
    const exchanges = role === "dialler" || (this.#claimed?.publicKey && mayExchange?.() !== false);
    if (x1.keyExchange && exchanges) this.#keyPair = crypto.x25519KeyPair();
    return encodeRecord({
      kind: "caps",
      extVersion: EXT_VERSION,
      keepaliveS: Math.max(1, Math.min(255, Math.floor(this.#config.keepaliveMs / 1000))),
      maxStreams: maxStreamsOf(x1, limits),
      maxFrameBytes: Math.min(MAX_U32, limits.maxPayloadBytes),
      initialCreditBytes: Math.min(MAX_U32, limits.initialCreditBytes),
      capabilities: (x1.tensors ? Capability.TENSORS : 0) | (x1.rotation ? Capability.ROTATION : 0),
      uuid: nodeId,
      nonce: this.#nonce,
      communityHash: x1.communityHash,
      keyId: keyId(key, crypto),
      bootEpoch: x1.bootEpoch,
      publicKey: this.#keyPair?.publicKey,
      addresses: [],
      labels: new Map(),
    });
  }

  /** The CAPS of the other side, once its proof has held. */
  get peer(): CapsRecord | undefined {
    return this.#proven ? this.#claimed : undefined;
  }
  /** The other side's CAPS has come. */
  get begun(): boolean {
    return this.#claimed !== undefined;
  }

  /** What seals keys on this connection, once `forget` was called; undefined where there was no key exchange. */
  get rotationKeys(): RotationKeys | undefined {
    return this.#rotationKeys;
  }

  /** The payloads of both handshake frames, as they went over the wire. */
  setHello(payload: Uint8Array): void {
    this.#hello = frameOf(FrameType.HELLO, payload);
  }
  setAccept(payload: Uint8Array): void {
    this.#accept = frameOf(FrameType.ACCEPT, payload);
  }

  /**
   * The other side's CAPS: `raw` as it came and `caps` as it reads. `helloId` is the id of its HELLO, for an acceptor.
   * Throws AuthError ASOC_WRONG_COMMUNITY, ASOC_WRONG_KEY or ASOC_DUPLICATE_NODE_ID, ProtocolError ASOC_BAD_HANDSHAKE.
   */
  handleCaps(raw: RawRecord, caps: CapsRecord, helloId: Uint8Array | undefined): void {
    if (this.#claimed) {
      throw new ProtocolError("ASOC_UNEXPECTED_RECORD", "Cannot go on: a second CAPS came, expected one");
    }
    const { key, crypto, nodeId, x1, role, tls } = this.#config;
    if (!equalBytes(caps.communityHash, x1.communityHash)) {
      throw new AuthError(
        "ASOC_WRONG_COMMUNITY",
        "CAPS refused: the other side has the same key and another community",
      );
    }
    if (!equalBytes(caps.keyId, keyId(key, crypto))) {
      throw new AuthError(
        "ASOC_WRONG_KEY",
        "CAPS refused: it names another key than the one it was signed with",
      );
    }
    if (helloId && !equalBytes(caps.uuid, helloId)) {
      const [expected, got] = [formatNodeId(helloId), formatNodeId(caps.uuid)];
      throw new ProtocolError(
        "ASOC_BAD_HANDSHAKE",
        `CAPS refused: HELLO came from ${expected}, CAPS from ${got}`,
        {
          details: { expected, got },
        },
      );
    }
    if (equalBytes(caps.uuid, nodeId)) {
      const id = formatNodeId(nodeId);
      throw new AuthError("ASOC_DUPLICATE_NODE_ID", `CAPS refused: the other side has this node's id ${id}`);
    }
    checkIdentity("CAPS", caps.uuid, tls);
    if (caps.maxFrameBytes < MIN_X1_FRAME_BYTES) {
      const details = { limit: "MIN_X1_FRAME_BYTES", expected: MIN_X1_FRAME_BYTES, got: caps.maxFrameBytes };
      throw new LimitError(
        "ASOC_RECORD_LIMIT",
        `CAPS refused: max_frame is ${caps.maxFrameBytes}, expected at least ${MIN_X1_FRAME_BYTES}`,
        { details },
      );
    }
    this.#claimed = caps;
    const theirs = wholeRecord(raw).slice();
    const dials = role === "dialler";
    const th = transcriptHash(
      {
        helloFrame: this.#hello ?? NO_BINDING, // an empty one throws: the session has set both
        acceptFrame: this.#accept ?? NO_BINDING,
        diallerCaps: dials ? this.ownCaps : theirs,
        acceptorCaps: dials ? theirs : this.ownCaps,
        tlsBinding: tls?.certificateSha256 ?? NO_BINDING,
      },
      crypto,
    );
    const sharedSecret =
      this.#keyPair && caps.publicKey ? crypto.x25519(this.#keyPair.privateKey, caps.publicKey) : undefined;
    const prk = handshakeSecret(
      {
        key,
        sharedSecret,
        diallerNonce: dials ? this.#nonce : caps.nonce,
        acceptorNonce: dials ? caps.nonce : this.#nonce,
      },
      crypto,
    );
    this.#exchanged = sharedSecret !== undefined;
    sharedSecret?.fill(0);
    this.#keyPair?.privateKey.fill(0);
    this.#secrets = { prk, th };
  }

  /** Our PROOF, from op to the end of its body. */
  ownProof(): Uint8Array {
    const { prk, th } = this.#known();
    return encodeRecord({ kind: "proof", proof: makeProof(prk, this.#config.role, th, this.#config.crypto) });
  }

  /** The other side's PROOF. Throws AuthError ASOC_BAD_PROOF. */
  handleProof(proof: Uint8Array): void {
    const { prk, th } = this.#known();
    const theirs: ProofRole = this.#config.role === "dialler" ? "acceptor" : "dialler";
    if (!verifyProof(proof, prk, theirs, th, this.#config.crypto)) {
      throw new AuthError(
        "ASOC_BAD_PROOF",
        this.#config.tls
          ? `PROOF refused: the ${theirs} does not know the key, or somebody in the middle ends TLS on the way`
          : `PROOF refused: the ${theirs} does not know the key, or was relayed`,
      );
    }
    this.#proven = true;
  }

  /** Both proofs are done: what made them is wiped, but for what seals keys. */
  forget(): void {
    const { role, crypto } = this.#config;
    if (this.#secrets && this.#exchanged) this.#rotationKeys = rotationKeys(this.#secrets.prk, role, crypto);
    this.#secrets?.prk.fill(0);
    this.#secrets = undefined;
    this.#keyPair?.privateKey.fill(0);
  }

  #known(): { readonly prk: Uint8Array; readonly th: Uint8Array } {
    if (!this.#secrets)
      throw new ProtocolError("ASOC_UNEXPECTED_RECORD", "Cannot check PROOF: no CAPS came before");
    return this.#secrets;
  }
}

function frameOf(type: number, payload: Uint8Array): Uint8Array {
  const frame = new Uint8Array(HEADER_BYTES + payload.length);
  encodeHeader(frame, 0, type, 0, 0, payload.length);
  frame.set(payload, HEADER_BYTES);
  return frame;
}
