/** Facts as text for people: peers, sizes, rates. */
import { formatAddress, type Peer } from "../mod.ts";

/** A peer for people: its id, and where it is unless the id says so. */
export function peerText(peer: Peer): string {
  const address = formatAddress(peer.address);
  return peer.id === address ? address : `${peer.id} (${address})`;
}

/** "268.4 MB": decimal units, as network rates are given. */
export function bytesText(byteCount: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = byteCount;
  let unit = 0;
  while (value >= 999.95 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return unit === 0 ? `${value} B` : `${value.toFixed(1)} ${units[unit]}`;
}

/** "12 B in 0.01 s", with the rate where it says something. */
export function transferText(byteCount: number, seconds: number): string {
  const took = `${bytesText(byteCount)} in ${seconds.toFixed(2)} s`;
  return seconds >= 0.01 && byteCount >= 1e6 ? `${took}, ${bytesText(byteCount / seconds)}/s` : took;
}

/** `text` of a stranger, safe for a terminal: control characters are shown, not obeyed. */
export function plainText(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cf}]/gu,
    (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`,
  );
}

/** Seconds since `startMs` of performance.now(), for events. */
export function secondsSince(startMs: number): number {
  return Math.round(performance.now() - startMs) / 1000;
}
