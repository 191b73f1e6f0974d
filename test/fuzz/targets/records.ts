/** Records of the extension x1: CONTROL payloads, what OPEN describes, and what KEY_NEW and KEY_ACK hold (RFC-0004). */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describeOpen } from "../../../src/core/session/description.ts";
import { fromHex, toHex } from "../../../src/core/wire/bytes.ts";
import { compileGlob } from "../../../src/core/wire/glob.ts";
import {
  decodeKeyGrant,
  decodeKeyReceipt,
  encodeKeyGrant,
  encodeKeyReceipt,
} from "../../../src/core/wire/records/key.ts";
import { decodeRecords, encodeControl, type X1Record } from "../../../src/core/wire/records/records.ts";
import { ROOT } from "../../support/process.ts";
import { joined, mutated } from "../mutate.ts";
import type { FuzzRandom } from "../random.ts";
import { type FuzzTarget, must, type Outcome, refusal, textOf } from "../target.ts";

const x1 = JSON.parse(readFileSync(join(ROOT, "test", "vectors", "x1.json"), "utf8")) as {
  records: { hex: string }[];
  rejected: { hex: string }[];
  keyRotation: { plaintext: string }[];
};
const SEEDS = [...x1.records, ...x1.rejected]
  .map(({ hex }) => fromHex(hex))
  .filter(({ length }) => length < 4096);

/** What comes of one record when the session takes it. */
function use(record: X1Record): string {
  if (record.kind === "open") {
    try {
      describeOpen(record);
      return "+";
    } catch (error) {
      return refusal(error).label.slice(0, 40);
    }
  }
  if (record.kind === "tap") {
    compileGlob(record.glob)("train/loss");
    return "+";
  }
  return "";
}

function run(input: Uint8Array): Outcome {
  let records: X1Record[];
  try {
    records = decodeRecords(input);
  } catch (error) {
    return refusal(error);
  }
  const again = encodeControl(records);
  must(again.length <= 16 * 1024, "what was read does not fit a frame");
  must(Buffer.compare(encodeControl(decodeRecords(again)), again) === 0, "what was written reads otherwise");
  const label = records.map((record) => record.kind + use(record)).slice(0, 3);
  return {
    label: label.join(" "),
    detail: () => {
      const text = textOf(records);
      must(textOf(decodeRecords(again)) === text, "what was read and written reads otherwise");
      return text;
    },
  };
}

/** Bodies that are mutated under a header that fits them: the fields are reached, and not only the framing. */
function make(random: FuzzRandom, pick: () => Uint8Array): Uint8Array {
  const parts: Uint8Array[] = [];
  for (let left = 1 + random.below(3); left > 0; left--) {
    const seed = pick();
    if (seed.length < 4) continue;
    const end = 4 + (((seed[2] ?? 0) << 8) | (seed[3] ?? 0));
    let body = seed.subarray(4, end);
    if (!random.oneIn(4)) body = mutated(body, pick(), random);
    body = body.subarray(0, 8000);
    const op = random.oneIn(20) ? random.below(256) : (seed[0] ?? 0);
    const flags = random.oneIn(20) ? random.below(256) : 0;
    parts.push(Uint8Array.of(op, flags, body.length >>> 8, body.length), body);
  }
  return joined(...parts);
}

export const RECORDS: FuzzTarget = { name: "records", share: 300, seeds: SEEDS, make, run };

function runKey(input: Uint8Array): Outcome {
  const seen: string[] = [];
  const each = <T>(decode: (bytes: Uint8Array) => T, encode: (value: T) => Uint8Array) => {
    try {
      const value = decode(input);
      must(toHex(encode(value)) === toHex(input), "a key is written otherwise than it was read");
      seen.push(textOf(value));
    } catch (error) {
      seen.push(refusal(error).label);
    }
  };
  each(decodeKeyGrant, encodeKeyGrant);
  each(decodeKeyReceipt, encodeKeyReceipt);
  return { label: seen.map((text) => text.slice(0, 12)).join(" "), detail: () => seen.join() };
}

export const KEYS: FuzzTarget = {
  name: "keys",
  share: 20,
  seeds: x1.keyRotation.map(({ plaintext }) => fromHex(plaintext)),
  run: runKey,
};
