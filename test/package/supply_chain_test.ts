/** `npm run sbom` and `npm run audit:signatures`. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { unreachableCode } from "../../scripts/unreachable.ts";
import { ROOT } from "../support/process.ts";

interface Lock {
  readonly packages: Readonly<Record<string, { readonly version: string; readonly dev?: boolean }>>;
}

test("`npm run sbom` lists all that is installed with the package, by version and hash, and nothing else", () => {
  const made = spawnSync(process.execPath, ["scripts/supply_chain.ts", "sbom"], {
    cwd: ROOT,
    encoding: "utf8",
  });
  assert.equal(made.status, 0, made.stderr);
  const sbom = JSON.parse(readFileSync(join(ROOT, "dist", "sbom.cdx.json"), "utf8")) as {
    bomFormat: string;
    metadata: { component: { name: string } };
    components: {
      name: string;
      version: string;
      purl: string;
      hashes?: { alg: string; content: string }[];
    }[];
  };
  assert.equal(sbom.bomFormat, "CycloneDX");
  assert.equal(sbom.metadata.component.name, "asoc");
  const { packages } = JSON.parse(readFileSync(join(ROOT, "package-lock.json"), "utf8")) as Lock;
  const locked = Object.entries(packages)
    .filter(([path, { dev }]) => path !== "" && dev !== true)
    .map(([path, { version }]) => `${path.slice(path.lastIndexOf("node_modules/") + 13)}@${version}`);
  assert.deepEqual(sbom.components.map(({ name, version }) => `${name}@${version}`).sort(), locked.sort());
  for (const { name, version, purl, hashes } of sbom.components) {
    assert.equal(decodeURIComponent(purl), `pkg:npm/${name}@${version}`);
    assert.equal(hashes?.[0]?.alg, "SHA-512", name);
  }
});

test("unreachableCode() tells a registry that is not there from one that has said no", () => {
  const failed = (code: string) =>
    `npm error code ${code}\nnpm error network In most cases you are behind a proxy or have bad network settings.\n`;
  for (const code of ["ENOTFOUND", "ECONNREFUSED", "ETIMEDOUT"])
    assert.equal(unreachableCode(failed(code)), code);
  for (const code of ["EINTEGRITY", "E403", "EEXPIREDSIGNATUREKEY"])
    assert.equal(unreachableCode(failed(code)), undefined);
  assert.equal(
    unreachableCode("2 packages have invalid registry signatures:\nhttps-proxy-agent@7.0.6\n"),
    undefined,
  );
  assert.equal(unreachableCode("network-tool@1.0.0 was tampered with, ECONNRESET\n"), undefined);
});
