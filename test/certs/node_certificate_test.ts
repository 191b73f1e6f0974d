/** The certificate of a node on disk: made once, kept, renewed before it ends, and refused where others can read its key. */
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { listCertificates } from "../../src/certs/authority.ts";
import { endWarnings } from "../../src/certs/ending.ts";
import { issueCertificate, makeAuthority, makeSelfSigned } from "../../src/certs/make.ts";
import { NodeCertificate, openNodeCertificate } from "../../src/certs/node_certificate.ts";
import { resolveTls } from "../../src/certs/options.ts";
import { content, digestOf, NODE_ID } from "../support/tls.ts";

const DAY_MS = 86_400_000;
const NOW_MS = Date.UTC(2026, 10, 24);

async function withFolder(run: (folder: string, file: string) => Promise<void>): Promise<void> {
  const parent = await mkdtemp(join(tmpdir(), "asoc-certs-"));
  const folder = join(parent, "certs");
  try {
    await run(folder, join(folder, "node.pem"));
  } finally {
    await rm(parent, { recursive: true, force: true });
  }
}

const hexOf = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const validTo = (pem: string) => Date.parse(new X509Certificate(pem).validTo);

test("the first use makes a certificate, in a folder of mode 700 and a file of mode 600", () =>
  withFolder(async (folder, file) => {
    const certificate = await NodeCertificate.open(folder, () => NOW_MS);
    assert.equal((await stat(folder)).mode & 0o777, 0o700);
    assert.equal((await stat(file)).mode & 0o777, 0o600);
    assert.deepEqual(await readdir(folder), ["node.pem"]);
    const { certificatePem, certificateSha256 } = certificate.current();
    assert.equal(hexOf(certificateSha256), digestOf(certificatePem));
    assert.equal(validTo(certificatePem), NOW_MS + 365 * DAY_MS);
  }));

test("whoever starts later, or at once, shows the same certificate", () =>
  withFolder(async (folder) => {
    const starts = Array.from({ length: 8 }, () => NodeCertificate.open(folder, () => NOW_MS));
    const shown = (await Promise.all(starts)).map((one) => one.current().certificatePem);
    shown.push((await NodeCertificate.open(folder, () => NOW_MS + 300 * DAY_MS)).current().certificatePem);
    assert.equal(new Set(shown).size, 1);
    assert.deepEqual(await readdir(folder), ["node.pem"]);
  }));

test("it is made anew 30 days before its end, at a start and in a node that runs", () =>
  withFolder(async (folder, file) => {
    let nowMs = NOW_MS;
    const running = await NodeCertificate.open(folder, () => nowMs);
    const first = running.current();
    nowMs = NOW_MS + 336 * DAY_MS;
    const second = (await NodeCertificate.open(folder, () => nowMs)).current();
    assert.notEqual(second.certificatePem, first.certificatePem);
    assert.equal(validTo(second.certificatePem), nowMs + 365 * DAY_MS);
    while (running.current() === first) await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(running.current().certificateSha256, second.certificateSha256);
    nowMs += 400 * DAY_MS; // it has ended meanwhile
    while (running.current().certificatePem === second.certificatePem)
      await new Promise((resolve) => setImmediate(resolve));
    assert.match(await readFile(file, "utf8"), /PRIVATE KEY/);
    assert.equal((await stat(file)).mode & 0o777, 0o600);
  }));

test("the one that follows lies there for a month before it is shown, so that both can be pinned", () =>
  withFolder(async (folder, file) => {
    let nowMs = NOW_MS;
    const at = () => nowMs;
    const first = await openNodeCertificate(folder, at);
    assert.equal(first.next, undefined);
    nowMs = NOW_MS + 306 * DAY_MS;
    const announced = await Promise.all([1, 2, 3].map(() => openNodeCertificate(folder, at)));
    const [{ next } = first] = announced;
    assert.match(String(next), /^[0-9a-f]{64}$/);
    for (const each of announced)
      assert.deepEqual(each, { file, certificatePem: first.certificatePem, next });
    assert.equal((await stat(join(folder, "node.next.pem"))).mode & 0o777, 0o600);
    const [warning = ""] = await endWarnings({ folder }, nowMs);
    assert.ok(warning.endsWith(`add now: ${next}`), warning);
    nowMs = NOW_MS + 336 * DAY_MS;
    const shown = await Promise.all([1, 2, 3].map(() => NodeCertificate.open(folder, at)));
    for (const each of shown) assert.equal(hexOf(each.current().certificateSha256), next);
    assert.deepEqual(await readdir(folder), ["node.pem"]);
    assert.deepEqual(await endWarnings({ folder }, nowMs), []);
  }));

test("the end of a certificate of an authority, and of the authority, is warned of 30 days before", () =>
  withFolder(async (folder, file) => {
    const authority = await makeAuthority(content({ unixMs: NOW_MS, days: 45 }));
    const made = await issueCertificate(authority, content({ unixMs: NOW_MS, days: 40, nodeId: NODE_ID }));
    await NodeCertificate.open(folder, () => NOW_MS); // makes the folder
    await writeFile(file, made.certificatePem + made.keyPem);
    await writeFile(join(folder, "ca.crt"), authority.certificatePem);
    const at = (days: number) => endWarnings({ folder, verify: "ca" }, NOW_MS + days * DAY_MS);
    assert.deepEqual(await at(9), []);
    const leaf = `${file}: the certificate ends on 2027-01-03, in 29 days; asoc certs issue makes another one`;
    assert.deepEqual(await at(11), [leaf]);
    assert.match((await at(20))[1] ?? "", /ca\.crt: the authority ends on 2027-01-08, in 25 days/);
    const given = { cert: made.certificatePem, key: made.keyPem };
    assert.match((await endWarnings(given, NOW_MS + 11 * DAY_MS)).join(), /^tls\.cert: the certificate ends/);
    const listed = await listCertificates(folder, NOW_MS + 20 * DAY_MS);
    assert.deepEqual(
      listed.map(({ warning }) => warning !== undefined),
      [true, true],
    );
  }));

test("a certificate of an authority is left alone, and refused once it has ended", () =>
  withFolder(async (folder, file) => {
    const authority = await makeAuthority(content({ unixMs: NOW_MS, days: 1000 }));
    const { certificatePem, keyPem } = await issueCertificate(
      authority,
      content({ unixMs: NOW_MS, days: 20, nodeId: NODE_ID }),
    );
    await NodeCertificate.open(folder, () => NOW_MS); // makes the folder
    await writeFile(file, certificatePem + keyPem);
    assert.equal(
      (await NodeCertificate.open(folder, () => NOW_MS)).current().certificatePem,
      certificatePem.replace(/\n+$/, "\n"),
    );
    await assert.rejects(
      NodeCertificate.open(folder, () => NOW_MS + 21 * DAY_MS),
      /ended on/,
    );
  }));

test("a key that others can read is refused, with what to do", () =>
  withFolder(async (folder, file) => {
    await NodeCertificate.open(folder, () => NOW_MS);
    await chmod(file, 0o644);
    await assert.rejects(
      NodeCertificate.open(folder, () => NOW_MS),
      {
        code: "ASOC_CONFIG",
        message: `${file}: refused, because others can get at the key: expected mode 600, got 644. Run: chmod 600 ${file}`,
      },
    );
  }));

test("tls options that cannot serve are refused, and no error shows a key", async () => {
  const one = await makeSelfSigned(content());
  const other = await makeSelfSigned(content());
  const cert = one.certificatePem;
  const broken = one.keyPem.replace("MIG", "XXX");
  const cases: [Parameters<typeof resolveTls>[0], RegExp][] = [
    [{ cert }, /expected a private key in PEM, found none/],
    [{ cert, key: other.keyPem }, /the private key is not that of the certificate/],
    [{ cert, key: broken }, /the private key cannot be read/],
    [{ cert: "nonsense", key: one.keyPem }, /expected a certificate in PEM, found none/],
    [{ key: one.keyPem }, /tls.key: expected tls.cert with it/],
    [{ cert, key: one.keyPem, verify: "pin" }, /expected at least one/],
    [{ cert, key: one.keyPem, verify: "pin", pins: ["12:34"] }, /expected 64 hexadecimal digits/],
    [{ cert, key: one.keyPem, pins: ["12"] }, /tls.pins: is for verify: "pin", got verify: "proof"/],
    [{ cert, key: one.keyPem, verify: "ca", ca: "nonsense" }, /tls.ca: expected certificates in PEM/],
    [{ cert, key: one.keyPem, verify: "ca", folder: "/nowhere" }, /asoc certs init makes one/],
    [{ verify: "maybe" as "proof" }, /tls.verify: expected proof, pin, ca, none, got "maybe"/],
  ];
  for (const [options, pattern] of cases) {
    const error = await resolveTls(options).then(
      () => undefined,
      (cause: unknown) => cause,
    );
    assert.ok(error instanceof Error, String(pattern));
    assert.match(error.message, pattern);
    const said = `${error.message} ${JSON.stringify(error)} ${String(error.cause)}`;
    for (const secret of [one.keyPem, broken]) assert.ok(!said.includes(secret.slice(40, 80)));
  }
});

test("with an authority the node id of the certificate is the node's", async () => {
  const authority = await makeAuthority(content());
  const { certificatePem, keyPem } = await issueCertificate(authority, content({ nodeId: NODE_ID }));
  const options = { cert: certificatePem, key: keyPem } as const;
  const ca = authority.certificatePem;
  assert.equal((await resolveTls({ ...options, verify: "ca", ca })).nodeId, NODE_ID);
  assert.equal((await resolveTls(options)).nodeId, undefined);
});
