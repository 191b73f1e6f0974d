/** Frames: the header, and the reader that cuts a connection's bytes into them (RFC-0001, Frames). */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fromHex, toHex } from "../../../src/core/wire/bytes.ts";
import { FrameReader } from "../../../src/core/wire/frame_reader.ts";
import { decodeHeader, encodeHeader, HEADER_BYTES, type Header } from "../../../src/core/wire/header.ts";
import { ROOT } from "../../support/process.ts";
import { joined } from "../mutate.ts";
import type { FuzzRandom } from "../random.ts";
import { type FuzzTarget, must, type Outcome, refusal } from "../target.ts";

/** As a session does it: checked on the header. */
const MAX_PAYLOAD = 8192;

const v1 = JSON.parse(readFileSync(join(ROOT, "test", "vectors", "v1.json"), "utf8")) as {
  frames: { frame: string }[];
  headersOnly: { header: string }[];
  streams: { wire: string }[];
};

/** All that was read of `input`, which comes in cuts that `cut` says, in place or pushed. */
function read(
  input: Uint8Array,
  cut: (left: number) => number,
  inPlace: boolean,
): { text: string; end: string } {
  let text = "";
  let payload = new Uint8Array(0);
  let filled = 0;
  /** Of all payload bytes and where frames end (FNV-1a): cheaper than to keep them. */
  let digest = 0x811c_9dc5;
  const reader = new FrameReader({
    onHeader({ type, streamId, seq, payloadBytes }: Header) {
      if (payloadBytes > MAX_PAYLOAD) throw new RangeError("over the limit of this test");
      text += `${type} ${streamId} ${seq} ${payloadBytes};`;
      payload = new Uint8Array(payloadBytes);
      filled = 0;
    },
    payloadTarget(remainingBytes) {
      must(
        remainingBytes > 0 && remainingBytes <= payload.length - filled,
        "more than the payload is asked for",
      );
      return payload.subarray(filled, filled + remainingBytes);
    },
    targetMoved: false,
    onPayload(byteCount) {
      filled += byteCount;
      must(filled <= payload.length, "a payload has more bytes than its header says");
    },
    onFrameEnd() {
      must(filled === payload.length, "a frame ends before its payload");
      for (const byte of payload) digest = Math.imul(digest ^ byte, 0x0100_0193);
      digest = Math.imul(digest ^ payload.length, 0x0100_0193);
    },
  });
  try {
    for (let at = 0; at < input.length; ) {
      const end = at + Math.max(1, cut(input.length - at));
      const part = input.subarray(at, end);
      if (!inPlace) {
        reader.push(part);
        at += part.length;
        continue;
      }
      const target = reader.next();
      must(target.length > 0, "no memory for the next bytes");
      const fits = part.subarray(0, target.length);
      target.set(fits);
      reader.commit(fits.length);
      at += fits.length;
    }
  } catch (error) {
    return { text: text + digest, end: refusal(error, (each) => each instanceof RangeError).label };
  }
  return { text: text + digest, end: reader.atBoundary ? "whole" : "cut" };
}

function run(input: Uint8Array): Outcome {
  const whole = read(input, (left) => left, false);
  const first = input[0] ?? 0;
  let turn = 0;
  const inParts = read(input, () => 1 + ((first + 7 * turn++) % 29), (first & 1) === 0);
  must(whole.text === inParts.text, "it depends on how the bytes are cut");
  must(whole.end === inParts.end, "it ends otherwise when the bytes are cut");
  if (input.length >= HEADER_BYTES) {
    const header = { type: 0, streamId: 0, seq: 0, payloadBytes: 0 };
    try {
      decodeHeader(input, 0, header);
      const again = new Uint8Array(HEADER_BYTES);
      encodeHeader(again, 0, header.type, header.streamId, header.seq, header.payloadBytes);
      must(toHex(again) === toHex(input.subarray(0, HEADER_BYTES)), "a header is not what it was");
    } catch (error) {
      refusal(error);
    }
  }
  const types = [...whole.text.matchAll(/(?:^|;)(\d+) /g)]
    .slice(0, 2)
    .map(([, type]) => Math.min(6, Number(type)));
  return { label: `${whole.end} ${types}`, detail: () => whole.text };
}

function make(random: FuzzRandom): Uint8Array {
  const parts: Uint8Array[] = [];
  for (let left = 1 + random.below(7); left > 0; left--) {
    const payload = random.bytes(random.pick([0, 0, 1, 2, 16, 36, 50, random.below(100)]));
    const header = new Uint8Array(HEADER_BYTES);
    const type = random.oneIn(6) ? random.below(256) : 1 + random.below(5);
    const lie = random.oneIn(12) ? random.u32() : payload.length;
    encodeHeader(header, 0, type, random.below(9), random.below(4), lie);
    if (random.oneIn(40)) header[0] = random.below(256);
    parts.push(header, payload);
  }
  const all = joined(...parts);
  return random.oneIn(4) ? all.subarray(0, random.below(all.length)) : all;
}

export const FRAMES: FuzzTarget = {
  name: "frames",
  share: 170,
  seeds: [
    ...v1.frames.map(({ frame }) => fromHex(frame)),
    ...v1.headersOnly.map(({ header }) => fromHex(header)),
    ...v1.streams.map(({ wire }) => fromHex(wire)),
  ],
  make,
  run,
};
