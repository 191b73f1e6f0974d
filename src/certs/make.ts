/**
 * Makes certificates: ECDSA with P-256 and SHA-256, good for both sides of TLS, for nodes and for their small authority
 * (RFC-0101, section 5). Keys come from the runtime's own generator and leave as PEM; nothing is written here.
 */
import "reflect-metadata"; // before the next line: it looks for it
import { isIP } from "node:net";
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  type Extension,
  type JsonGeneralNames,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from "@peculiar/x509";

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const DAY_MS = 86_400_000;
/** Clocks differ: a certificate is valid from a day before it was made. */
const BACKDATED_MS = DAY_MS;
const SERIAL_BYTES = 16;

/** A certificate and its key, both PEM. The key is secret. */
export interface MadeCertificate {
  readonly certificatePem: string;
  readonly keyPem: string;
}

export interface CertificateContent {
  /** Common name, for people. */
  readonly name: string;
  /** Node id as text; undefined: it names no node. */
  readonly nodeId?: string | undefined;
  /** Host names and IP addresses. */
  readonly hosts?: readonly string[];
  readonly days: number;
  /** Milliseconds since 1970. */
  readonly unixMs: number;
}

/** One that vouches for itself. */
export async function makeSelfSigned(content: CertificateContent): Promise<MadeCertificate> {
  const keys = await makeKeys();
  const certificate = await X509CertificateGenerator.createSelfSigned({
    ...common(content),
    name: distinguishedName(content.name),
    keys,
    extensions: await leafExtensions(content, keys.publicKey),
  });
  return pemOf(certificate, keys.privateKey);
}

/** An authority, which signs certificates of nodes and no other authorities. */
export async function makeAuthority(content: CertificateContent): Promise<MadeCertificate> {
  const keys = await makeKeys();
  const certificate = await X509CertificateGenerator.createSelfSigned({
    ...common(content),
    name: distinguishedName(content.name),
    keys,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return pemOf(certificate, keys.privateKey);
}

/** A certificate that `authority` vouches for. Never valid for longer than the authority's own. */
export async function issueCertificate(
  authority: MadeCertificate,
  content: CertificateContent,
): Promise<MadeCertificate> {
  const keys = await makeKeys();
  const signer = new X509Certificate(authority.certificatePem);
  const wanted = common(content);
  const certificate = await X509CertificateGenerator.create({
    ...wanted,
    notAfter: wanted.notAfter < signer.notAfter ? wanted.notAfter : signer.notAfter,
    subject: distinguishedName(content.name),
    issuer: signer.subject,
    publicKey: keys.publicKey,
    signingKey: await importKey(authority.keyPem),
    extensions: [
      ...(await leafExtensions(content, keys.publicKey)),
      // Without it a node of the authority's own name would pass for its own authority.
      await AuthorityKeyIdentifierExtension.create(signer.publicKey),
    ],
  });
  return pemOf(certificate, keys.privateKey);
}

function common({ days, unixMs }: CertificateContent) {
  const serial = crypto.getRandomValues(new Uint8Array(SERIAL_BYTES));
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40; // positive, and of full length
  return {
    serialNumber: Array.from(serial, (byte) => byte.toString(16).padStart(2, "0")).join(""),
    notBefore: new Date(unixMs - BACKDATED_MS),
    notAfter: new Date(unixMs + days * DAY_MS),
    signingAlgorithm: ALGORITHM,
  };
}

async function leafExtensions({ nodeId, hosts = [] }: CertificateContent, publicKey: CryptoKey) {
  const names: JsonGeneralNames = [
    ...(nodeId === undefined ? [] : [{ type: "url" as const, value: `urn:uuid:${nodeId.toLowerCase()}` }]),
    ...hosts.map((host) => ({ type: isIP(host) ? ("ip" as const) : ("dns" as const), value: host })),
  ];
  const extensions: Extension[] = [
    new BasicConstraintsExtension(false, undefined, true),
    new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
    new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth]),
    await SubjectKeyIdentifierExtension.create(publicKey),
  ];
  if (names.length > 0) extensions.push(new SubjectAlternativeNameExtension(names));
  return extensions;
}

function distinguishedName(name: string) {
  return [{ CN: [name] }];
}

async function makeKeys(): Promise<CryptoKeyPair> {
  return crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
}

async function importKey(keyPem: string): Promise<CryptoKey> {
  return crypto.subtle.importKey("pkcs8", PemConverter.decodeFirst(keyPem), ALGORITHM, false, ["sign"]);
}

async function pemOf(certificate: X509Certificate, privateKey: CryptoKey): Promise<MadeCertificate> {
  const key = await crypto.subtle.exportKey("pkcs8", privateKey);
  const keyPem = `${PemConverter.encode(key, "PRIVATE KEY")}\n`;
  new Uint8Array(key).fill(0);
  return { certificatePem: `${certificate.toString("pem")}\n`, keyPem };
}
