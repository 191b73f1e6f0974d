/** What the security documents name is there: metrics, files, dependencies. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { ROOT } from "../support/process.ts";

const read = (path: string) => readFileSync(join(ROOT, path), "utf8");

test("every metric that RFC-0002 watches is one of the gateway's", () => {
  const metrics = read("gateway/routes/metrics.ts");
  const names = new Set(
    [...read("rfcs/RFC-0002-security.md").matchAll(/\basoc_([a-z_]+)/g)].map(([, name]) => name),
  );
  assert.ok(names.size > 5);
  for (const name of names) assert.ok(metrics.includes(`"${name}"`), `asoc_${name}`);
});

/** The names in a type that is a union of texts; those of templates as the text before `${`. */
function unionOf(path: string, type: string): string[] {
  const [, body = ""] = new RegExp(`^export type ${type} =\\n([\\s\\S]*?);$`, "m").exec(read(path)) ?? [];
  return [...body.matchAll(/^ *\| ["`]([^"`$]+)/gm)].map(([, name = ""]) => name);
}

test("every label that an alert of RFC-0002 asks for has a value that is counted under it", () => {
  const errors = unionOf("src/core/errors.ts", "AsocErrorCode");
  const beacons = unionOf("src/core/discovery/discovery.ts", "BeaconRefusal");
  const audit = unionOf("src/core/audit/audit_event.ts", "AuditWhat");
  const problems = unionOf("gateway/errors.ts", "GatewayErrorCode");
  for (const names of [errors, beacons, audit, problems]) assert.ok(names.length > 5);
  const known: Record<string, Record<string, readonly string[]>> = {
    asoc_refused_connections_total: { code: errors },
    asoc_audit_events_total: { what: audit, reason: [...errors, ...beacons] },
    asoc_beacons_refused_total: { reason: beacons },
    asoc_gateway_problems_total: { code: problems },
  };
  const alerts = read("rfcs/RFC-0002-security.md").replaceAll("\\|", "|");
  let seen = 0;
  for (const [, metric = "", labels = ""] of alerts.matchAll(/\b(asoc_[a-z_]+)\{([^}]*)\}/g)) {
    for (const [, label = "", , pattern = ""] of labels.matchAll(/(\w+)(=~?)"([^"]*)"/g)) {
      const values = known[metric]?.[label];
      assert.ok(values, `${metric} has no label ${label} that this test knows`);
      for (const one of alternatives(pattern)) assert.ok(values.includes(one), `${metric}: ${label}=${one}`);
      seen++;
    }
  }
  assert.ok(seen >= 8);
});

/** "A_(B|C)" is A_B and A_C; "B|C" is B and C. */
function alternatives(pattern: string): string[] {
  const [, before = "", inside = pattern, after = ""] = /^(.*)\((.*)\)(.*)$/.exec(pattern) ?? [];
  return inside.split("|").map((one) => before + one + after);
}

test("every link of the security documents leads to a file", () => {
  for (const path of [
    "docs/security.md",
    "docs/dependencies.md",
    "SECURITY.md",
    "rfcs/RFC-0002-security.md",
  ]) {
    for (const [, link = ""] of read(path).matchAll(/\]\(([^)#]+)(?:#[^)]*)?\)/g))
      assert.ok(existsSync(join(ROOT, dirname(path), link)), `${path}: ${link}`);
  }
});

test("every dependency at run time has its reason in docs/dependencies.md, and its exact version", () => {
  const listed = read("docs/dependencies.md");
  const { dependencies } = JSON.parse(read("package.json")) as { dependencies: Record<string, string> };
  for (const [name, version] of Object.entries(dependencies)) {
    assert.ok(listed.includes(`| \`${name}\` |`), name);
    assert.match(version, /^\d+\.\d+\.\d+$/, `${name} is not of one version`);
  }
  for (const [, name = ""] of listed.matchAll(/^\| `([^`]+)` \|/gm))
    assert.ok(name in dependencies, `${name} is not used`);
});
