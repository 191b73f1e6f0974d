/**
 * CAPS (op 0x01): who a side is and what it can do. The first record of either side, before any proof: nothing in it
 * may act until PROOF has held.
 *
 * Body: `ext_version u8 | keepalive_s u8 | max_streams u16 | max_frame u32 | initial_credit u32 | capabilities u32 |
 * uuid[16] | nonce[16] | community hash[8] | key id[4] | boot epoch u32`, 64 bytes, then TLVs:
 *
 * | type | name | value |
 * |---|---|---|
 * | 1 | x25519 public key | 32 bytes |
 * | 2 | addresses | 1 to 8 times `port u16 \| length u8 \| host` |
 * | 3 | zone | text, 1 to 64 bytes |
 * | 4 | labels | 1 to 32 times `length u8 \| key \| length u8 \| value`, keys differ |
 *
 * The record, its header included, is at most 1 KiB. Later versions only add TLVs, capability bits and ops, so a
 * higher ext_version is read like this one.
 */
import {
  MAX_CAPS_ADDRESSES,
  MAX_HOST_BYTES,
  MAX_LABEL_KEY_BYTES,
  MAX_LABEL_VALUE_BYTES,
  MAX_LABELS,
  MAX_ZONE_BYTES,
} from "../../limits.ts";
import type { Address } from "../../runtime.ts";
import { type FieldReader, overLimit } from "./field_reader.ts";
import type { FieldWriter } from "./field_writer.ts";
import { readTlvs, writeTlv } from "./tlv.ts";

/** The version of the extension that this file writes. */
export const EXT_VERSION = 1;
export const NONCE_BYTES = 16;
export const X25519_BYTES = 32;
export const KEY_ID_BYTES = 4;
const UUID_BYTES = 16;
const COMMUNITY_HASH_BYTES = 8;

/** Bits of `capabilities`. */
export const Capability = {
  /** Streams are those of RFC-0005, with the credit, confirmation and resume of RFC-0006. */
  TENSORS: 1,
  /** KEY_NEW is considered (RFC-0102). */
  ROTATION: 2,
} as const;

const PUBLIC_KEY = 1;
const ADDRESSES = 2;
const ZONE = 3;
const LABELS = 4;
const TLV_NAMES: ReadonlyMap<number, string> = new Map([
  [PUBLIC_KEY, "x25519 public key"],
  [ADDRESSES, "addresses"],
  [ZONE, "zone"],
  [LABELS, "labels"],
]);

/** An IP address as text or a host name: what can stand there without confusing whoever prints or parses it. */
const HOST = /^[0-9A-Za-z._:-]+$/;

export interface CapsRecord {
  readonly kind: "caps";
  /** 1 to 255; 1 is this layout. */
  readonly extVersion: number;
  /** Seconds between the sender's PINGs; 0 to 255. */
  readonly keepaliveS: number;
  /** Streams that the sender lets the other side have open at once; 0 to 65,535. */
  readonly maxStreams: number;
  /** Largest frame payload that the sender takes, in bytes. */
  readonly maxFrameBytes: number;
  /** Credit of each stream before the first CREDIT, in bytes. */
  readonly initialCreditBytes: number;
  /** Bits; those that are not known are ignored. */
  readonly capabilities: number;
  /** 16 bytes: the node id of the sender, the one of its HELLO. */
  readonly uuid: Uint8Array;
  /** NONCE_BYTES random bytes, new for each handshake. */
  readonly nonce: Uint8Array;
  /** `SHA-256(community)[:8]`. */
  readonly communityHash: Uint8Array;
  /** 4 bytes that hint at the key (`keyId` of core/auth/proof.ts). */
  readonly keyId: Uint8Array;
  /** Differs from one start of the node to the next. */
  readonly bootEpoch: number;
  /** X25519_BYTES bytes, where the sender offers a key exchange. */
  readonly publicKey?: Uint8Array | undefined;
  /** Where the sender accepts connections, best first; an IPv6 host without brackets. */
  readonly addresses: readonly Address[];
  readonly zone?: string | undefined;
  readonly labels: ReadonlyMap<string, string>;
}

/** Throws RangeError on a field that is out of its range. */
export function writeCaps(record: CapsRecord, out: FieldWriter): void {
  if (record.extVersion === 0) throw out.bad("ext_version", "1 to 255", 0);
  out.u8("ext_version", record.extVersion);
  out.u8("keepalive_s", record.keepaliveS);
  out.u16("max_streams", record.maxStreams);
  out.u32("max_frame", record.maxFrameBytes);
  out.u32("initial_credit", record.initialCreditBytes);
  out.u32("capabilities", record.capabilities);
  out.fixed("uuid", record.uuid, UUID_BYTES);
  out.fixed("nonce", record.nonce, NONCE_BYTES);
  out.fixed("community hash", record.communityHash, COMMUNITY_HASH_BYTES);
  out.fixed("key id", record.keyId, KEY_ID_BYTES);
  out.u32("boot epoch", record.bootEpoch);
  const { publicKey, addresses, zone, labels } = record;
  if (publicKey) tlv(out, PUBLIC_KEY, () => out.fixed("x25519 public key", publicKey, X25519_BYTES));
  if (addresses.length > 0) tlv(out, ADDRESSES, () => writeAddresses(addresses, out));
  if (zone !== undefined) tlv(out, ZONE, () => out.text("zone", zone, MAX_ZONE_BYTES, 1));
  if (labels.size > 0) tlv(out, LABELS, () => writeLabels(labels, out));
}

/**
 * Throws ASOC_BAD_RECORD on what does not fit the layout, ASOC_RECORD_LIMIT on too many addresses or labels and on
 * text that is too long.
 */
export function readCaps(from: FieldReader): CapsRecord {
  const extVersion = from.u8("ext_version");
  if (extVersion === 0) throw from.bad("ext_version", "1 to 255", 0);
  const fixed = {
    keepaliveS: from.u8("keepalive_s"),
    maxStreams: from.u16("max_streams"),
    maxFrameBytes: from.u32("max_frame"),
    initialCreditBytes: from.u32("initial_credit"),
    capabilities: from.u32("capabilities"),
    uuid: from.bytes("uuid", UUID_BYTES),
    nonce: from.bytes("nonce", NONCE_BYTES),
    communityHash: from.bytes("community hash", COMMUNITY_HASH_BYTES),
    keyId: from.bytes("key id", KEY_ID_BYTES),
    bootEpoch: from.u32("boot epoch"),
  };
  let publicKey: Uint8Array | undefined;
  let addresses: readonly Address[] = [];
  let zone: string | undefined;
  let labels: ReadonlyMap<string, string> = new Map();
  readTlvs(from, TLV_NAMES, (type, value) => {
    if (type === PUBLIC_KEY) publicKey = value.bytes("key", X25519_BYTES);
    else if (type === ADDRESSES) addresses = readAddresses(value);
    else if (type === ZONE) zone = value.restText("zone", MAX_ZONE_BYTES, 1);
    else labels = readLabels(value);
  });
  return { kind: "caps", extVersion, ...fixed, publicKey, addresses, zone, labels };
}

function tlv(out: FieldWriter, type: number, write: () => void): void {
  writeTlv(out, type, TLV_NAMES.get(type) ?? "", write);
}

function writeAddresses(addresses: readonly Address[], out: FieldWriter): void {
  if (addresses.length > MAX_CAPS_ADDRESSES) {
    throw out.bad("addresses", `at most ${MAX_CAPS_ADDRESSES}`, addresses.length);
  }
  for (const { host, port } of addresses) {
    if (port === 0) throw out.bad("port", "1 to 65535", 0);
    if (!HOST.test(host)) throw out.bad("host", "an IP address or a host name", JSON.stringify(host));
    out.u16("port", port);
    out.text8("host", host, MAX_HOST_BYTES, 1);
  }
}

function readAddresses(from: FieldReader): Address[] {
  const addresses: Address[] = [];
  do {
    if (addresses.length === MAX_CAPS_ADDRESSES) {
      throw overLimit(from.what, "addresses", MAX_CAPS_ADDRESSES, "more");
    }
    const port = from.u16("port");
    if (port === 0) throw from.bad("port", "1 to 65535", 0);
    const host = from.text("host", from.u8("host length"), MAX_HOST_BYTES, 1);
    if (!HOST.test(host)) throw from.bad("host", "an IP address or a host name", JSON.stringify(host));
    addresses.push({ host, port });
  } while (from.remaining > 0);
  return addresses;
}

function writeLabels(labels: ReadonlyMap<string, string>, out: FieldWriter): void {
  if (labels.size > MAX_LABELS) throw out.bad("labels", `at most ${MAX_LABELS}`, labels.size);
  for (const [key, value] of labels) {
    out.text8("label key", key, MAX_LABEL_KEY_BYTES, 1);
    out.text8("label value", value, MAX_LABEL_VALUE_BYTES);
  }
}

function readLabels(from: FieldReader): Map<string, string> {
  const labels = new Map<string, string>();
  do {
    if (labels.size === MAX_LABELS) throw overLimit(from.what, "labels", MAX_LABELS, "more");
    const key = from.text("label key", from.u8("label key length"), MAX_LABEL_KEY_BYTES, 1);
    if (labels.has(key)) throw from.bad("label key", "keys that differ", JSON.stringify(key));
    labels.set(key, from.text("label value", from.u8("label value length"), MAX_LABEL_VALUE_BYTES));
  } while (from.remaining > 0);
  return labels;
}
