/** One or more records of every kind with fixed fields: what the golden vectors are made of. */
import type { CapsRecord } from "../../src/core/wire/records/caps.ts";
import type { OpenRecord } from "../../src/core/wire/records/open.ts";
import type { X1Record } from "../../src/core/wire/records/records.ts";

/** `byteCount` bytes that count up from `first`. */
export function counting(first: number, byteCount: number): Uint8Array {
  return Uint8Array.from({ length: byteCount }, (_, index) => first + index);
}

export const TRANSFER = counting(0xa0, 8);

export const MINIMAL_CAPS: CapsRecord = {
  kind: "caps",
  extVersion: 1,
  keepaliveS: 12,
  maxStreams: 4096,
  maxFrameBytes: 16 * 2 ** 20,
  initialCreditBytes: 2 ** 20,
  capabilities: 0,
  uuid: Uint8Array.of(0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x87, 0x88, 0x99, 0xaa, ...counting(0xb0, 6)),
  nonce: counting(0x20, 16),
  communityHash: counting(0x40, 8),
  keyId: counting(0x50, 4),
  bootEpoch: 1_735_689_600,
  publicKey: undefined,
  addresses: [],
  zone: undefined,
  labels: new Map(),
};

export const FULL_CAPS: CapsRecord = {
  ...MINIMAL_CAPS,
  capabilities: 0x8000_0001,
  publicKey: counting(0x60, 32),
  addresses: [
    { host: "192.0.2.7", port: 9000 },
    { host: "2001:db8::7", port: 65_535 },
    { host: "gpu-7.example", port: 1 },
  ],
  zone: "rack-7",
  labels: new Map([
    ["gpu", "h100"],
    ["rôle", ""],
  ]),
};

export const MINIMAL_OPEN: OpenRecord = {
  kind: "open",
  transferId: TRANSFER,
  totalBytes: undefined,
  baseOffset: 0,
  dtype: undefined,
  shape: [],
  priority: 0,
  codec: 0,
  layout: 0,
  deviceType: 0,
  deviceId: 0,
  deadlineMs: 0,
  topic: "",
  group: undefined,
  strides: undefined,
  shard: undefined,
  step: undefined,
  traceparent: undefined,
  userMetadata: undefined,
  digest: undefined,
};

export const FULL_OPEN: OpenRecord = {
  ...MINIMAL_OPEN,
  totalBytes: 4096,
  baseOffset: 1024,
  dtype: { code: 2, bits: 32, lanes: 1 },
  shape: [32, 32],
  priority: 200,
  layout: 2,
  deviceType: 2,
  deviceId: 7,
  deadlineMs: 30_000,
  topic: "train/größe",
  group: { id: counting(1, 8), fileName: "model.safetensors", index: 3, count: 12, fileMetadata: '{"a":1}' },
  strides: [-32, 1],
  shard: { globalShape: [64, 32], offsets: [32, 0] },
  step: Number.MAX_SAFE_INTEGER,
  traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
  userMetadata: '{"loss":0.25}',
  digest: 2,
};

/** Every kind of record; names are those of the vectors. */
export const SAMPLES: readonly { readonly name: string; readonly record: X1Record }[] = [
  { name: "CAPS, minimal", record: MINIMAL_CAPS },
  { name: "CAPS, every TLV", record: FULL_CAPS },
  { name: "PROOF", record: { kind: "proof", proof: counting(0x80, 32) } },
  { name: "OPEN, bytes without a type, length not known", record: MINIMAL_OPEN },
  {
    name: "OPEN, scalar",
    record: { ...MINIMAL_OPEN, totalBytes: 8, dtype: { code: 0, bits: 64, lanes: 1 }, topic: "step" },
  },
  {
    name: "OPEN, shape with a dimension of 0",
    record: { ...MINIMAL_OPEN, totalBytes: 0, dtype: { code: 4, bits: 16, lanes: 1 }, shape: [3, 0, 5] },
  },
  { name: "OPEN, resumed, every TLV", record: FULL_OPEN },
  {
    name: "CLOSE without digest",
    record: {
      kind: "close",
      transferId: TRANSFER,
      rawBytes: 0,
      algorithm: 0,
      status: 0,
      digest: counting(0, 0),
    },
  },
  {
    name: "CLOSE with CRC-32",
    record: {
      kind: "close",
      transferId: TRANSFER,
      rawBytes: 9,
      algorithm: 1,
      status: 0,
      digest: Uint8Array.of(0xcb, 0xf4, 0x39, 0x26),
    },
  },
  {
    name: "CLOSE with SHA-256",
    record: {
      kind: "close",
      transferId: TRANSFER,
      rawBytes: 2 ** 40,
      algorithm: 2,
      status: 0,
      digest: counting(0, 32),
    },
  },
  { name: "RESET", record: { kind: "reset", code: 1, reason: "cancelled by the user" } },
  { name: "STOP without a reason", record: { kind: "stop", code: 3, reason: "" } },
  { name: "CREDIT", record: { kind: "credit", limitBytes: 2 ** 32 } },
  { name: "CREDIT, the largest", record: { kind: "credit", limitBytes: Number.MAX_SAFE_INTEGER } },
  { name: "BLOCKED", record: { kind: "blocked", limitBytes: 2 ** 20 } },
  {
    name: "ACK received",
    record: { kind: "ack", transferId: TRANSFER, contiguousBytes: 2 ** 20, level: "received" },
  },
  {
    name: "ACK verified",
    record: { kind: "ack", transferId: TRANSFER, contiguousBytes: 4096, level: "verified" },
  },
  {
    name: "ACK consumed",
    record: { kind: "ack", transferId: TRANSFER, contiguousBytes: 4096, level: "consumed" },
  },
  { name: "RESUME?", record: { kind: "resume_query", transferId: TRANSFER } },
  { name: "RESUME! from an offset", record: { kind: "resume_answer", transferId: TRANSFER, offset: 1024 } },
  { name: "RESUME!, not known", record: { kind: "resume_answer", transferId: TRANSFER, offset: 0 } },
  {
    name: "RESUME!, delivered already",
    record: { kind: "resume_answer", transferId: TRANSFER, offset: undefined },
  },
  { name: "PING", record: { kind: "ping", opaque: counting(0xd0, 8), unixMs: 1_735_689_600_123 } },
  { name: "PONG without a time", record: { kind: "pong", opaque: counting(0xd0, 8), unixMs: 0 } },
  { name: "GOAWAY", record: { kind: "goaway", lastStream: 4_294_967_295, drainMs: 10_000, code: 2 } },
  {
    name: "ERROR",
    record: { kind: "error", code: 5, stream: 7, frameSeq: 3, text: "more DATA than credit: ≤ 1 MiB" },
  },
  { name: "AGENT", record: { kind: "agent", text: "node 26.10.0" } },
  { name: "KEY_NEW", record: { kind: "key_new", counter: 0, sealed: counting(0, 64) } },
  { name: "KEY_ACK", record: { kind: "key_ack", counter: 1, sealed: counting(0, 24) } },
  { name: "TAP", record: { kind: "tap", glob: "train/**/loss", oneIn: 10, bytesPerSecond: 2 ** 33 } },
  { name: "UNTAP", record: { kind: "untap", glob: "train/**/loss" } },
];
