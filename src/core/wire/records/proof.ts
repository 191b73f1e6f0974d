/**
 * PROOF (op 0x02): 32 bytes that show knowledge of the key, bound to this one handshake. Body: `proof[32]`, and
 * nothing behind it. How the bytes are made is the business of `core/auth/proof.ts`.
 */
import type { FieldReader } from "./field_reader.ts";
import type { FieldWriter } from "./field_writer.ts";

export const PROOF_BYTES = 32;

export interface ProofRecord {
  readonly kind: "proof";
  /** PROOF_BYTES bytes. To be compared in constant time only. */
  readonly proof: Uint8Array;
}

/** Throws RangeError on another length. */
export function writeProof(record: ProofRecord, out: FieldWriter): void {
  out.fixed("proof", record.proof, PROOF_BYTES);
}

/** Throws ASOC_BAD_RECORD on another length. */
export function readProof(from: FieldReader): ProofRecord {
  const proof = from.bytes("proof", PROOF_BYTES);
  from.end();
  return { kind: "proof", proof };
}
