/** `asoc doctor` on machines that are not as they should be: what it says of runtime and kernel, and what to do, on each runtime. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { MIN_NODE, runtimeFinding, TESTED_BUN, TESTED_DENO } from "../../src/cli/doctor_runtime.ts";
import type { Machine } from "../support/doctor_script.ts";
import { commandFor, type Json, Process, ROOT, RUNTIMES, type RuntimeName } from "../support/process.ts";
import { Home } from "./support.ts";

const DOCTOR = ["--json", "--port", "0", "--no-discovery", "--host", "127.0.0.1"];
const OTHER_NET = `--import ${new URL("test/support/other_net.mjs", `file://${join(ROOT, "/")}`).href}`;
const TCP = "/proc/sys/net/ipv4/tcp_";

/** By what was checked. */
async function findings(runtime: RuntimeName, machine: Machine): Promise<Map<unknown, Json>> {
  await using script = Process.script(runtime, "test/support/doctor_script.ts", [JSON.stringify(machine)]);
  assert.equal(await script.exitWithin(), 0, script.stderr);
  return new Map(script.events.map((finding) => [finding.check, finding]));
}

for (const runtime of RUNTIMES) {
  test(`asoc doctor on ${runtime} says what to do about bbr, small socket buffers and few open files`, async () => {
    const found = await findings(runtime, {
      proc: {
        [`${TCP}congestion_control`]: "bbr",
        [`${TCP}rmem`]: "4096\t131072\t212992",
        [`${TCP}wmem`]: "8192\t16384\t4194303",
        "/proc/self/limits":
          "Max processes  10  10  processes\nMax open files            256    4096    files\n",
      },
    });
    assert.equal(found.get("runtime")?.level, "ok");
    assert.deepEqual(found.get("congestion control"), {
      check: "congestion control",
      level: "warning",
      found: "bbr, which holds loopback and very short paths at about half of what they carry",
      advice:
        "for tests on one machine: sysctl -w net.ipv4.tcp_congestion_control=cubic (on real networks bbr is fine)",
    });
    assert.deepEqual(found.get("receive buffer"), {
      check: "receive buffer",
      level: "warning",
      found: "up to 212992 bytes",
      advice: 'long fast paths want more: sysctl -w net.ipv4.tcp_rmem="4096 131072 4194304"',
    });
    assert.deepEqual(found.get("send buffer"), {
      check: "send buffer",
      level: "warning",
      found: "up to 4194303 bytes",
      advice: 'long fast paths want more: sysctl -w net.ipv4.tcp_wmem="8192 16384 4194304"',
    });
    assert.deepEqual(found.get("open files"), {
      check: "open files",
      level: "warning",
      found: "256",
      advice: "each connection takes one: ulimit -n 1024",
    });
  });

  test(`asoc doctor on ${runtime} finds nothing to do where the kernel is as it should be, and says nothing of what is not there`, async () => {
    const found = await findings(runtime, {
      proc: {
        [`${TCP}congestion_control`]: "cubic",
        [`${TCP}rmem`]: "4096 131072 4194304",
        "/proc/self/limits": "Max open files            unlimited            unlimited            files\n",
      },
    });
    assert.deepEqual([...found.values()].map(({ check, level, found }) => [check, level, found]).slice(1), [
      ["congestion control", "ok", "cubic"],
      ["receive buffer", "ok", "up to 4194304 bytes"],
      ["open files", "ok", "unlimited"],
    ]);
  });

  test(`asoc doctor on ${runtime} counts the files that it may open itself`, async () => {
    await using home = await Home.make();
    const command = commandFor(runtime, "src/cli/main.ts", ["doctor", ...DOCTOR]);
    const limited = ["sh", "-c", 'ulimit -n 300 && exec "$@"', "sh", ...command] as const;
    await using doctor = new Process(limited, { env: home.env(), cwd: home.dir });
    assert.equal(await doctor.exitWithin(), 0, doctor.stderr);
    const files = doctor.events.find(({ check }) => check === "open files");
    assert.deepEqual([files?.level, files?.found], ["warning", "300"]);
    assert.match(String(files?.advice), /ulimit -n 1024/);
  });

  test(`asoc doctor on ${runtime} says that what arrives lands in place, but with TLS`, async () => {
    await using home = await Home.make();
    for (const [flags, says] of [
      [[], "what arrives lands in its own memory"],
      [["--tls"], "with TLS what arrives is copied once"],
    ] as const) {
      const doctor = home.asoc(runtime, ["doctor", ...DOCTOR, ...flags]);
      assert.equal(await doctor.exitWithin(), 0, doctor.stderr);
      const reading = doctor.events.find(({ check }) => check === "reading");
      assert.deepEqual([reading?.level, reading?.found, reading?.advice], ["ok", says, ""]);
    }
  });
}

test("asoc doctor warns where Node.js cannot take accepted sockets over and copies, and says what to do", async () => {
  await using home = await Home.make();
  const doctor = home.asoc("node", ["doctor", ...DOCTOR], { NODE_OPTIONS: OTHER_NET });
  assert.equal(await doctor.exitWithin(), 0, doctor.stderr);
  const reading = doctor.events.find(({ check }) => check === "reading");
  assert.equal(reading?.level, "warning");
  assert.match(String(reading?.found), /^copied once: /);
  assert.match(String(reading?.advice), /NODE_OPTIONS.*another Node\.js, Bun \S+ or Deno/);
});

test("runtimeFinding() has a Node.js that is too old for a problem, and a Bun or a Deno older than the tested one for a warning", () => {
  const level = (versions: Record<string, string>) => runtimeFinding(versions).level;
  // Both say which Node.js they are like: that does not count.
  const node = "26.10.0";
  assert.equal(level({ node: "22.17.9" }), "problem");
  assert.equal(level({ node: "9.99.0" }), "problem");
  assert.equal(level({ node: "22.18.0" }), "ok");
  assert.equal(level({ node: "100.0.0" }), "ok");
  for (const bun of ["1.4.4", "1.3.99", "0.9.9", "1.4.4-canary.5+abc"])
    assert.equal(level({ node, bun }), "warning", bun);
  for (const bun of ["1.4.5", "1.4.10", "1.10.0", "2.0.0"]) assert.equal(level({ node, bun }), "ok", bun);
  for (const deno of ["2.9.4", "2.8.99", "1.46.3"]) assert.equal(level({ node, deno }), "warning", deno);
  for (const deno of ["2.9.5", "2.10.0", "3.0.0"]) assert.equal(level({ node, deno }), "ok", deno);
  assert.deepEqual(runtimeFinding({ node, bun: "1.3.0" }), {
    check: "runtime",
    level: "warning",
    found: "Bun 1.3.0, older than any that was tested",
    advice: `bun upgrade: ${TESTED_BUN} or later`,
  });
  assert.match(runtimeFinding({ node, deno: "2.0.0" }).advice, /^deno upgrade: /);
  assert.match(runtimeFinding({ node: "20.1.0" }).advice, /22\.18 or later/);
});

test("the versions that asoc doctor wants are those of package.json and of the README", async () => {
  const { engines, devDependencies } = JSON.parse(await readFile(join(ROOT, "package.json"), "utf8"));
  assert.equal(`>=${MIN_NODE}`, engines.node);
  assert.equal(TESTED_BUN, devDependencies.bun);
  assert.equal(TESTED_DENO, devDependencies.deno);
  const readme = await readFile(join(ROOT, "README.md"), "utf8");
  const line = `Node.js ${MIN_NODE} or later, Bun (tested from ${TESTED_BUN} on) and Deno (from ${TESTED_DENO} on)`;
  assert.ok(readme.includes(line), line);
});
