/**
 * A small authority in a folder: `ca.pem` (its certificate and key), `ca.crt` (what its nodes need), and `issued/NAME.pem`
 * for each node. There is no revocation: certificates are short-lived, and allow lists name those that may connect.
 */
import type { X509Certificate } from "node:crypto";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { formatNodeId } from "../core/wire/node_id.ts";
import { nodeIdOf } from "../runtime/common/tls_checks.ts";
import { endWarning } from "./ending.ts";
import {
  configError,
  identityFrom,
  isThere,
  parseCertificate,
  readPem,
  readSecretPem,
  writePublic,
  writeSecret,
} from "./files.ts";
import { issueCertificate, makeAuthority } from "./make.ts";
import { NEXT_FILE, OWN_FILE } from "./node_certificate.ts";

const AUTHORITY_DAYS = 3650;

/** A certificate on disk, for people. */
export interface CertificateSummary {
  readonly file: string;
  readonly name: string;
  readonly nodeId: string | undefined;
  readonly names: string;
  /** SHA-256 of its DER, 64 hexadecimal digits: what is pinned. */
  readonly sha256: string;
  readonly validTo: string;
  readonly isAuthority: boolean;
  /** That it comes to its end, and what to do; undefined: not soon. */
  readonly warning: string | undefined;
}

/** Makes the authority. Rejects with ASOC_CONFIG where there is one. */
export async function initAuthority(
  folder: string,
  name: string,
  unixMs: number,
): Promise<CertificateSummary> {
  const made = await makeAuthority({ name, days: AUTHORITY_DAYS, unixMs });
  const file = join(folder, "ca.pem");
  if (!(await writeSecret(file, made, "new")))
    throw configError(`${file} exists: it was left as it is; remove it for another authority`);
  await writePublic(join(folder, "ca.crt"), made.certificatePem);
  return summaryOf(file, made.certificatePem);
}

/**
 * Makes a certificate for one node, into `out/node.pem` with `out/ca.crt` beside it, or into `folder/issued/NAME.pem`.
 * Replaces one that is there. Rejects with ASOC_CONFIG without an authority.
 */
export async function issueFor(
  folder: string,
  node: {
    readonly name: string;
    readonly nodeId: string;
    readonly hosts: readonly string[];
    readonly days: number;
  },
  out: string | undefined,
  unixMs: number,
): Promise<CertificateSummary> {
  const authorityFile = join(folder, "ca.pem");
  if (!(await isThere(authorityFile)))
    throw configError(`${authorityFile}: there is no authority; asoc certs init makes one`);
  const pem = await readSecretPem(authorityFile);
  const authority = identityFrom(pem, pem, authorityFile);
  const made = await issueCertificate(authority, { ...node, unixMs });
  const file = out === undefined ? join(folder, "issued", `${node.name}.pem`) : join(out, "node.pem");
  await writeSecret(file, made, "replace");
  if (out !== undefined) await writePublic(join(out, "ca.crt"), authority.certificatePem);
  return summaryOf(file, made.certificatePem);
}

/** What lies in the folder: the authority, this machine's own certificate and the next one, and those that were issued. */
export async function listCertificates(folder: string, nowMs = Date.now()): Promise<CertificateSummary[]> {
  const issued = await readdir(join(folder, "issued")).catch(() => []); // none yet
  const files = [
    "ca.crt",
    OWN_FILE,
    NEXT_FILE,
    ...issued
      .filter((name) => name.endsWith(".pem"))
      .sort()
      .map((name) => join("issued", name)),
  ].map((name) => join(folder, name));
  const nextFile = join(folder, NEXT_FILE);
  const next = (await isThere(nextFile)) ? summaryOf(nextFile, await readPem(nextFile)).sha256 : undefined;
  const found: CertificateSummary[] = [];
  for (const file of files) {
    if (!(await isThere(file))) continue;
    found.push(summaryOf(file, await readPem(file), file.endsWith(OWN_FILE) ? next : undefined, nowMs));
  }
  return found;
}

/** The first certificate of a file's PEM; `next` follows it. Throws ASOC_CONFIG. */
export function summaryOf(file: string, pem: string, next?: string, nowMs = Date.now()): CertificateSummary {
  const certificate: X509Certificate = parseCertificate(
    /-----BEGIN CERTIFICATE-----[\s\S]+/.exec(pem)?.[0] ?? "",
    file,
  );
  const nodeId = nodeIdOf(certificate);
  const ends = new Date(certificate.validTo);
  if (Number.isNaN(ends.getTime())) throw configError(`${file}: the end of the certificate is no time`);
  return {
    file,
    name: /(?:^|\n)CN=([^\n]*)/.exec(certificate.subject)?.[1] ?? certificate.subject,
    nodeId: nodeId && formatNodeId(nodeId),
    names: certificate.subjectAltName ?? "",
    sha256: certificate.fingerprint256.replaceAll(":", "").toLowerCase(),
    validTo: ends.toISOString(),
    isAuthority: certificate.ca,
    warning: endWarning(certificate, file, next, nowMs),
  };
}
