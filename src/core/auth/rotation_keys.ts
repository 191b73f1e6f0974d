/**
 * The keys that seal KEY_NEW and KEY_ACK of one connection (RFC-0102, Records):
 * `HKDF-Expand(PRK, "rotate" || role, 32)`, the role being that of whoever seals.
 */
import type { Crypto } from "../runtime.ts";
import { joinBytes, utf8 } from "../wire/bytes.ts";
import { HASH_BYTES, hkdfExpand } from "./hkdf.ts";
import type { ProofRole } from "./proof.ts";

/** 32 bytes each, secret. */
export interface RotationKeys {
  /** Seals what this side says. */
  readonly own: Uint8Array;
  /** Opens what the other side says. */
  readonly theirs: Uint8Array;
}

/** `prk` is that of a handshake with X25519 (`handshakeSecret`); `role` is this side's. */
export function rotationKeys(prk: Uint8Array, role: ProofRole, crypto: Crypto): RotationKeys {
  const sealing = (by: ProofRole) =>
    hkdfExpand(prk, joinBytes([utf8("rotate"), utf8(by)]), HASH_BYTES, crypto);
  return { own: sealing(role), theirs: sealing(role === "dialler" ? "acceptor" : "dialler") };
}
