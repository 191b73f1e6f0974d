/**
 * The certificate that a node shows, in `node.pem` of a folder: whatever lies there, or one that vouches for itself and
 * is made at the first use. Such a one is made anew before it ends, with another key, and lies in `node.next.pem` for a month
 * before it takes the place of the other; one of an authority is left to its owner, and read again when he has replaced it.
 */
import { X509Certificate } from "node:crypto";
import { rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { TlsIdentity } from "../core/runtime.ts";
import { configError, identityFrom, isThere, readSecretPem, writeSecret } from "./files.ts";
import { makeSelfSigned } from "./make.ts";

export const DAY_MS = 86_400_000;
const VALID_DAYS = 365;
/** So many days before its end the next one takes its place, or its end is warned of. */
export const RENEW_DAYS = 30;
/** So many days before its end the next one is made, so that it can be pinned beside it before it is shown. */
export const ANNOUNCE_DAYS = 60;
export const OWN_FILE = "node.pem";
export const NEXT_FILE = "node.next.pem";
/** A running node looks for another certificate no more often. */
const LOOK_MS = 60_000;
const OWN_NAME = "asoc node";
/** So that a browser of this machine can trust it for the gateway; what this machine is called is nobody's business. */
const LOOPBACK_HOSTS = ["localhost", "127.0.0.1", "::1"];

/** Time as it is asked for here, so that tests need not wait a year. */
export type WallClock = () => number;

export class NodeCertificate {
  readonly #file: string;
  readonly #unixMs: WallClock;
  #identity: TlsIdentity;
  #lookedMs: number;
  #looking = false;

  private constructor(file: string, identity: TlsIdentity, unixMs: WallClock) {
    this.#file = file;
    this.#identity = identity;
    this.#unixMs = unixMs;
    this.#lookedMs = unixMs();
  }

  /** Reads or makes it. Throws ASOC_CONFIG for a file that cannot serve. */
  static async open(folder: string, unixMs: WallClock): Promise<NodeCertificate> {
    const file = join(folder, OWN_FILE);
    return new NodeCertificate(file, await readOrMake(file, unixMs()), unixMs);
  }

  /** The newest that is known. Looks for another one meanwhile, now and then. */
  current(): TlsIdentity {
    const nowMs = this.#unixMs();
    if (!this.#looking && Math.abs(nowMs - this.#lookedMs) >= LOOK_MS) {
      this.#looking = true;
      this.#lookedMs = nowMs;
      void this.#look(nowMs);
    }
    return this.#identity;
  }

  async #look(nowMs: number): Promise<void> {
    try {
      const found = await readOrMake(this.#file, nowMs);
      // The same object for the same certificate: what is made from it is kept.
      if (found.certificatePem !== this.#identity.certificatePem) this.#identity = found;
    } catch {
      // The one at hand stays good until its end; the next start says what is wrong with the file.
    } finally {
      this.#looking = false;
    }
  }
}

/**
 * The certificate of `folder` as a node that starts now would show it, its file, and the SHA-256 of the one that follows it, once
 * there is one. Rejects with ASOC_CONFIG.
 */
export async function openNodeCertificate(
  folder: string,
  unixMs: WallClock = Date.now,
): Promise<{ readonly file: string; readonly certificatePem: string; readonly next: string | undefined }> {
  const certificate = await NodeCertificate.open(folder, unixMs);
  const nextFile = join(folder, NEXT_FILE);
  const next = (await isThere(nextFile)) ? (await read(nextFile)).certificateSha256 : undefined;
  return {
    file: join(folder, OWN_FILE),
    certificatePem: certificate.current().certificatePem,
    next: next && Buffer.from(next).toString("hex"),
  };
}

async function readOrMake(file: string, nowMs: number): Promise<TlsIdentity> {
  if (!(await isThere(file))) await writeSecret(file, await makeOwn(nowMs), "new");
  const identity = await read(file);
  const leaf = new X509Certificate(identity.certificatePem);
  if (!isOurMaking(leaf)) {
    checkStillValid(identity, file, nowMs);
    return identity;
  }
  const left = daysLeft(leaf, nowMs);
  if (left >= ANNOUNCE_DAYS) return identity;
  const nextFile = join(dirname(file), NEXT_FILE);
  // It may be gone by now, to where this process will find it below.
  const next = await nextOf(nextFile, nowMs).catch(() => makeOwn(nowMs));
  if (left >= RENEW_DAYS) return identity;
  const now = await read(file);
  // Another process may have been quicker.
  if (now.certificatePem === identity.certificatePem) await writeSecret(file, next, "replace");
  await rm(nextFile, { force: true });
  return read(file);
}

/** What follows; processes that look at once agree on one. */
async function nextOf(file: string, nowMs: number): Promise<TlsIdentity> {
  if (await isThere(file)) {
    const found = await read(file);
    if (daysLeft(new X509Certificate(found.certificatePem), nowMs) > ANNOUNCE_DAYS) return found;
    await writeSecret(file, await makeOwn(nowMs), "replace");
  } else await writeSecret(file, await makeOwn(nowMs), "new");
  return read(file);
}

async function read(file: string): Promise<TlsIdentity> {
  const pem = await readSecretPem(file);
  return identityFrom(pem, pem, file);
}

function makeOwn(unixMs: number) {
  return makeSelfSigned({ name: OWN_NAME, hosts: LOOPBACK_HOSTS, days: VALID_DAYS, unixMs });
}

/** It vouches for itself, and was made here. */
export function isOurMaking(leaf: X509Certificate): boolean {
  return leaf.subject === `CN=${OWN_NAME}` && leaf.issuer === leaf.subject && leaf.verify(leaf.publicKey);
}

/** Days until it ends, in parts; negative: it has ended. */
export function daysLeft(certificate: X509Certificate, nowMs: number): number {
  return (Date.parse(certificate.validTo) - nowMs) / DAY_MS;
}

/** Throws ASOC_CONFIG when a certificate that is to be shown has ended: every other side would refuse it. */
export function checkStillValid(identity: TlsIdentity, source: string, nowMs: number): void {
  const leaf = new X509Certificate(identity.certificatePem);
  if (!(daysLeft(leaf, nowMs) >= 0))
    // no number: a time that cannot be read
    throw configError(
      `${source}: the certificate ended on ${leaf.validTo}; asoc certs issue makes another one`,
    );
}
