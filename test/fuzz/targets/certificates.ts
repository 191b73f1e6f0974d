/** Certificates: PEM of files, and the names in a leaf that somebody shows (DER). */
import "reflect-metadata";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { X509Certificate as Reference, SubjectAlternativeNameExtension } from "@peculiar/x509";
import { identityFrom, parseCertificate, splitCertificates } from "../../../src/certs/files.ts";
import { summaryOf } from "../../../src/certs/mod.ts";
import { nodeIdOf } from "../../../src/runtime/common/tls_checks.ts";
import { ROOT } from "../../support/process.ts";
import { mutated } from "../mutate.ts";
import type { FuzzRandom } from "../random.ts";
import { type FuzzTarget, must, type Outcome, refusal, textOf } from "../target.ts";

const { keyPem, certificates } = JSON.parse(
  readFileSync(join(ROOT, "test", "vectors", "certificates.json"), "utf8"),
) as { keyPem: string; certificates: Record<string, string> };
const encoder = new TextEncoder();
const decoder = new TextDecoder();
const pems = Object.values(certificates);
const ders = pems.map((pem) => new Uint8Array(parseCertificate(pem, "seed").raw));
const SEQUENCE = 0x30;
const NODE_ID = /^urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

function pemOf(der: Uint8Array): string {
  const lines = Buffer.from(der)
    .toString("base64")
    .replace(/(.{64})/g, "$1\n");
  return `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`;
}

/** The node ids that another parser finds; undefined where it reads no certificate, or no names. */
function otherIds(der: Uint8Array): string[] | undefined {
  try {
    const names = new Reference(new Uint8Array(der)).getExtension(SubjectAlternativeNameExtension)?.names;
    return names?.items
      .filter(({ type, value }) => type === "url" && NODE_ID.test(value))
      .map(({ value }) => value);
  } catch {
    return undefined;
  }
}

/** What begins like DER is the certificate itself; anything else the text of a file. */
export const CERTIFICATES: FuzzTarget = {
  name: "certificates",
  share: 10,
  seeds: [...ders, ...pems.map((pem) => encoder.encode(keyPem + pem)), encoder.encode(pems.join(""))],
  make: (random: FuzzRandom) => mutated(random.pick(ders), random.pick(ders), random),
  run(input): Outcome {
    const isDer = input[0] === SEQUENCE;
    const text = isDer ? pemOf(input) : decoder.decode(input);
    const labels: string[] = [];
    const found: unknown[] = [];
    for (const read of [
      () => {
        const { certificatePem, certificateSha256 } = identityFrom(text, isDer ? keyPem : text, "fuzz");
        must(certificateSha256.length === 32 && certificatePem.length > 0, "an identity without a digest");
        return certificateSha256;
      },
      () => splitCertificates(text, "fuzz"),
      () => summaryOf("fuzz", text, undefined, 0),
      () => {
        const leaf = parseCertificate(text, "fuzz");
        const id = nodeIdOf(leaf);
        const others = id && otherIds(new Uint8Array(leaf.raw));
        if (others) must(others.length === 1, `a node id where ${others.length} are named`);
        return id;
      },
    ]) {
      try {
        const value = read();
        found.push(value);
        labels.push(value === undefined ? "none" : "read");
      } catch (error) {
        labels.push(refusal(error).label.slice(0, 40));
      }
    }
    return { label: labels.join(" "), detail: () => textOf(found) };
  },
};
