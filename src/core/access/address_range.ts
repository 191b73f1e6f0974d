/** IP addresses as bytes, and ranges of them in CIDR form: "10.0.0.0/8", "fd00::/8", or one address. */

/** The leading `prefixBits` of `bytes` count: 4 of them for IPv4, 16 for IPv6. */
export interface AddressRange {
  readonly bytes: readonly number[];
  readonly prefixBits: number;
}

/** 4 or 16 bytes; undefined: not an IP address, such as a host name. IPv4 inside IPv6 (::ffff:a.b.c.d) is IPv4. */
export function addressBytes(text: string): readonly number[] | undefined {
  const bare = text.replace(/%.*$/, ""); // a zone says which interface, not who
  if (!bare.includes(":")) return ipv4Bytes(bare);
  const bytes = ipv6Bytes(bare.toLowerCase());
  const isMapped = bytes?.slice(0, 12).join() === "0,0,0,0,0,0,0,0,0,0,255,255";
  return isMapped ? bytes?.slice(12) : bytes;
}

/** Throws RangeError for what is no range, or has bits set behind its prefix: it is likely not what was meant. */
export function parseRange(text: string): AddressRange {
  const [host = "", prefix, ...rest] = text.split("/");
  const bytes = addressBytes(host);
  const expected = 'expected an IP address or a range such as "10.0.0.0/8"';
  if (!bytes || rest.length > 0) throw new RangeError(`${expected}, got ${JSON.stringify(text)}`);
  const most = bytes.length * 8;
  if (prefix === undefined) return { bytes, prefixBits: most };
  // A prefix of an address that was IPv4 inside IPv6 counts from where IPv4 begins.
  const prefixBits = /^\d{1,3}$/.test(prefix)
    ? Number(prefix) - (host.includes(":") && most === 32 ? 96 : 0)
    : -1;
  if (prefixBits < 0 || prefixBits > most) throw new RangeError(`${expected}, got ${JSON.stringify(text)}`);
  const masked = bytes.map((byte, index) => byte & maskAt(index, prefixBits));
  if (masked.some((byte, index) => byte !== bytes[index]))
    throw new RangeError(`${expected}, got ${JSON.stringify(text)}, which has bits set behind its prefix`);
  return { bytes, prefixBits };
}

export function inRange(address: readonly number[], { bytes, prefixBits }: AddressRange): boolean {
  return (
    address.length === bytes.length &&
    address.every((byte, index) => ((byte ^ (bytes[index] ?? 0)) & maskAt(index, prefixBits)) === 0)
  );
}

/** Which bits of byte `index` a prefix covers. */
function maskAt(index: number, prefixBits: number): number {
  const bits = Math.max(0, Math.min(8, prefixBits - index * 8));
  return (0xff << (8 - bits)) & 0xff;
}

function ipv4Bytes(text: string): readonly number[] | undefined {
  const parts = text.split(".");
  // Leading zeros mean octal to some: such an address is nobody's.
  if (parts.length !== 4 || parts.some((part) => !/^(0|[1-9]\d{0,2})$/.test(part))) return undefined;
  const bytes = parts.map(Number);
  return bytes.some((byte) => byte > 255) ? undefined : bytes;
}

function ipv6Bytes(text: string): readonly number[] | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const [head, tail] = halves.map((half) => groupsOf(half ?? ""));
  if (!head || (halves.length === 2 && !tail)) return undefined;
  const missing = 16 - head.length - (tail?.length ?? 0);
  // "::" stands for two bytes at least.
  if (tail ? missing < 2 : missing !== 0) return undefined;
  return [...head, ...new Array<number>(missing).fill(0), ...(tail ?? [])];
}

/** The bytes of groups between colons, of which the last may be an IPv4 address. */
function groupsOf(text: string): number[] | undefined {
  if (text === "") return [];
  const bytes: number[] = [];
  const groups = text.split(":");
  for (const [index, group] of groups.entries()) {
    const last = index === groups.length - 1 && group.includes(".") ? ipv4Bytes(group) : undefined;
    if (last) bytes.push(...last);
    else if (/^[0-9a-f]{1,4}$/.test(group)) {
      const number = Number.parseInt(group, 16);
      bytes.push(number >> 8, number & 0xff);
    } else return undefined;
  }
  return bytes;
}
