/** The single-file peer, with just the permissions that it names. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Process, ROOT } from "../support/process.ts";

const FILE = "examples/data/sine.npy";
const env = { ASOC_API_KEY: "6f".repeat(32) };

function denoPeer(permissions: readonly string[], args: readonly string[]): Process {
  const deno = join(ROOT, "node_modules", ".bin", "deno");
  const map = join(ROOT, "test", "examples", "offline_imports.json");
  const base = ["--allow-net", "--allow-sys=networkInterfaces", "--allow-env=ASOC_API_KEY"];
  const command: [string, ...string[]] = [
    deno,
    "run",
    "--no-prompt",
    "--import-map",
    map,
    ...base,
    ...permissions,
  ];
  return new Process([...command, "examples/deno_peer.ts", "--host", "127.0.0.1", ...args], { env });
}

test("examples/deno_peer.ts sends a file to another one, found by discovery, with the permissions it names", async () => {
  const out = mkdtempSync(join(tmpdir(), "asoc-deno-"));
  const common = ["--discovery-port", "19402", "--community", "deno-peer-test"];
  await using receiver = denoPeer([`--allow-write=${out}`], [...common, "--count", "1", "--out", out]);
  await receiver.waitFor((event) => event.event === "ready");
  await using sender = denoPeer(["--allow-read=examples/data"], [...common, "--send", FILE]);
  const received = await receiver.waitFor((event) => event.event === "received");
  const bytes = readFileSync(join(ROOT, FILE));
  assert.equal(received.sha256, createHash("sha256").update(bytes).digest("hex"));
  assert.equal(await sender.exitWithin(), 0);
  assert.equal(await receiver.exitWithin(), 0);
  const [kept = ""] = readdirSync(out);
  assert.deepEqual(readFileSync(join(out, kept)), bytes);
  rmSync(out, { recursive: true });
});

test("examples/deno_peer.ts says what is missing when nobody is there, and exits with 1", async () => {
  await using peer = denoPeer(
    ["--allow-read=examples/data"],
    ["--discovery-port", "19403", "--send", FILE, "--timeout", "1"],
  );
  assert.equal(await peer.exitWithin(), 1);
  assert.match(peer.stderr, /Found 0 of 1 peers within 1 s/);
});

test("examples/deno_peer.ts without a key names `asoc keygen` and exits with 2", async () => {
  await using peer = new Process(
    [
      join(ROOT, "node_modules", ".bin", "deno"),
      "run",
      "--no-prompt",
      "--import-map",
      join(ROOT, "test", "examples", "offline_imports.json"),
      "--allow-net",
      "--allow-sys=networkInterfaces",
      "--allow-env=ASOC_API_KEY",
      "examples/deno_peer.ts",
    ],
    { env: { ASOC_API_KEY: "" } },
  );
  assert.equal(await peer.exitWithin(), 2);
  assert.match(peer.stderr, /asoc keygen/);
});
