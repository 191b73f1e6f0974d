/**
 * KEY_NEW and KEY_ACK of one session (RFC-0102, Records): seals and opens what they carry. There is one only where both
 * sides have taken part in an X25519 exchange and both proofs have held: who has recorded the connection and learns its
 * key later cannot open them. Whether a key is wanted is decided elsewhere.
 *
 * The counter has to be the next one of its direction: a record that is repeated, left out or moved ends the connection.
 */
import { keyId } from "../auth/proof.ts";
import type { RotationKeys } from "../auth/rotation_keys.ts";
import { AuthError, ProtocolError } from "../errors.ts";
import type { Crypto } from "../runtime.ts";
import { equalBytes } from "../wire/bytes.ts";
import {
  decodeKeyGrant,
  decodeKeyReceipt,
  encodeKeyGrant,
  encodeKeyReceipt,
  type KeyGrant,
  type KeyReceipt,
  type KeyRecord,
  keyNonce,
} from "../wire/records/key.ts";
import { RecordOp } from "../wire/records/ops.ts";
import type { SessionEvent } from "./session_types.ts";

export class KeyChannel {
  readonly #keys: RotationKeys;
  readonly #crypto: Crypto;
  readonly #send: (record: KeyRecord) => void;
  #sent = 0;
  #read = 0;

  /** `send` takes a record on stream 0. */
  constructor(keys: RotationKeys, crypto: Crypto, send: (record: KeyRecord) => void) {
    this.#keys = keys;
    this.#crypto = crypto;
    this.#send = send;
  }

  /** Sends KEY_NEW. */
  offer(grant: KeyGrant): void {
    const plaintext = encodeKeyGrant(grant);
    this.#send(this.#seal("key_new", plaintext));
    plaintext.fill(0);
  }

  /** Sends KEY_ACK. */
  answer(receipt: KeyReceipt): void {
    this.#send(this.#seal("key_ack", encodeKeyReceipt(receipt)));
  }

  /** What has come. Throws ASOC_BAD_KEY_RECORD, ASOC_BAD_RECORD and ASOC_RECORD_LIMIT. */
  handle(record: KeyRecord): SessionEvent {
    const { kind, counter, sealed } = record;
    if (counter !== this.#read) {
      throw new AuthError(
        "ASOC_BAD_KEY_RECORD",
        `Cannot read ${kind.toUpperCase()}: expected counter ${this.#read}, got ${counter}`,
        { details: { expected: this.#read, got: counter } },
      );
    }
    const plaintext = this.#crypto.aes256GcmOpen(
      this.#keys.theirs,
      keyNonce(counter),
      sealed,
      Uint8Array.of(opOf(kind)),
    );
    if (!plaintext) {
      throw new AuthError(
        "ASOC_BAD_KEY_RECORD",
        `Cannot read ${kind.toUpperCase()}: it was changed on the way, or sealed for another connection`,
      );
    }
    this.#read++;
    if (kind === "key_ack") return { kind: "keyAnswered", receipt: decodeKeyReceipt(plaintext) };
    const grant = decodeKeyGrant(plaintext);
    if (!equalBytes(grant.keyId, keyId(grant.key, this.#crypto)))
      throw new ProtocolError("ASOC_BAD_RECORD", "Cannot read KEY_NEW: expected the id of its key");
    return { kind: "keyOffered", grant };
  }

  #seal(kind: KeyRecord["kind"], plaintext: Uint8Array): KeyRecord {
    const counter = this.#sent++;
    const sealed = this.#crypto.aes256GcmSeal(
      this.#keys.own,
      keyNonce(counter),
      plaintext,
      Uint8Array.of(opOf(kind)),
    );
    return { kind, counter, sealed };
  }
}

function opOf(kind: KeyRecord["kind"]): number {
  return kind === "key_new" ? RecordOp.KEY_NEW : RecordOp.KEY_ACK;
}
