/** `asoc doctor`, on each runtime. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { type Process, RUNTIMES } from "../support/process.ts";
import { Home, ready } from "./support.ts";

function finding(process: Process, check: string) {
  const found = process.events.find((one) => one.event === "finding" && one.check === check);
  assert.ok(found, `no finding about ${check}: ${process.stdout}`);
  return found;
}

for (const runtime of RUNTIMES) {
  test(`asoc doctor on ${runtime} finds runtime, key, ports, broadcast and clock in order`, async () => {
    await using home = await Home.make();
    const doctor = home.node(runtime, ["doctor", "--json", "--port", "0"]);
    assert.equal(await doctor.exitWithin(), 0, doctor.stderr);
    for (const check of ["runtime", "key", "ports", "broadcast", "clock", "peers", "open files"]) {
      assert.equal(finding(doctor, check).level, "ok", check);
    }
    const kernel = readFileSync("/proc/sys/net/ipv4/tcp_congestion_control", "utf8").trim();
    const congestion = finding(doctor, "congestion control");
    assert.equal(congestion.level, kernel === "bbr" ? "warning" : "ok");
    assert.match(String(congestion.found), new RegExp(`^${kernel}`));
  });
}

test("asoc doctor says that a port is in use, and what to do", async () => {
  await using home = await Home.make();
  const serve = home.node("node", ["serve", "--json", "--port", "0", "--no-discovery"]);
  const { port } = await ready(serve);
  const doctor = home.node("node", ["doctor", "--json", "--port", String(port)]);
  assert.equal(await doctor.exitWithin(), 0);
  const ports = finding(doctor, "ports");
  assert.equal(ports.level, "warning");
  assert.match(String(ports.found), /in use/);
  assert.match(String(ports.advice), /--port/);
});

test("asoc doctor without a key names `asoc keygen`, looks at the rest, and ends with 1", async () => {
  await using home = await Home.make();
  const doctor = home.node("node", ["doctor"], { ASOC_API_KEY: "" });
  assert.equal(await doctor.exitWithin(), 1);
  assert.match(doctor.stdout, /^problem +settings: No key: .*asoc keygen/m);
  assert.match(doctor.stdout, /^(ok|warning) +congestion control/m);
});

test("asoc doctor warns of a weak key", async () => {
  await using home = await Home.make();
  const doctor = home.node("node", ["doctor", "--json", "--port", "0", "--no-discovery"], {
    ASOC_API_KEY: "password",
  });
  assert.equal(await doctor.exitWithin(), 0);
  const key = finding(doctor, "key");
  assert.equal(key.level, "warning");
  assert.match(String(key.advice), /asoc keygen/);
});
