/**
 * KEY_NEW and KEY_ACK over a raw connection, beside `raw_x1.ts`: written from RFC-0102 alone, so that a test can record what a
 * node of ours would never say twice, and play it again.
 */
import { createCipheriv, createDecipheriv, createHmac } from "node:crypto";
import { OP, type RawRecord, record, u8, u32, u64 } from "./raw_x1.ts";

const TAG_BYTES = 16;
const NEVER = 0xffff_ffff_ffff_ffffn;

export interface Grant {
  readonly key: string;
  readonly epoch: number;
  /** Undefined: for ever. */
  readonly notAfterS: number | undefined;
}

/** 8 hex digits, as nodes print them. */
export function keyIdOf(key: string): string {
  return createHmac("sha256", key).update("asoc/key id").digest().subarray(0, 4).toString("hex");
}

/** What a KEY_ACK says. */
export interface Receipt {
  readonly keyId: string;
  readonly epoch: number;
}

/** Seals and opens the records of one session, as its dialler. */
export class RawSealer {
  readonly #prk: Buffer;
  #counter = 0;

  /** `prk` is that of a handshake with X25519. */
  constructor(prk: Buffer) {
    this.#prk = prk;
  }

  /** The next KEY_NEW from op to the end of its body. */
  keyNew({ key, epoch, notAfterS }: Grant): Buffer {
    const keyBytes = Buffer.from(key);
    const id = Buffer.from(keyIdOf(key), "hex");
    const counter = this.#counter++;
    const cipher = createCipheriv("aes-256-gcm", this.#sealing("dialler"), nonce(counter));
    cipher.setAAD(u8(OP.KEY_NEW));
    const plaintext = Buffer.concat([id, u32(epoch), u64(notAfterS ?? NEVER), keyBytes]);
    const sealed = Buffer.concat([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
    return record(OP.KEY_NEW, Buffer.concat([u64(counter), sealed]));
  }

  /** What a KEY_ACK of the acceptor says; throws where it does not open. */
  receipt({ body }: RawRecord): Receipt {
    const counter = Number(body.readBigUInt64BE(0));
    const sealed = body.subarray(8);
    const decipher = createDecipheriv("aes-256-gcm", this.#sealing("acceptor"), nonce(counter));
    decipher.setAAD(u8(OP.KEY_ACK));
    decipher.setAuthTag(sealed.subarray(-TAG_BYTES));
    const plaintext = Buffer.concat([decipher.update(sealed.subarray(0, -TAG_BYTES)), decipher.final()]);
    return { keyId: plaintext.toString("hex", 0, 4), epoch: plaintext.readUInt32BE(4) };
  }

  #sealing(by: "dialler" | "acceptor"): Buffer {
    return createHmac("sha256", this.#prk).update(`rotate${by}\u0001`).digest();
  }
}

function nonce(counter: number): Buffer {
  return Buffer.concat([u32(0), u64(counter)]);
}
