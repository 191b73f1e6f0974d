/** The examples of `asoc token` against the gateway that they are for. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Hosts } from "../../gateway/access/hosts.ts";
import { token } from "../../src/cli/token.ts";

test("the hosts that the help of asoc token asks are hosts that a gateway answers to", () => {
  const lines = token.examples.map(([line]) => line);
  const names = lines.flatMap((line) => /--gateway-host (\S+)/.exec(line)?.[1] ?? []);
  const asked = token.examples.flatMap(([line, what]) =>
    [...`${line} ${what}`.matchAll(/http:\/\/([^/\s]+)/g)].map(([, host = ""]) => host),
  );
  assert.deepEqual(asked, ["127.0.0.1:8080", "gpu1:8080"]);
  const withoutFlags = new Hosts([], []);
  const withFlags = new Hosts(names, []);
  withoutFlags.checkHost(asked[0]);
  for (const host of asked) withFlags.checkHost(host);
});
