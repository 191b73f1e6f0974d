/**
 * What `asoc serve` does for `asoc bench`: a small tensor that begins with the request's mark comes back with the
 * reply's. v1 has no acknowledgement, so this is how a sender learns that all it sent before has been read. The reply is as
 * long as the request, goes to its sender only, and is no request itself: nothing can be amplified or go in circles.
 */
import type { AsocNode, IncomingStream } from "../mod.ts";

export const MARK_BYTES = 16;
const REQUEST = new TextEncoder().encode("asoc echo? \0\0\0\0\0");
const REPLY = new TextEncoder().encode("asoc echo! \0\0\0\0\0");
/** Begins what `asoc bench` sends in bulk: read and thrown away without a word or a file. */
const BULK = new TextEncoder().encode("asoc bench \0\0\0\0\0");
/** Requests over this are ordinary tensors. */
export const MAX_ECHO_BYTES = 64 * 1024;
/** Replies under way at once: a peer that asks and does not read costs this many requests of memory, and no more. */
export const MAX_REPLIES = 64;

/** A request of `byteCount` bytes (at least 20) that carries `number` to tell replies apart. */
export function echoRequest(byteCount: number, number: number): Uint8Array {
  const bytes = new Uint8Array(Math.max(MARK_BYTES + 4, byteCount));
  bytes.set(REQUEST, 0);
  new DataView(bytes.buffer).setUint32(MARK_BYTES, number);
  return bytes;
}

/** The number of the request that `bytes` reply to; undefined when they are something else. */
export function echoedNumber(bytes: Uint8Array): number | undefined {
  if (bytes.length < MARK_BYTES + 4 || !startsWith(bytes, REPLY)) return undefined;
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(MARK_BYTES);
}

/** Whether a tensor that begins with `bytes` may be a request. */
export function isEchoRequest(bytes: Uint8Array): boolean {
  return bytes.length >= MARK_BYTES && startsWith(bytes, REQUEST);
}

/** Marks memory as bulk of `asoc bench`. */
export function markBulk(bytes: Uint8Array): void {
  bytes.set(BULK, 0);
}

export function isBulk(bytes: Uint8Array): boolean {
  return bytes.length >= MARK_BYTES && startsWith(bytes, BULK);
}

/** Answers echo requests of all peers. */
export class EchoReplies {
  #underWay = 0;
  /** Requests that were passed over because MAX_REPLIES were under way. */
  dropped = 0;

  /** Replies whose bytes are not all with the kernel. */
  get underWay(): number {
    return this.#underWay;
  }

  /** Sends the request back, unless too many replies wait already. A sender that has gone is no news. */
  async answer(node: AsocNode, stream: IncomingStream, request: Uint8Array): Promise<void> {
    if (this.#underWay >= MAX_REPLIES) {
      this.dropped++;
      return;
    }
    this.#underWay++;
    const bytes = request.slice();
    bytes.set(REPLY, 0);
    await node.send(stream.peer, bytes).catch(() => {});
    this.#underWay--;
  }
}

function startsWith(bytes: Uint8Array, mark: Uint8Array): boolean {
  return mark.every((byte, index) => bytes[index] === byte);
}
