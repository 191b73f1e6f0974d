import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { RUNTIMES } from "../support/process.ts";
import { Home, noise, ready } from "./support.ts";

test("nobody found: the refused beacons are counted by reason, exit code 3", async () => {
  await using home = await Home.make();
  await home.file("a", noise(1));
  const otherKey = home.node("node", ["serve", "--json", "--port", "0"], {
    ASOC_API_KEY: "another",
  });
  const otherCommunity = home.node("bun", ["serve", "--json", "--port", "0", "--community", "elsewhere"]);
  await ready(otherKey);
  await ready(otherCommunity);
  assert.match(otherKey.stderr, /warning: the key of ASOC_API_KEY looks weak/);
  // Each with a key of its own, or they would find each other.
  const runs = RUNTIMES.flatMap((runtime) => [
    home.node(runtime, ["peers", "--wait", "1", "--timeout", "4.5", "--json"], {
      ASOC_API_KEY: `${home.key}${runtime}`,
    }),
    home.node(runtime, ["send", "a", "--to", "gpu1", "--timeout", "4.5", "--json"], {
      ASOC_API_KEY: `${runtime}${home.key}`,
    }),
  ]);
  for (const run of runs) {
    assert.equal(await run.exitWithin(30_000), 3, run.stderr);
    const error = run.events.find((one) => one.event === "error");
    assert.equal(error?.code, "ASOC_NO_PEERS");
    assert.match(String(error?.message), /beacons refused: /);
    assert.match(String(error?.message), /\d+ with another key/);
    assert.match(String(error?.message), /\d+ of another community/);
  }
});

describe("on each runtime", { concurrency: 2 }, () => {
  for (const runtime of RUNTIMES) {
    test(`on ${runtime}: connection refused, handshake refused and a port in use say so`, async () => {
      await using home = await Home.make();
      await home.file("a", noise(1));
      const serve = home.node(runtime, ["serve", "--json", "--port", "0", "--no-discovery"]);
      const { address, port } = await ready(serve);
      const to = (where: string, env: Record<string, string> = {}) =>
        home.node(runtime, ["send", "a", "--json", "--timeout", "1", "--to", where], env);
      const nobody = to("127.0.0.1:19298");
      const wrongKey = to(address, { ASOC_API_KEY: "another" });
      const inUse = home.node(runtime, ["serve", "--json", "--port", String(port), "--no-discovery"]);
      const fromVariable = home.node(runtime, ["recv", "--out", "."], { ASOC_PORT: String(port) });

      assert.equal(await nobody.exitWithin(), 3, nobody.stderr);
      assert.match(nobody.stderr, /"127\.0\.0\.1:19298" was not found within 1 s: .*connection refused/);
      assert.equal(await wrongKey.exitWithin(), 3, wrongKey.stderr);
      assert.match(wrongKey.stderr, new RegExp(`was not found within 1 s: ${address}: Handshake refused`));
      assert.equal(await inUse.exitWithin(), 1, inUse.stderr);
      assert.match(inUse.stderr, /Cannot listen on TCP 127\.0\.0\.1:\d+: the port is in use.*--port 0/);
      assert.equal(inUse.events[0]?.code, "ASOC_PORT_IN_USE");
      assert.equal(await fromVariable.exitWithin(), 1);
      assert.match(fromVariable.stderr, /it came from ASOC_PORT/);
      const refused = await serve.waitFor((one) => one.event === "refused");
      assert.equal(refused.code, "ASOC_WRONG_KEY");
    });

    test(`recv --timeout on ${runtime} gives up with 3 when nobody is there`, async () => {
      await using home = await Home.make();
      const recv = home.node(runtime, ["recv", "--out", "out", "--timeout", "0.5", "--json"]);
      assert.equal(await recv.exitWithin(), 3, recv.stderr);
      assert.match(recv.stderr, /Received 0 of 1 files within 0\.5 s/);
    });
  }
});
