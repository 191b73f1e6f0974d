/**
 * Transfer ids: 8 random bytes that name one tensor on its way, on whatever connection it travels. OPEN gives the id;
 * CLOSE, ACK and both RESUME records refer to it.
 */
import type { FieldReader } from "./field_reader.ts";
import type { FieldWriter } from "./field_writer.ts";

export const TRANSFER_ID_BYTES = 8;

export function writeTransferId(id: Uint8Array, out: FieldWriter): void {
  out.fixed("transfer id", id, TRANSFER_ID_BYTES);
}

export function readTransferId(from: FieldReader): Uint8Array {
  return from.bytes("transfer id", TRANSFER_ID_BYTES);
}
