/** Certificates that come to their end: said in time, because nobody looks until every connection is refused. */
import type { X509Certificate } from "node:crypto";
import { join } from "node:path";
import { defaultCertsFolder, parseCertificate, splitCertificates } from "./files.ts";
import {
  ANNOUNCE_DAYS,
  DAY_MS,
  daysLeft,
  isOurMaking,
  openNodeCertificate,
  RENEW_DAYS,
} from "./node_certificate.ts";
import { readAuthorities, type TlsOptions } from "./options.ts";

/**
 * What to say of a certificate from `source`; undefined: nothing yet. `next`: SHA-256 of the one that follows a certificate of our
 * own making by itself, with another key.
 */
export function endWarning(
  certificate: X509Certificate,
  source: string,
  next: string | undefined,
  nowMs: number,
): string | undefined {
  const left = daysLeft(certificate, nowMs);
  if (Number.isNaN(left)) return `${source}: the end of the certificate is no time`;
  const ends = new Date(certificate.validTo).toISOString().slice(0, 10);
  if (left < 0) return `${source}: the certificate ended on ${ends}`;
  const inDays = `in ${Math.floor(left)} days`;
  if (isOurMaking(certificate)) {
    if (left >= ANNOUNCE_DAYS || next === undefined) return undefined;
    const replaced = new Date(Date.parse(certificate.validTo) - RENEW_DAYS * DAY_MS);
    return (
      `${source}: the certificate ends on ${ends}, and from ${replaced.toISOString().slice(0, 10)} on another one is shown. ` +
      `Where it is pinned (--tls-pin) or named in access rules, add now: ${next}`
    );
  }
  if (left >= RENEW_DAYS) return undefined;
  return certificate.ca
    ? `${source}: the authority ends on ${ends}, ${inDays}; no certificate of it holds after that`
    : `${source}: the certificate ends on ${ends}, ${inDays}; asoc certs issue makes another one`;
}

/** The same of what a node with these options shows and trusts. Rejects with ASOC_CONFIG. */
export async function endWarnings(options: TlsOptions, nowMs = Date.now()): Promise<string[]> {
  const { cert, folder = defaultCertsFolder(), verify, ca } = options;
  const found: (string | undefined)[] = [];
  if (cert === undefined) {
    const { file, certificatePem, next } = await openNodeCertificate(folder, () => nowMs);
    found.push(endWarning(parseCertificate(certificatePem, file), file, next, nowMs));
  } else {
    const [leaf = ""] = splitCertificates(cert, "tls.cert");
    found.push(endWarning(parseCertificate(leaf, "tls.cert"), "tls.cert", undefined, nowMs));
  }
  const authorities = verify === "ca" ? await readAuthorities(ca, folder) : [];
  const source = ca === undefined ? join(folder, "ca.crt") : "tls.ca";
  for (const pem of authorities)
    found.push(endWarning(parseCertificate(pem, source), source, undefined, nowMs));
  return found.filter((text) => text !== undefined);
}
