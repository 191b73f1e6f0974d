/**
 * Certificates on disk: a folder that only its owner enters (700), and files with keys that only their owner reads (600).
 *
 * A certificate and its key share one file, which appears whole or not at all: of two processes that start at once,
 * one makes it and the other reads it.
 */
import { createPrivateKey, randomBytes, X509Certificate } from "node:crypto";
import { link, mkdir, open, readFile, rename, stat, unlink } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { AsocError, describe } from "../core/errors.ts";
import type { TlsIdentity } from "../core/runtime.ts";
import { sha256 } from "../runtime/common/tls_checks.ts";
import type { MadeCertificate } from "./make.ts";

const GROUP_AND_OTHERS = 0o077;
/** Nothing that is a certificate and its chain is larger. */
const MAX_FILE_BYTES = 256 * 1024;
const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;
const KEY = /-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----[^-]+-----END (?:[A-Z]+ )?PRIVATE KEY-----/;

/** `~/.asoc/certs` of whoever runs this. */
export function defaultCertsFolder(home = process.env.HOME): string {
  return join(home || homedir(), ".asoc", "certs");
}

/** Reads PEM that anybody may read. Throws ASOC_CONFIG. */
export async function readPem(file: string): Promise<string> {
  try {
    const { size } = await stat(file);
    if (size > MAX_FILE_BYTES) throw configError(`${file}: expected PEM, got a file of ${size} bytes`);
    return await readFile(file, "utf8");
  } catch (error) {
    if (error instanceof AsocError) throw error;
    throw configError(`${file}: cannot be read (${describe(error)})`, error);
  }
}

/** Reads PEM with a key. Throws ASOC_CONFIG where others than its owner can read it. */
export async function readSecretPem(file: string): Promise<string> {
  const mode = await modeOf(file);
  if (mode !== undefined && process.platform !== "win32" && mode & GROUP_AND_OTHERS) {
    const got = mode.toString(8).padStart(3, "0");
    throw configError(
      `${file}: refused, because others can get at the key: expected mode 600, got ${got}. Run: chmod 600 ${file}`,
    );
  }
  return readPem(file);
}

async function modeOf(file: string): Promise<number | undefined> {
  try {
    return (await stat(file)).mode & 0o777;
  } catch {
    return undefined; // reading says why
  }
}

/** Whether there is such a file. */
export async function isThere(file: string): Promise<boolean> {
  return (await modeOf(file)) !== undefined;
}

/** Certificates and key in PEM, in whatever order. `source` names them in errors. Throws ASOC_CONFIG. */
export function identityFrom(certificates: string, keyPem: string, source: string): TlsIdentity {
  const chain = certificates.match(CERTIFICATE) ?? [];
  const key = KEY.exec(keyPem)?.[0];
  if (chain.length === 0 || !key) {
    const missing = chain.length === 0 ? "a certificate" : "a private key";
    throw configError(`${source}: expected ${missing} in PEM, found none`);
  }
  const leaf = parseCertificate(chain[0] ?? "", source);
  let fits: boolean;
  try {
    fits = leaf.checkPrivateKey(createPrivateKey(key));
  } catch (error) {
    // The cause may quote what it could not read.
    throw configError(
      `${source}: the private key cannot be read`,
      error instanceof Error ? undefined : error,
    );
  }
  if (!fits) throw configError(`${source}: the private key is not that of the certificate`);
  return {
    certificatePem: `${chain.join("\n")}\n`,
    keyPem: `${key}\n`,
    certificateSha256: sha256(leaf.raw),
  };
}

/** The first certificate of PEM. Throws ASOC_CONFIG. */
export function parseCertificate(pem: string, source: string): X509Certificate {
  try {
    const certificate = new X509Certificate(pem);
    // Deno reads these when they are asked for: what is wrong with them shall show here.
    void [certificate.subject, certificate.subjectAltName, certificate.validTo, certificate.validFrom];
    return certificate;
  } catch (error) {
    throw configError(`${source}: expected a certificate in PEM`, error);
  }
}

/** All certificates of PEM, each by itself. Throws ASOC_CONFIG where there is none. */
export function splitCertificates(pem: string, source: string): string[] {
  const found = pem.match(CERTIFICATE) ?? [];
  if (found.length === 0) throw configError(`${source}: expected certificates in PEM, found none`);
  for (const one of found) parseCertificate(one, source);
  return found.map((one) => `${one}\n`);
}

/** Certificate and key in one file that only its owner reads. "new" leaves one that is there alone, and says false. */
export async function writeSecret(
  file: string,
  { certificatePem, keyPem }: MadeCertificate,
  how: "new" | "replace",
): Promise<boolean> {
  return write(file, `${keyPem}${certificatePem}`, 0o600, how);
}

/** A file that anybody may read. */
export async function writePublic(file: string, text: string): Promise<void> {
  await write(file, text, 0o644, "replace");
}

async function write(file: string, text: string, mode: number, how: "new" | "replace"): Promise<boolean> {
  const temporary = `${file}.${randomBytes(6).toString("hex")}.tmp`;
  try {
    await mkdir(dirname(file), { recursive: true, mode: 0o700 });
    const handle = await open(temporary, "wx", mode);
    try {
      await handle.chmod(mode);
      await handle.writeFile(text);
    } finally {
      await handle.close();
    }
    if (how === "replace") await rename(temporary, file);
    else await link(temporary, file);
    return true;
  } catch (error) {
    if (how === "new" && error instanceof Error && "code" in error && error.code === "EEXIST") return false;
    throw configError(`Cannot write ${file}: ${describe(error)}`, error);
  } finally {
    await unlink(temporary).catch(() => {}); // renamed, or never there
  }
}

export function configError(message: string, cause?: unknown): AsocError {
  return new AsocError("ASOC_CONFIG", message, cause === undefined ? {} : { cause });
}
