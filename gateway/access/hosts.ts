/**
 * Which Host and Origin a request may have: a page of a stranger that resolves its own name to this machine (DNS
 * rebinding) has neither.
 */
import { GatewayError } from "../errors.ts";

const LOOPBACK_NAMES = ["localhost", "127.0.0.1", "[::1]"];
const MAX_CHARACTERS = 300;

/** Whether an address to listen on can be reached from this machine only. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || host === "[::1]" || /^127(\.\d{1,3}){3}$/.test(host);
}

/** The name in a Host header or an authority, in lower case and without its port; undefined: it is none. */
export function hostName(authority: string): string | undefined {
  if (authority.length > MAX_CHARACTERS) return undefined;
  const match = /^(\[[0-9a-fA-F:.]+\]|[^\s:/@[\]?#]+)(:\d{1,5})?$/.exec(authority);
  return match?.[1]?.toLowerCase().replace(/\.$/, "");
}

export class Hosts {
  readonly #names: Set<string>;
  readonly #origins: ReadonlySet<string>;
  /** It listens on all addresses of the machine: any of them may be named, since rebinding needs a name. */
  #anyAddress = false;
  /** Requests that were refused. */
  refusedHosts = 0;
  refusedOrigins = 0;

  constructor(names: readonly string[], origins: readonly string[]) {
    this.#names = new Set([...LOOPBACK_NAMES, ...names.map((name) => hostName(name) ?? name.toLowerCase())]);
    this.#origins = new Set(origins.map(normalOrigin));
  }

  /** Where the server listens. */
  bound(host: string): void {
    if (host === "0.0.0.0" || host === "::" || host === "[::]") this.#anyAddress = true;
    else this.#names.add(host.includes(":") && !host.startsWith("[") ? `[${host}]` : host.toLowerCase());
  }

  /** Throws GATEWAY_FORBIDDEN_HOST. */
  checkHost(header: string | undefined): void {
    const name = header === undefined ? undefined : hostName(header);
    if (name !== undefined && (this.#names.has(name) || (this.#anyAddress && isAddress(name)))) return;
    this.refusedHosts++;
    throw new GatewayError(
      403,
      "GATEWAY_FORBIDDEN_HOST",
      "This gateway does not answer to that Host; --gateway-host NAME allows it",
    );
  }

  /** Whether pages of `origin` may read what the gateway answers. */
  allowsOrigin(origin: string): boolean {
    return this.#origins.has(origin);
  }

  /** Throws GATEWAY_FORBIDDEN_ORIGIN unless a page may ask: ours, or one of the list. */
  checkOrigin(origin: string | undefined, host: string | undefined): void {
    if (origin === undefined || this.#origins.has(origin)) return;
    if (origin === `http://${host}` || origin === `https://${host}`) return;
    this.refusedOrigins++;
    throw new GatewayError(
      403,
      "GATEWAY_FORBIDDEN_ORIGIN",
      "Pages of that Origin may not use this gateway; --gateway-origin ORIGIN allows them",
    );
  }
}

function isAddress(name: string): boolean {
  return name.startsWith("[") || /^\d{1,3}(\.\d{1,3}){3}$/.test(name);
}

/** An origin as browsers write it. Throws TypeError when it is none. */
function normalOrigin(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || url.origin === "null" || !/^https?:$/.test(url.protocol))
    throw new TypeError(`origins: expected one like "https://example.org", got ${JSON.stringify(text)}`);
  return url.origin;
}
