/** The npm package, as strangers get it: packed, installed in an empty folder, run on three runtimes, type-checked. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, normalize } from "node:path";
import { after, before, test } from "node:test";
import { Process, ROOT } from "../support/process.ts";

const BIN = join(ROOT, "node_modules", ".bin");
const KEY = "5a".repeat(32);
let folder = "";
let app = "";
let tarball = "";

function run(command: string, args: readonly string[], cwd: string): string {
  const result = spawnSync(command, args, {
    cwd,
    encoding: "utf8",
    env: { ...process.env, PATH: `${BIN}:${process.env.PATH}` },
  });
  assert.equal(result.status, 0, `${command} ${args.join(" ")}\n${result.stdout}\n${result.stderr}`);
  return result.stdout;
}

before(() => {
  folder = mkdtempSync(join(tmpdir(), "asoc-package-"));
  app = join(folder, "app");
  mkdirSync(app);
  run("npm", ["pack", "--pack-destination", folder], ROOT);
  tarball = join(folder, readdirSync(folder).find((name) => name.endsWith(".tgz")) ?? "");
  writeFileSync(join(app, "package.json"), '{ "name": "app", "private": true, "type": "module" }\n');
  run("npm", ["install", "--prefer-offline", "--no-audit", "--no-fund", tarball], app);
});
after(() => rmSync(folder, { recursive: true, force: true }));

/** Starts a `serve`, awaits its ready line, and ends it in order. */
async function serves(
  command: readonly [string, ...string[]],
  exit: (number | string)[] = [0],
): Promise<void> {
  const args = ["serve", "--json", "--host", "127.0.0.1", "--port", "0", "--no-discovery"];
  const env = { ASOC_API_KEY: KEY, HOME: folder, PATH: `${BIN}:${process.env.PATH}` };
  await using node = new Process([...command, ...args], { cwd: app, env });
  const ready = await node.waitFor((event) => event.event === "ready", 60_000);
  assert.ok(Number(ready.port) > 0);
  node.kill("SIGINT");
  await node.waitFor((event) => event.event === "closing");
  await node.waitForText(/closed; 0 tensors received/); // by the node itself, whoever has started it
  const ended = await node.exitWithin();
  assert.ok(exit.includes(ended), `ended with ${ended}`);
}

test("the package holds the built code, declarations, the specification and nothing of the tests", () => {
  const files = run("tar", ["-tzf", tarball], folder).split("\n");
  for (const file of [
    "dist/src/mod.js",
    "dist/src/mod.d.ts",
    "dist/src/cli/main.js",
    "rfcs/RFC-0001-protocol.md",
    "README.md",
    "LICENSE",
  ]) {
    assert.ok(files.includes(`package/${file}`), `${file} is missing`);
  }
  assert.deepEqual(
    files.filter((file) => /^package\/(test|src|node_modules|scripts)\//.test(file)),
    [],
  );
});

test("the documents of the package link to nothing that is not in it, but for pictures and raw figures", () => {
  const files = run("tar", ["-tzf", tarball], folder).split("\n");
  const documents = files.filter((file) => file.endsWith(".md") && !file.includes("/dist/"));
  for (const document of documents) {
    const text = readFileSync(join(ROOT, document.replace("package/", "")), "utf8");
    for (const [, link = ""] of text.matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g)) {
      const target = normalize(join(dirname(document), link));
      const isThere = files.some((file) => file === target || file.startsWith(`${target}/`));
      assert.ok(isThere || /\.png$|\/benchmarks\.json$/.test(target), `${document} links to ${link}`);
    }
  }
});

test("`npx asoc serve` serves from the installed package", () =>
  // npx itself dies of the Ctrl-C that it shares with the node.
  serves(["npx", "--no-install", "asoc"], [0, "SIGINT"]));

test("`bunx asoc serve` serves from the installed package", () =>
  // Nor does bunx always outlive it: the node closes in order either way.
  serves([join(BIN, "bunx"), "asoc"], [0, "SIGINT"]));

test("`bunx --bun asoc serve` serves on Bun", () =>
  serves([join(BIN, "bunx"), "--bun", "asoc"], [0, "SIGINT"]));

test("Deno serves from the installed package", () =>
  serves([
    join(BIN, "deno"),
    "run",
    "-A",
    "--node-modules-dir=manual",
    join(app, "node_modules", "asoc", "dist", "src", "cli", "main.js"),
  ]));

test("`bunx --package TARBALL asoc serve` serves without an installation", async () => {
  const empty = join(folder, "empty");
  mkdirSync(empty);
  const args = ["serve", "--json", "--host", "127.0.0.1", "--port", "0", "--no-discovery"];
  const env = { ASOC_API_KEY: KEY, HOME: folder, PATH: `${BIN}:${process.env.PATH}` };
  await using node = new Process([join(BIN, "bunx"), "--package", tarball, "asoc", ...args], {
    cwd: empty,
    env,
  });
  await node.waitFor((event) => event.event === "ready", 60_000);
  node.kill("SIGINT");
  await node.waitForText(/closed; 0 tensors received/);
  const ended = await node.exitWithin(); // bunx does not always outlive the Ctrl-C, as above
  assert.ok(ended === 0 || ended === "SIGINT", `ended with ${ended}`);
});

test("one executable made by `bun build --compile` serves without any runtime", async () => {
  const program = join(folder, "asoc");
  run(
    join(BIN, "bun"),
    ["build", "--compile", "--outfile", program, join(ROOT, "src", "cli", "main.ts")],
    ROOT,
  );
  await serves([program]);
});

for (const runtime of ["node", "bun", "deno"] as const) {
  test(`import { join } from "asoc" joins and closes on ${runtime}`, () => {
    writeFileSync(
      join(app, "three_lines.js"),
      `import { join } from "asoc";
const node = await join({ apiKey: "${KEY}", host: "127.0.0.1", discovery: false });
console.log(node.runtime);
await node.close();
`,
    );
    const args = runtime === "deno" ? ["run", "-A", "three_lines.js"] : ["three_lines.js"];
    assert.match(run(join(BIN, runtime), args, app), new RegExp(`^${runtime} \\d`));
  });
}

test("the declarations check in a strict consumer", () => {
  writeFileSync(
    join(app, "consumer.ts"),
    `import { type AsocNode, AsocError, type IncomingStream, join, type Peer, type SendReport, Tensor } from "asoc";

export async function main(tensorBytes: Uint8Array): Promise<void> {
  await using node: AsocNode = await join({ community: "lab", apiKey: process.env.ASOC_API_KEY });
  const [peer]: Peer[] = await node.peers.wait(1, { timeoutMs: 1000 });
  if (!peer) return;
  const report: SendReport = await node.send(peer.id, tensorBytes, { onProgress: (sentBytes: number) => void sentBytes });
  for (const { error } of await node.sendAll(new Float32Array(4))) if (error instanceof AsocError) throw error;
  for await (const event of node.events()) if (event.kind === "left") console.log(event.reason, report.delivery);
  for await (const stream of node.incoming) await read(stream);
}

async function read(stream: IncomingStream): Promise<number> {
  using tensor: Tensor = await stream.tensor({ into: new Uint8Array(8) });
  return tensor.bytes.length;
}
`,
  );
  writeFileSync(
    join(app, "tsconfig.json"),
    JSON.stringify({
      compilerOptions: {
        strict: true,
        noEmit: true,
        target: "esnext",
        lib: ["esnext"],
        module: "nodenext",
        exactOptionalPropertyTypes: true,
        noUncheckedIndexedAccess: true,
        skipLibCheck: false,
        types: ["node"],
        typeRoots: [join(ROOT, "node_modules", "@types")],
      },
      include: ["consumer.ts"],
    }),
  );
  run(join(BIN, "tsc"), ["-p", "."], app);
});
