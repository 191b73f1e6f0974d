/**
 * Node ids: UUIDs (RFC 9562) of 16 bytes on the wire, their text form elsewhere.
 *
 * Ids that we make are random, of version 4; those of nodes that speak the extension x1 are of version 8. A named
 * node's id starts with a tag of its name (RFC-0001, Node names): whoever knows the name can recognise the node although
 * v1 carries no names. The tag proves nothing.
 */
import type { Crypto } from "../runtime.ts";
import { fromHex, toHex, utf8 } from "./bytes.ts";

export const NODE_ID_BYTES = 16;
const NAME_TAG_BYTES = 6;

/** A fresh id; with `name`, one that carries the name's tag within `community`. */
export function makeNodeId(crypto: Crypto, named?: { community: string; name: string }): Uint8Array {
  return makeId(4, crypto, named);
}

/** The same as a UUID of version 8 (RFC 9562): its node must speak the extension x1 with whoever asks for it. */
export function makeNodeIdV8(crypto: Crypto, named?: { community: string; name: string }): Uint8Array {
  return makeId(8, crypto, named);
}

/** Whether `id` is a UUID of version 8 and of the variant of RFC 9562; false on another length. */
export function isVersion8(id: Uint8Array): boolean {
  if (id.length !== NODE_ID_BYTES) return false;
  return (id[6] as number) >>> 4 === 8 && (id[8] as number) >>> 6 === 0b10;
}

function makeId(version: 4 | 8, crypto: Crypto, named?: { community: string; name: string }): Uint8Array {
  const id = crypto.randomBytes(NODE_ID_BYTES);
  if (named) id.set(nameTag(named.community, named.name, crypto), 0);
  id[6] = ((id[6] as number) & 0x0f) | (version << 4);
  id[8] = ((id[8] as number) & 0x3f) | 0x80;
  return id;
}

/** The first 6 bytes of the ids of nodes with that name. */
export function nameTag(community: string, name: string, crypto: Crypto): Uint8Array {
  return crypto.sha256(utf8(`asoc/name\0${community}\0${name}`)).slice(0, NAME_TAG_BYTES);
}

/** `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` */
export function formatNodeId(id: Uint8Array): string {
  const hex = toHex(id);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/** Takes the text form, with or without dashes. Throws RangeError. */
export function parseNodeId(text: string): Uint8Array {
  const hex = text.replaceAll("-", "");
  if (hex.length !== 32 || /[^0-9a-fA-F]/.test(hex)) {
    throw new RangeError(`node id: expected a UUID, got ${JSON.stringify(text)}`);
  }
  return fromHex(hex);
}
