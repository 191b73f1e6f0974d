/**
 * The digest of one tensor, taken as its bytes pass (RFC-0005, Integrity).
 *
 * Bytes may pass more than once, on a resumed transfer or on the way to several peers: each counts once.
 */
import type { Crypto, HashStream } from "../runtime.ts";
import { toHex } from "../wire/bytes.ts";
import { DigestAlgorithm } from "../wire/records/close.ts";

export type DigestName = "none" | "crc32" | "sha256";

const ALGORITHMS: Readonly<Record<DigestName, number>> = {
  none: DigestAlgorithm.NONE,
  crc32: DigestAlgorithm.CRC32,
  sha256: DigestAlgorithm.SHA256,
};

const NAMES: ReadonlyMap<number, DigestName> = new Map(
  (Object.entries(ALGORITHMS) as [DigestName, number][]).map(([name, number]) => [number, name]),
);

/** The name of an algorithm's number; undefined for one that is not known. */
export function digestName(algorithm: number): DigestName | undefined {
  return NAMES.get(algorithm);
}

export class TensorDigest {
  readonly name: DigestName;
  readonly #crypto: Pick<Crypto, "crc32" | "sha256Stream">;
  #crc = 0;
  #hash: HashStream | undefined;
  #position = 0;
  #result: Uint8Array | undefined;

  constructor(name: DigestName, crypto: Pick<Crypto, "crc32" | "sha256Stream">) {
    this.name = name;
    this.#crypto = crypto;
    if (name === "sha256") this.#hash = crypto.sha256Stream();
  }

  /** One of `DigestAlgorithm`. */
  get algorithm(): number {
    return ALGORITHMS[this.name];
  }
  /** False: `update` has nothing to do. */
  get wanted(): boolean {
    return this.name !== "none";
  }
  /** Bytes from the start of the tensor that are in it. */
  get position(): number {
    return this.#position;
  }

  /** `bytes` lie at `offset` of the tensor; those that have passed before are left out. Throws RangeError on a gap. */
  update(bytes: Uint8Array, offset: number): void {
    const skip = this.#position - offset;
    if (skip < 0) throw new RangeError(`digest: bytes at ${offset}, expected ${this.#position} or before`);
    if (skip >= bytes.byteLength) return;
    const fresh = skip === 0 ? bytes : bytes.subarray(skip);
    this.#position += fresh.byteLength;
    if (this.name === "crc32") this.#crc = this.#crypto.crc32(fresh, this.#crc);
    else this.#hash?.update(fresh);
  }

  /** The digest of all that has passed; nothing may pass afterwards. */
  finish(): Uint8Array {
    this.#result ??= this.#finish();
    return this.#result;
  }

  #finish(): Uint8Array {
    if (this.#hash) return this.#hash.digest();
    if (this.name === "none") return new Uint8Array(0);
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setUint32(0, this.#crc);
    return bytes;
  }
}

/** As people and reports read it, such as "crc32:0a1b2c3d"; undefined for none. */
export function digestText(name: DigestName, digest: Uint8Array): string | undefined {
  return name === "none" ? undefined : `${name}:${toHex(digest)}`;
}
