/** The gateway over HTTPS, asked by a real curl that verifies it. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { Process, RUNTIMES } from "../support/process.ts";
import { event, Home, ready } from "./support.ts";

const hasCurl = spawnSync("curl", ["--version"]).status === 0;
const SERVE = [
  "serve",
  "--json",
  "--port",
  "0",
  "--no-discovery",
  "--gateway",
  "127.0.0.1:0",
  "--gateway-tls",
];

async function curl(...words: string[]): Promise<{ code: number | string; stdout: string }> {
  await using run = new Process(["curl", "--silent", "--max-time", "10", ...words]);
  return { code: await run.exitWithin(), stdout: run.stdout };
}

for (const runtime of RUNTIMES) {
  test(`asoc serve --gateway-tls answers curl --cacert over HTTPS, and nothing over HTTP, on ${runtime}`, {
    skip: hasCurl ? false : "no curl",
  }, async () => {
    await using home = await Home.make();
    for (const words of [["init"], ["issue", "gw", "--out", home.path("gw"), "--for", "127.0.0.1"]])
      assert.equal(await home.asoc(runtime, ["certs", ...words]).exitWithin(), 0);
    const serve = home.node(runtime, [...SERVE, "--tls-dir", home.path("gw")]);
    const { id } = await ready(serve);
    const { url, port } = await event(serve, "gateway");
    assert.match(String(url), /^https:/);
    const trusting = ["--cacert", home.path("gw", "ca.crt")];
    const health = await curl(...trusting, `${url}/v1/health`);
    assert.equal(health.code, 0);
    assert.equal((JSON.parse(health.stdout) as { nodeId: string }).nodeId, id);
    const stream = await curl(...trusting, "--max-time", "4", `${url}/v1/events`);
    assert.equal(stream.code, 28, "the stream of events stays open");
    assert.match(stream.stdout, /^(event|id|data|retry|:)/m);
    assert.equal((await curl(`${url}/v1/health`)).code, 60, "nobody vouches for it elsewhere");
    assert.notEqual((await curl(`http://127.0.0.1:${port}/v1/health`)).stdout, health.stdout);
    serve.kill("SIGINT");
    assert.equal(await serve.exitWithin(), 0, serve.stderr);
  });
}

test("the certificate that a node makes for itself serves HTTPS on loopback", {
  skip: hasCurl ? false : "no curl",
}, async () => {
  await using home = await Home.make();
  const serve = home.node("node", [...SERVE, "--tls"]);
  const { url } = await event(serve, "gateway");
  const own = home.path(".asoc", "certs", "node.pem");
  assert.equal((await curl("--cacert", own, `${url}/v1/health`)).code, 0);
});
