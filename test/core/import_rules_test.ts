/**
 * Who may import whom. Every import specifier of src and gateway is held against the table below, type imports too;
 * and the core names no runtime, clock, console or source of chance.
 */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, posix, relative, sep } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "..", "..");

/** Allowed to all of core. */
const BASE = ["core/errors.ts", "core/limits.ts", "core/address.ts"];
/** Allowed to all of core, to the runtimes and to certs, as a type. */
const ADAPTER = "core/runtime.ts";

/** What a part of src, or the gateway, may import: paths, or folders that end in "/". Its own folder is always allowed. */
const RULES: readonly {
  readonly part: string;
  readonly imports: readonly string[];
  readonly packages: RegExp;
}[] = [
  { part: "core/errors.ts", imports: [], packages: /^$/ },
  { part: "core/limits.ts", imports: [], packages: /^$/ },
  { part: "core/runtime.ts", imports: [], packages: /^$/ },
  { part: "core/address.ts", imports: [], packages: /^$/ },
  // Before its parent: the first rule that fits holds. Its parent must not import it.
  { part: "core/wire/records/", imports: [...BASE, "core/wire/"], packages: /^$/ },
  { part: "core/wire/", imports: BASE, packages: /^$/ },
  { part: "core/tensor/", imports: BASE, packages: /^$/ },
  { part: "core/auth/", imports: [...BASE, "core/wire/"], packages: /^$/ },
  { part: "core/discovery/", imports: [...BASE, "core/auth/", "core/wire/"], packages: /^$/ },
  { part: "core/session/", imports: [...BASE, "core/auth/", "core/wire/", "core/tensor/"], packages: /^$/ },
  { part: "core/swarm/", imports: [...BASE, "core/session/", "core/discovery/"], packages: /^$/ },
  { part: "core/access/", imports: [...BASE, "core/auth/", "core/wire/"], packages: /^$/ },
  { part: "core/audit/", imports: [...BASE, "core/channel.ts"], packages: /^$/ },
  { part: "core/topics/", imports: [...BASE, "core/wire/", "core/channel.ts"], packages: /^$/ },
  // The shell around node.ts and driver.ts.
  { part: "core/", imports: ["core/"], packages: /^$/ },
  { part: "runtime/common/", imports: ["core/errors.ts"], packages: /^node:/ },
  { part: "runtime/node/", imports: ["core/errors.ts", "runtime/common/"], packages: /^node:/ },
  { part: "runtime/bun/", imports: ["core/errors.ts", "runtime/common/"], packages: /^(node:|bun$)/ },
  { part: "runtime/deno/", imports: ["core/errors.ts", "runtime/common/"], packages: /^node:/ },
  {
    part: "certs/",
    imports: ["core/errors.ts", "core/wire/node_id.ts", "runtime/common/tls_checks.ts"],
    packages: /^(node:|@peculiar\/x509$|reflect-metadata$)/,
  },
  { part: "cli/", imports: ["mod.ts", "certs/mod.ts", "gateway/mod.ts"], packages: /^(node:|zod$)/ },
  // The page in the browser; uPlot's types belong to the copy that it is served.
  { part: "gateway/dashboard/", imports: [], packages: /^uplot$/ },
  {
    part: "gateway/",
    imports: ["mod.ts", "gateway/"],
    packages: /^(node:(crypto|fs\/promises|https?|tls|url)$|hono|@hono\/|zod$|ws$|prom-client$)/,
  },
  // mod.ts and the files that belong to it.
  { part: "", imports: ["core/", "runtime/", "certs/"], packages: /^$/ },
];

interface Source {
  readonly path: string;
  readonly code: string;
}

interface Import {
  readonly from: string;
  /** A path below src, or from "gateway/" on, or the name of a package. */
  readonly to: string;
  readonly isPackage: boolean;
  readonly isType: boolean;
}

/** Comments blanked out; strings stay. */
function withoutComments(text: string): string {
  return text.replace(
    /("(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`)|\/\*[\s\S]*?\*\/|\/\/[^\n]*/g,
    (_, string) => string ?? " ",
  );
}

/** A path from the root, as the table has it: without "src/". */
const shortPath = (path: string) => path.replace(/^src\//, "");

function sources(): Source[] {
  const entries = ["src", "gateway"].flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true }),
  );
  return entries
    .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
    .map((entry) => join(entry.parentPath, entry.name))
    .map((file) => ({
      path: shortPath(relative(ROOT, file).split(sep).join("/")),
      code: withoutComments(readFileSync(file, "utf8")),
    }));
}

function importsOf({ path, code }: Source): Import[] {
  const found: Import[] = [];
  const patterns = [
    /\b(import|export)(\s+type)?\b([^;"'()]*?)\bfrom\s*["']([^"']+)["']/g,
    /\b(import)()()\s*["']([^"']+)["']/g,
    /\b(import)()()\s*\(\s*["']([^"']+)["']\s*\)/g,
  ];
  for (const pattern of patterns) {
    for (const match of code.matchAll(pattern)) {
      const specifier = match[4] ?? "";
      const isPackage = !specifier.startsWith(".");
      const whole = path.startsWith("gateway/") ? path : `src/${path}`;
      const to = isPackage ? specifier : shortPath(posix.join(posix.dirname(whole), specifier));
      found.push({ from: path, to, isPackage, isType: match[2] !== undefined && match[2] !== "" });
    }
  }
  return found;
}

const folderOf = (path: string) => path.slice(0, path.lastIndexOf("/") + 1);
const covers = (rule: string, path: string) => (rule.endsWith("/") ? path.startsWith(rule) : path === rule);

function isAllowed({ from, to, isPackage, isType }: Import): boolean {
  const rule = RULES.find(({ part }) => part === "" || covers(part, from));
  assert.ok(rule, `no rule for ${from}`);
  if (isPackage) return rule.packages.test(to);
  if (to === ADAPTER) return isType && /^(core|runtime|certs)\/|^[^/]+$/.test(from);
  if (folderOf(from) === folderOf(to) && rule.part !== from) return true;
  return rule.imports.some((allowed) => covers(allowed, to));
}

const all = sources();
const imports = all.flatMap(importsOf);

test("the import rules see the imports that there are", () => {
  assert.ok(all.length > 30, `${all.length} files`);
  const has = (from: string, to: string) => imports.some((one) => one.from === from && one.to === to);
  assert.ok(has("mod.ts", "core/node.ts"));
  assert.ok(has("join.ts", "runtime/deno/mod.ts"), "dynamic imports");
  assert.ok(has("core/session/frame_intake.ts", "core/wire/hello.ts"));
  assert.ok(has("runtime/common/host.ts", "node:crypto"));
  assert.ok(has("gateway/gateway.ts", "gateway/app.ts"));
  assert.ok(has("cli/gateway.ts", "gateway/mod.ts"));
});

test("the import rules refuse what the table does not name", () => {
  const one = (from: string, to: string, isType = false) => ({
    from,
    to,
    isPackage: !to.endsWith(".ts"),
    isType,
  });
  assert.equal(isAllowed(one("core/wire/header.ts", "core/errors.ts")), true);
  assert.equal(isAllowed(one("core/wire/header.ts", "core/auth/rate_limit.ts")), false);
  assert.equal(isAllowed(one("core/wire/header.ts", ADAPTER, true)), true);
  assert.equal(isAllowed(one("core/wire/header.ts", ADAPTER)), false);
  assert.equal(isAllowed(one("core/wire/records/caps.ts", "core/wire/bytes.ts")), true);
  assert.equal(isAllowed(one("core/wire/records/caps.ts", "core/auth/proof.ts")), false);
  assert.equal(isAllowed(one("core/wire/bytes.ts", "core/wire/records/caps.ts")), false);
  assert.equal(isAllowed(one("core/session/session.ts", "core/wire/records/caps.ts")), true);
  assert.equal(isAllowed(one("core/errors.ts", "core/limits.ts")), false);
  assert.equal(isAllowed(one("core/swarm/swarm.ts", "core/tensor/buffer_pool.ts")), false);
  assert.equal(isAllowed(one("core/topics/taps.ts", "core/channel.ts")), true);
  assert.equal(isAllowed(one("core/topics/taps.ts", "core/peers.ts")), false);
  assert.equal(isAllowed(one("core/node.ts", "core/tensor/buffer_pool.ts")), true);
  assert.equal(isAllowed(one("core/node.ts", "runtime/node/mod.ts")), false);
  assert.equal(isAllowed(one("core/node.ts", "node:net")), false);
  assert.equal(isAllowed(one("runtime/node/tcp.ts", "runtime/bun/tcp.ts")), false);
  assert.equal(isAllowed(one("mod.ts", "cli/main.ts")), false);
  assert.equal(isAllowed(one("cli/send.ts", "core/node.ts")), false);
  assert.equal(isAllowed(one("cli/gateway.ts", "gateway/mod.ts")), true);
  assert.equal(isAllowed(one("cli/gateway.ts", "gateway/state.ts")), false);
  assert.equal(isAllowed(one("gateway/state.ts", "mod.ts")), true);
  assert.equal(isAllowed(one("gateway/routes/node.ts", "gateway/state.ts")), true);
  assert.equal(isAllowed(one("gateway/state.ts", "core/node.ts")), false);
  assert.equal(isAllowed(one("gateway/state.ts", "cli/main.ts")), false);
  assert.equal(isAllowed(one("mod.ts", "gateway/mod.ts")), false);
});

test("every part of src imports only what it may", () => {
  const wrong = imports.filter((one) => !isAllowed(one)).map(({ from, to }) => `${from} imports ${to}`);
  assert.deepEqual(wrong, []);
});

test("every import names a file that is there", () => {
  const paths = new Set(all.map(({ path }) => path));
  const missing = imports.filter(
    ({ to, isPackage }) => !isPackage && !paths.has(to) && !to.startsWith("../"),
  );
  assert.deepEqual(
    missing.map(({ from, to }) => `${from} imports ${to}`),
    [],
  );
});

test("no file imports itself by way of others", () => {
  const next = new Map<string, string[]>();
  for (const { from, to, isPackage } of imports)
    if (!isPackage) next.set(from, [...(next.get(from) ?? []), to]);
  const done = new Set<string>();
  const circles: string[] = [];
  const visit = (path: string, trail: readonly string[]) => {
    if (trail.includes(path)) circles.push([...trail.slice(trail.indexOf(path)), path].join(" → "));
    else if (!done.has(path)) {
      for (const to of next.get(path) ?? []) visit(to, [...trail, path]);
      done.add(path);
    }
  };
  for (const { path } of all) visit(path, []);
  assert.deepEqual(circles, []);
});

test("the core names no runtime, timer, clock, console or source of chance", () => {
  const forbidden =
    /\b(node:|Bun\b|Deno\b|process\b|globalThis\b|setTimeout\b|setInterval\b|setImmediate\b|queueMicrotask\b|Date\b|Math\.random\b|console\b|performance\b|Buffer\b)/;
  const wrong = all
    .filter(({ path }) => path.startsWith("core/"))
    .flatMap(({ path, code }) => code.split("\n").map((line) => ({ path, name: forbidden.exec(line)?.[1] })))
    .filter(({ name }) => name !== undefined);
  assert.deepEqual(
    wrong.map(({ path, name }) => `${path} names ${name}`),
    [],
  );
});
