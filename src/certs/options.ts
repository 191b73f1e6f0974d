/** What users ask for with `tls`, checked and read: a `TlsConfig`. */
import { X509Certificate } from "node:crypto";
import { join } from "node:path";
import type { TlsConfig, TlsIdentity, TlsVerify } from "../core/runtime.ts";
import { formatNodeId } from "../core/wire/node_id.ts";
import { nodeIdOf } from "../runtime/common/tls_checks.ts";
import {
  configError,
  defaultCertsFolder,
  identityFrom,
  isThere,
  readPem,
  splitCertificates,
} from "./files.ts";
import { checkStillValid, NodeCertificate, type WallClock } from "./node_certificate.ts";

const VERIFY: readonly TlsVerify[] = ["proof", "pin", "ca", "none"];

/** TLS of a node (RFC-0101). Discovery goes on without it: beacons are signed, and hold no secret. */
export interface TlsOptions {
  /**
   * What shows that nobody in the middle ends TLS. "proof" (the default): every peer proves the shared key, bound to the
   * acceptor's certificate, whoever made that; peers that speak only version 1 are refused. "pin": the acceptor's
   * certificate is one of `pins`. "ca": one of `ca` has signed it. "none": nothing is demanded; a session with a peer that
   * has not proven itself either can be read by whoever is on the path, and an `unverified` event says so.
   */
  readonly verify?: TlsVerify | undefined;
  /**
   * PEM of the certificate to show, with its chain, for as long as the node lives. Default: `node.pem` of
   * `folder`, made at the first use and read again when it was replaced.
   */
  readonly cert?: string | undefined;
  /** PEM of its key. Default: it stands in `cert`. */
  readonly key?: string | undefined;
  /** Folder of `node.pem` and `ca.crt`. Default ~/.asoc/certs. */
  readonly folder?: string | undefined;
  /** SHA-256 of certificates (DER), hexadecimal, with or without colons. For "pin". */
  readonly pins?: readonly string[] | undefined;
  /** PEM of authorities. For "ca"; default: `ca.crt` of `folder`. */
  readonly ca?: string | readonly string[] | undefined;
  /** Who dials must show a certificate that passes `verify` as well ("proof", "none": any). Default false. */
  readonly requireClientCertificate?: boolean | undefined;
}

/** What `join` makes of them. */
export interface ResolvedTls {
  readonly config: TlsConfig;
  /** The node id in the certificate, where an authority vouches for it: the node must have that one. */
  readonly nodeId: string | undefined;
}

/**
 * Checks the options and reads or makes what they name. Rejects with ASOC_CONFIG for files and PEM that cannot serve, TypeError
 * for options that cannot be.
 */
export async function resolveTls(options: TlsOptions, unixMs: WallClock = Date.now): Promise<ResolvedTls> {
  const { verify = "proof", folder = defaultCertsFolder(), requireClientCertificate = false } = options;
  if (!VERIFY.includes(verify))
    throw new TypeError(`tls.verify: expected ${VERIFY.join(", ")}, got ${JSON.stringify(verify)}`);
  for (const [name, mode] of [
    ["pins", "pin"],
    ["ca", "ca"],
  ] as const)
    if (options[name] !== undefined && verify !== mode)
      throw new TypeError(`tls.${name}: is for verify: "${mode}", got verify: "${verify}"`);
  const pins = verify === "pin" ? readPins(options.pins ?? []) : [];
  const authorities = verify === "ca" ? await readAuthorities(options.ca, folder) : [];
  const identity = await identitySource(options, folder, unixMs);
  const certified = verify === "ca" ? nodeIdOf(new X509Certificate(identity().certificatePem)) : undefined;
  return {
    config: { verify, identity, pins, authorities, requireClientCertificate },
    nodeId: certified && formatNodeId(certified),
  };
}

async function identitySource(
  { cert, key }: TlsOptions,
  folder: string,
  unixMs: WallClock,
): Promise<() => TlsIdentity> {
  if (cert === undefined) {
    if (key !== undefined) throw new TypeError("tls.key: expected tls.cert with it");
    const certificate = await NodeCertificate.open(folder, unixMs);
    return () => certificate.current();
  }
  const identity = identityFrom(cert, key ?? cert, "tls.cert");
  checkStillValid(identity, "tls.cert", unixMs());
  return () => identity;
}

function readPins(pins: readonly string[]): string[] {
  if (pins.length === 0) throw configError('tls.pins: expected at least one with verify: "pin"');
  return pins.map((pin) => {
    const hex = pin.replaceAll(":", "").toLowerCase();
    if (!/^[0-9a-f]{64}$/.test(hex))
      throw configError(`tls.pins: expected 64 hexadecimal digits, got ${JSON.stringify(pin)}`);
    return hex;
  });
}

/** PEM of each authority. Rejects with ASOC_CONFIG. */
export async function readAuthorities(ca: TlsOptions["ca"], folder: string): Promise<string[]> {
  if (ca !== undefined) {
    const given = typeof ca === "string" ? [ca] : ca;
    if (given.length === 0) throw configError('tls.ca: expected at least one with verify: "ca"');
    return given.flatMap((pem) => splitCertificates(pem, "tls.ca"));
  }
  const file = join(folder, "ca.crt");
  if (!(await isThere(file)))
    throw configError(
      `${file}: expected the certificate of an authority, there is no such file; asoc certs init makes one`,
    );
  return splitCertificates(await readPem(file), file);
}
