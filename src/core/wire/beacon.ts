/**
 * The 50-byte discovery beacon (RFC-0001, Discovery):
 * `SHA-256(community)[:8] | uuid[16] | tcp_port u16 | unix_seconds u32 | challenge u32 | HMAC-SHA256(api_key, first 34)[:16]`.
 */
import type { Crypto } from "../runtime.ts";
import { equalBytes, utf8 } from "./bytes.ts";
import { readU32, writeU32 } from "./header.ts";

export const BEACON_BYTES = 50;
const ID_AT = 8;
const PORT_AT = 24;
const TIME_AT = 26;
const CHALLENGE_AT = 30;
const SIGNATURE_AT = 34;

export interface Beacon {
  /** First 8 bytes of SHA-256 of the community's name. */
  readonly communityHash: Uint8Array;
  readonly nodeId: Uint8Array;
  readonly tcpPort: number;
  readonly unixS: number;
  readonly challenge: number;
}

export function communityHash(community: string, crypto: Crypto): Uint8Array {
  return crypto.sha256(utf8(community)).slice(0, ID_AT);
}

export function encodeBeacon(beacon: Beacon, key: Uint8Array, crypto: Crypto): Uint8Array {
  const packet = new Uint8Array(BEACON_BYTES);
  packet.set(beacon.communityHash, 0);
  packet.set(beacon.nodeId, ID_AT);
  packet[PORT_AT] = beacon.tcpPort >>> 8;
  packet[PORT_AT + 1] = beacon.tcpPort;
  writeU32(packet, TIME_AT, beacon.unixS);
  writeU32(packet, CHALLENGE_AT, beacon.challenge);
  packet.set(crypto.hmacSha256(key, packet.subarray(0, SIGNATURE_AT)).subarray(0, 16), SIGNATURE_AT);
  return packet;
}

/** The fields of a packet; undefined when it is not 50 bytes. The signature is for `isAuthenticBeacon`. */
export function decodeBeacon(packet: Uint8Array): Beacon | undefined {
  if (packet.length !== BEACON_BYTES) return undefined;
  return {
    communityHash: packet.slice(0, ID_AT),
    nodeId: packet.slice(ID_AT, PORT_AT),
    tcpPort: ((packet[PORT_AT] as number) << 8) | (packet[PORT_AT + 1] as number),
    unixS: readU32(packet, TIME_AT),
    challenge: readU32(packet, CHALLENGE_AT),
  };
}

/** Whether a packet of 50 bytes carries the signature of `key`. */
export function isAuthenticBeacon(packet: Uint8Array, key: Uint8Array, crypto: Crypto): boolean {
  const signature = crypto.hmacSha256(key, packet.subarray(0, SIGNATURE_AT)).subarray(0, 16);
  return equalBytes(signature, packet.subarray(SIGNATURE_AT));
}
