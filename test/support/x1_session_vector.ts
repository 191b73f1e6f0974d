/** The golden session of `test/vectors/x1.json`: who takes part in it, and what they do. */

import { toHex } from "../../src/core/wire/bytes.ts";
import { HANDSHAKE_COMMUNITY, HANDSHAKE_KEY, TOKEN_RANDOM } from "./x1_handshake.ts";
import { type RecordedSession, record } from "./x1_recorded.ts";
import { counting } from "./x1_samples.ts";

const MiB = 1024 * 1024;
/** So little that a tensor of 24 bytes has to wait for CREDIT. */
const INITIAL_CREDIT = 16;
const PING_OPAQUE = toHex(counting(0xd0, 8));

export function goldenSession(): RecordedSession {
  return record(
    {
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
    },
    [
      {
        side: "dialler",
        does: "send",
        tensor: {
          transferId: toHex(counting(0xa0, 8)),
          bytes: 24,
          dtype: "float32",
          shape: [2, 3],
          topic: "train/w",
          digest: "crc32",
        },
      },
      {
        side: "acceptor",
        does: "send",
        tensor: {
          transferId: toHex(counting(0xb0, 8)),
          bytes: 4,
          dtype: "float32",
          shape: [],
          topic: "loss",
          digest: "sha256",
        },
      },
      {
        side: "acceptor",
        does: "send",
        tensor: { transferId: toHex(counting(0xb8, 8)), bytes: 8 * MiB + 40, topic: "", digest: "crc32" },
      },
      {
        side: "dialler",
        does: "send",
        tensor: {
          transferId: toHex(counting(0xa8, 8)),
          bytes: 0,
          dtype: "bfloat16",
          shape: [0, 3],
          topic: "",
          digest: "crc32",
        },
      },
      { side: "dialler", does: "ping" },
      { side: "dialler", does: "close" },
    ],
  );
}
