/** Clock, primitives and interfaces: the same on all runtimes, through node: modules. */
import { randomBytes } from "node:crypto";
import { networkInterfaces } from "node:os";
import type { Clock, Crypto, NetworkInterface } from "../../core/runtime.ts";
import { createCrypto } from "./crypto.ts";

/** Longest delay that setTimeout takes; a longer one would fire at once. */
const MAX_DELAY_MS = 2 ** 31 - 1;

export const clock: Clock = {
  nowMs: () => performance.now(),
  unixMs: () => Date.now(),
  after(delayMs, run) {
    const timer = setTimeout(run, Math.min(Math.ceil(delayMs), MAX_DELAY_MS));
    return { cancel: () => clearTimeout(timer) };
  },
};

export const crypto: Crypto = createCrypto((byteCount) => new Uint8Array(randomBytes(byteCount)));

/** IPv4 interfaces that are up, with their broadcast addresses. */
export function interfaces(): NetworkInterface[] {
  const found: NetworkInterface[] = [];
  for (const entries of Object.values(networkInterfaces())) {
    for (const entry of entries ?? []) {
      if (entry.family !== "IPv4") continue;
      const address = toNumber(entry.address);
      const mask = toNumber(entry.netmask);
      found.push({ address: entry.address, broadcast: toText((address & mask) | ~mask) });
    }
  }
  return found;
}

function toNumber(address: string): number {
  return address.split(".").reduce((number, octet) => (number << 8) | Number(octet), 0);
}

function toText(address: number): string {
  return [24, 16, 8, 0].map((shift) => (address >>> shift) & 0xff).join(".");
}
