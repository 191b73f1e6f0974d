/** The golden sessions of `test/vectors/x1.json`: who takes part in them, and what they do. */

import { toHex } from "../../src/core/wire/bytes.ts";
import { HANDSHAKE_COMMUNITY, HANDSHAKE_KEY, TOKEN_RANDOM } from "./x1_handshake.ts";
import { type RecordedSession, type RecordedTensor, record } from "./x1_recorded.ts";
import { counting } from "./x1_samples.ts";

const MiB = 1024 * 1024;
/** So little that a tensor of 24 bytes has to wait for CREDIT. */
const INITIAL_CREDIT = 16;
const PING_OPAQUE = toHex(counting(0xd0, 8));

const SIDES: Omit<RecordedSession, "name" | "steps"> = {
  key: HANDSHAKE_KEY,
  community: HANDSHAKE_COMMUNITY,
  unixMs: 1_735_689_600_123,
  dialler: {
    nodeId: "112233445566878899aab0b1b2b3b4b5",
    bootEpoch: 1,
    initialCredit: INITIAL_CREDIT,
    random: { 4: "12345678", 8: PING_OPAQUE, 16: toHex(counting(0x10, 16)) },
  },
  acceptor: {
    nodeId: "00112233445586778899aabbccddeeff",
    bootEpoch: 2,
    initialCredit: INITIAL_CREDIT,
    random: { 4: toHex(TOKEN_RANDOM), 8: PING_OPAQUE, 16: toHex(counting(0xe0, 16)) },
  },
};

export function goldenSessions(): RecordedSession[] {
  return [wholeSession(), prioritySession(), resumedSession()];
}

function wholeSession(): RecordedSession {
  return record({ name: "tensors in both directions", ...SIDES }, [
    {
      side: "dialler",
      does: "send",
      tensor: { ...bytes(0xa0, 24), dtype: "float32", shape: [2, 3], topic: "train/w" },
    },
    {
      side: "acceptor",
      does: "send",
      tensor: { ...bytes(0xb0, 4), dtype: "float32", shape: [], topic: "loss", digest: "sha256" },
    },
    { side: "acceptor", does: "send", tensor: bytes(0xb8, 8 * MiB + 40) },
    { side: "dialler", does: "send", tensor: { ...bytes(0xa8, 0), dtype: "bfloat16", shape: [0, 3] } },
    { side: "dialler", does: "ping" },
    { side: "dialler", does: "close" },
  ]);
}

/** A low tensor under way lets a high one pass; one is stopped, one reset; CREDIT of the connection comes. */
function prioritySession(): RecordedSession {
  const low = { ...bytes(0xa0, 400), topic: "low", priority: 100 };
  const high = { ...bytes(0xa8, 300), topic: "high", priority: 200, digest: "none" } as const;
  const unwanted = bytes(0xb0, 40);
  const givenUp = bytes(0xb8, 48);
  return record({ name: "priorities, STOP and RESET", ...SIDES }, [
    { side: "dialler", does: "send", tensor: low, available: 16 },
    { side: "dialler", does: "send", tensor: high, available: 20 },
    [
      { side: "dialler", does: "more", transferId: low.transferId },
      { side: "dialler", does: "more", transferId: high.transferId },
    ],
    { side: "dialler", does: "send", tensor: unwanted, available: 10 },
    { side: "acceptor", does: "stop", transferId: unwanted.transferId, reason: "no more" },
    { side: "dialler", does: "send", tensor: givenUp, available: 20 },
    { side: "dialler", does: "reset", transferId: givenUp.transferId },
    { side: "dialler", does: "send", tensor: bytes(0xc0, 15) },
    { side: "acceptor", does: "close" },
  ]);
}

/** The connection is lost in the middle of a tensor, first of one of the dialler's, then of one of the acceptor's. */
function resumedSession(): RecordedSession {
  const there = { ...bytes(0xa0, 24), dtype: "float32", shape: [2, 3], topic: "train/w" };
  const back = { ...bytes(0xb0, 100), digest: "sha256" } as const;
  const draws = (first: string, nonce: number) => ({
    4: first,
    8: PING_OPAQUE,
    16: toHex(counting(nonce, 16)),
  });
  return record({ name: "cuts, and resuming", ...SIDES }, [
    { side: "dialler", does: "send", tensor: there, available: 16 },
    [
      { cut: { dialler: draws("12345679", 0x20), acceptor: draws("c4c5c6c7", 0xd0) } },
      { side: "dialler", does: "more", transferId: there.transferId },
    ],
    { side: "acceptor", does: "send", tensor: back, available: 70 },
    [
      { cut: { dialler: draws("1234567a", 0x30), acceptor: draws("c8c9cacb", 0xc0) } },
      { side: "acceptor", does: "more", transferId: back.transferId },
    ],
    { side: "dialler", does: "close" },
  ]);
}

/** Bytes without a type or topic; the transfer id counts up from `first`. */
function bytes(first: number, byteCount: number): RecordedTensor {
  return { transferId: toHex(counting(first, 8)), bytes: byteCount, topic: "", digest: "crc32" };
}
