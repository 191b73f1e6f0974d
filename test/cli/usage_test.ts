import assert from "node:assert/strict";
import { stat } from "node:fs/promises";
import { describe, test } from "node:test";
import { VERSION } from "../../src/version.ts";
import { RUNTIMES } from "../support/process.ts";
import { Home } from "./support.ts";

describe("on each runtime", { concurrency: 2 }, () => {
  for (const runtime of RUNTIMES) {
    test(`asoc on ${runtime}: help and version on standard output, exit code 0`, async () => {
      await using home = await Home.make();
      const runs = [["--version"], ["--help"], ["send", "--help"], ["help", "recv"]].map((words) =>
        home.asoc(runtime, words),
      );
      for (const run of runs) assert.equal(await run.exitWithin(), 0, run.stderr);
      const [version, help, send, recv] = runs.map((run) => run.stdout);
      assert.equal(version, `${VERSION}\n`);
      assert.match(
        help ?? "",
        /serve[\s\S]*send[\s\S]*recv[\s\S]*peers[\s\S]*keygen[\s\S]*ASOC_API_KEY_FILE[\s\S]*130 /,
      );
      assert.match(
        send ?? "",
        /Usage: asoc send FILE[\s\S]*--to PEER[\s\S]*--discovery-port[\s\S]*Examples:/,
      );
      assert.match(recv ?? "", /Usage: asoc recv --out DIR/);
    });

    test(`asoc on ${runtime}: what is wrong with the command line ends with 2 and is named`, async () => {
      await using home = await Home.make();
      const cases: [string[], Record<string, string>, RegExp][] = [
        [[], {}, /Usage: asoc COMMAND/],
        [["sned"], {}, /sned: unknown command; commands are serve, send.*asoc --help/],
        [["serve", "--foo"], {}, /--foo: unknown flag; see asoc serve --help/],
        [["serve", "--out", "dir", "extra"], {}, /expected no words, got extra/],
        [["serve"], { ASOC_API_KEY: "" }, /No key: .*asoc keygen/],
        [["serve"], { ASOC_PORT: "x" }, /ASOC_PORT: expected a whole number/],
        [["recv", "--count", "0", "--out", "."], {}, /--count: expected a whole number from 1, got "0"/],
        [["recv"], {}, /--out: expected a directory/],
        [["recv", "--out", "-", "--count", "2"], {}, /--count: standard output takes one tensor/],
        [["send", "--to", "all"], {}, /expected FILE/],
        [
          ["send", "nothing.npy", "--to", "all"],
          {},
          /nothing\.npy: cannot be read \(there is no such file\)/,
        ],
        [["send", "-"], {}, /--to: expected a node id/],
      ];
      const some = runtime === "node" ? cases : cases.slice(0, 5);
      const runs = some.map(([words, env]) => home.asoc(runtime, words, env));
      for (const [index, run] of runs.entries()) {
        assert.equal(await run.exitWithin(60_000), 2, run.stderr);
        assert.match(run.stderr, some[index]?.[2] ?? /^$/);
        assert.equal(run.stdout, "");
      }
    });

    test(`asoc on ${runtime}: with --json an error is an event`, async () => {
      await using home = await Home.make();
      const run = home.asoc(runtime, ["serve", "--json"], { ASOC_API_KEY: "" });
      assert.equal(await run.exitWithin(), 2);
      assert.equal(run.events.length, 1);
      assert.equal(run.events[0]?.event, "error");
      assert.equal(run.events[0]?.code, "ASOC_CONFIG");
    });

    test(`asoc keygen on ${runtime}: 256 bits; --write makes a file for the owner alone, once`, async () => {
      await using home = await Home.make();
      const printed = home.asoc(runtime, ["keygen"]);
      assert.equal(await printed.exitWithin(), 0, printed.stderr);
      assert.match(printed.stdout, /^[0-9a-f]{64}\n$/);
      const written = home.asoc(runtime, ["keygen", "--write"]);
      assert.equal(await written.exitWithin(), 0, written.stderr);
      const file = home.path(".asoc", "api_key");
      assert.equal(written.stdout, `${file}\n`);
      assert.equal((await stat(file)).mode & 0o777, 0o600);
      assert.equal((await stat(home.path(".asoc"))).mode & 0o777, 0o700);
      const before = await stat(file);
      const again = home.asoc(runtime, ["keygen", "--write"]);
      assert.equal(await again.exitWithin(), 1);
      assert.match(again.stderr, /exists: .*--force/);
      assert.equal((await stat(file)).ino, before.ino);
      const forced = home.asoc(runtime, ["keygen", "--write", "--force"]);
      assert.equal(await forced.exitWithin(), 0, forced.stderr);
      assert.notEqual((await stat(file)).ino, before.ino);
      assert.equal((await stat(file)).mode & 0o777, 0o600);
    });
  }
});

test("the help of each command fits a wide terminal, and names what ends it: peers only where it joins", async () => {
  await using home = await Home.make();
  const general = home.asoc("node", ["--help"]);
  assert.equal(await general.exitWithin(), 0);
  const list = /^Commands:\n([\s\S]*?)\n\n/m.exec(general.stdout)?.[1] ?? "";
  const names = [...list.matchAll(/^ {2}(\w+)/gm)].map(([, name = ""]) => name);
  assert.equal(names.length, 11);
  for (const name of names) {
    const help = home.asoc("node", [name, "--help"]);
    assert.equal(await help.exitWithin(), 0, help.stderr);
    for (const line of help.stdout.split("\n"))
      assert.ok(line.length <= 130, `${name}: ${line.length} characters: ${line}`);
    assert.equal(/^Joining:/m.test(help.stdout), /^ {2}3 {4}no peer was found/m.test(help.stdout), name);
    assert.doesNotMatch(help.stdout, /undefined|may be given again; may/);
  }
});
