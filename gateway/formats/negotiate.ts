/** Which format a client wants, and which part of it: Accept, Range and the conditional headers (RFC 9110). */
import { parseAccept } from "hono/utils/accept";
import { GatewayError } from "../errors.ts";
import { FORMATS, type Format, MEDIA_TYPES } from "./representation.ts";

const MAX_ACCEPT_CHARACTERS = 1000;

interface Wish {
  readonly type: string;
  readonly q: number;
}

/** The best of what Accept names; npy where anything goes. Throws GATEWAY_NOT_ACCEPTABLE. */
export function formatFor(accept: string | undefined): Format {
  if (accept === undefined || accept.trim() === "") return "npy";
  if (accept.length <= MAX_ACCEPT_CHARACTERS) {
    const wishes = parseAccept(accept).map(({ type, q }) => ({ type: type.toLowerCase(), q }));
    const wanted = wishes.filter(({ q }) => q > 0).sort((a, b) => b.q - a.q);
    for (const { type, q } of wanted) {
      // A range stands for the first format that is not wished for less by its own name.
      const found = FORMATS.find((format) => covers(type, format) && qualityOf(format, wishes) >= q);
      if (found) return found;
    }
  }
  throw new GatewayError(
    406,
    "GATEWAY_NOT_ACCEPTABLE",
    `Cannot give that type; there are ${FORMATS.map((format) => MEDIA_TYPES[format]).join(", ")}`,
  );
}

function covers(range: string, format: Format): boolean {
  return range === MEDIA_TYPES[format] || range === "*/*" || range === "application/*";
}

/** Of the most exact range that covers it (RFC 9110, section 12.5.1). */
function qualityOf(format: Format, wishes: readonly Wish[]): number {
  for (const range of [MEDIA_TYPES[format], "application/*", "*/*"]) {
    const wish = wishes.find(({ type }) => type === range);
    if (wish) return wish.q;
  }
  return 0;
}

/** Whether If-None-Match names `etag`. */
export function isUnchanged(ifNoneMatch: string | undefined, etag: string): boolean {
  if (ifNoneMatch === undefined) return false;
  return ifNoneMatch.split(",").some((one) => {
    const tag = one.trim().replace(/^W\//, "");
    return tag === "*" || tag === etag;
  });
}

/** The one range that is asked for; undefined: all of it. Throws GATEWAY_RANGE when it lies outside. */
export function rangeOf(
  range: string | undefined,
  ifRange: string | undefined,
  etag: string,
  length: number,
): { from: number; to: number } | undefined {
  if (range === undefined || (ifRange !== undefined && ifRange.trim() !== etag)) return undefined;
  const match = /^bytes=(\d{0,16})-(\d{0,16})$/.exec(range.trim());
  // Several ranges, other units and what is no range may be passed over: the whole is an answer to them.
  if (!match || (match[1] === "" && match[2] === "")) return undefined;
  if (match[1] === "") {
    const suffix = Number(match[2]);
    if (suffix === 0 || length === 0) throw outside(length);
    return { from: Math.max(0, length - suffix), to: length };
  }
  const from = Number(match[1]);
  const last = match[2] === "" ? Number.POSITIVE_INFINITY : Number(match[2]);
  if (last < from) return undefined;
  if (from >= length) throw outside(length);
  return { from, to: Math.min(length, last + 1) };
}

function outside(length: number): GatewayError {
  return new GatewayError(416, "GATEWAY_RANGE", `Cannot give that range: there are ${length} bytes`, {
    headers: { "content-range": `bytes */${length}` },
  });
}
