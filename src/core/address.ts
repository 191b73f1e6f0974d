/** Addresses as text: `HOST:PORT`, `[IPv6]:PORT`. */
import type { Address } from "./runtime.ts";

export function formatAddress(address: Address): string {
  return address.host.includes(":") ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}

/** Throws RangeError that names the text and what is expected. */
export function parseAddress(text: string): Address {
  const match = /^(?:\[([0-9a-fA-F:.%a-z]+)\]|([^:[\]\s/@]+)):(\d{1,5})$/.exec(text.trim());
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (!host || port < 1 || port > 65_535) {
    throw new RangeError(`address: expected HOST:PORT, got ${JSON.stringify(text)}`);
  }
  return { host, port };
}

export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127\.\d+\.\d+\.\d+$/.test(host);
}
