/** Small texts that others choose: globs and topics, addresses, node ids, data types, token files. */
import { parseTokens } from "../../../gateway/access/tokens.ts";
import { formatAddress, parseAddress } from "../../../src/core/address.ts";
import { dtypeName, parseDType } from "../../../src/core/tensor/dtype.ts";
import { compileGlob } from "../../../src/core/wire/glob.ts";
import { formatNodeId, parseNodeId } from "../../../src/core/wire/node_id.ts";
import type { FuzzRandom } from "../random.ts";
import { type FuzzTarget, must, type Outcome, refusal } from "../target.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const isRange = (error: unknown) => error instanceof RangeError;

/** What RFC-0004 says of globs, place by place: slow, and plain to see. */
function fitsSlowly(glob: string, topic: string): boolean {
  let places = new Set([0]);
  const close = (from: ReadonlySet<number>) => {
    const all = new Set(from);
    for (const place of all) if (glob[place] === "*") all.add(place + (glob[place + 1] === "*" ? 2 : 1));
    return all;
  };
  places = close(places);
  for (const character of topic.split("")) {
    const next = new Set<number>();
    for (const place of places) {
      const isStar = glob[place] === "*";
      // A run of two stars or more crosses segments.
      const crosses = isStar && (glob[place + 1] === "*" || glob[place - 1] === "*");
      if (isStar && (crosses || character !== "/")) next.add(place);
      else if (!isStar && glob[place] === character) next.add(place + 1);
    }
    places = close(next);
  }
  return places.has(glob.length);
}

export const GLOBS: FuzzTarget = {
  name: "globs",
  share: 70,
  seeds: [
    "train/*\0train/loss",
    "**/w\0a/b/w",
    "a*b**c\0abc",
    "*\0",
    "**\0a/b",
    "x\0x",
    "*a*a*a*b\0aaaaaaaa",
  ].map((text) => encoder.encode(text)),
  make(random: FuzzRandom) {
    const text = (tokens: readonly string[], most: number) =>
      Array.from({ length: random.below(most) }, () => random.pick(tokens)).join("");
    const glob = text(["*", "**", "/", "a", "b", "é", "𝄞", "."], 14);
    return encoder.encode(`${glob}\0${text(["/", "a", "b", "é", "𝄞", ".", "*"], 14)}`);
  },
  run(input): Outcome {
    const [glob = "", topic = ""] = decoder.decode(input).split("\0");
    try {
      const fits = compileGlob(glob)(topic);
      if (glob.length * topic.length < 4000)
        must(
          fits === fitsSlowly(glob, topic),
          `${JSON.stringify(glob)} on ${JSON.stringify(topic)}: ${fits}`,
        );
      return { label: `${fits} ${Math.min(3, glob.split("*").length)}`, detail: () => String(fits) };
    } catch (error) {
      return refusal(error, isRange);
    }
  },
};

export const TEXTS: FuzzTarget = {
  name: "texts",
  share: 100,
  seeds: [
    "127.0.0.1:9000",
    "[2001:db8::7]:1",
    "host.example:65535",
    "11223344-5566-8788-99aa-b0b1b2b3b4b5",
    "float32",
    "float32x4",
    "opaque24",
    "bfloat16x65535",
    '{"tokens":[{"hash":"00","scopes":["read"],"name":"a","createdAt":"b"}]}',
    '{"tokens":[]}',
  ].map((text) => encoder.encode(text)),
  run(input): Outcome {
    const text = decoder.decode(input);
    const labels: string[] = [];
    const each = (read: () => string, allowed: (error: unknown) => boolean) => {
      try {
        labels.push(read());
      } catch (error) {
        labels.push(refusal(error, allowed).label.slice(0, 12));
      }
    };
    each(() => {
      const address = parseAddress(text);
      must(parseAddress(formatAddress(address)).host === address.host, "an address is not what it was");
      return "address";
    }, isRange);
    each(() => {
      const id = parseNodeId(text);
      must(formatNodeId(parseNodeId(formatNodeId(id))) === formatNodeId(id), "an id is not what it was");
      return "id";
    }, isRange);
    each(() => {
      must(dtypeName(parseDType(text)) === text, "a data type has two names");
      return "dtype";
    }, isRange);
    each(
      () => {
        parseTokens(text);
        return "tokens";
      },
      (error) => error instanceof TypeError,
    );
    return { label: labels.join(" "), detail: () => labels.join(" ") };
  },
};
