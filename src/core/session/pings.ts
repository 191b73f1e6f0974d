/** PING and PONG of one session: round trip and the other side's clock (RFC-0004, PING). */
import type { Crypto } from "../runtime.ts";
import { equalBytes } from "../wire/bytes.ts";
import { PING_OPAQUE_BYTES, type PingRecord } from "../wire/records/ping.ts";

interface Tools {
  readonly crypto: Pick<Crypto, "randomBytes">;
  readonly unixMs?: () => number;
}

export class Pings {
  #asked: { readonly opaque: Uint8Array; readonly atMs: number } | undefined;
  /** Of the last PING that was answered. */
  roundTripMs: number | undefined;
  /** The other side's wall clock minus ours, half a round trip considered. */
  clockSkewMs: number | undefined;

  /** The next question; one that is not answered is forgotten. */
  ping({ crypto, unixMs }: Tools, nowMs: number): PingRecord {
    const opaque = crypto.randomBytes(PING_OPAQUE_BYTES);
    this.#asked = { opaque, atMs: nowMs };
    return { kind: "ping", opaque, unixMs: unixMs?.() ?? 0 };
  }

  answer(ping: PingRecord, { unixMs }: Tools): PingRecord {
    return { kind: "pong", opaque: ping.opaque, unixMs: unixMs?.() ?? 0 };
  }

  /** False for one that was not asked for. */
  handlePong(pong: PingRecord, { unixMs }: Tools, nowMs: number): boolean {
    const asked = this.#asked;
    if (!asked || !equalBytes(asked.opaque, pong.opaque)) return false;
    this.#asked = undefined;
    this.roundTripMs = nowMs - asked.atMs;
    if (pong.unixMs > 0 && unixMs) this.clockSkewMs = pong.unixMs + this.roundTripMs / 2 - unixMs();
    return true;
  }
}
