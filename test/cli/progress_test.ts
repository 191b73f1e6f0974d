import assert from "node:assert/strict";
import { test } from "node:test";
import { Output } from "../../src/cli/output.ts";
import { ProgressBar, renderBar } from "../../src/cli/progress.ts";
import { bytesText, plainText, transferText } from "../../src/cli/text.ts";

function terminal(isTTY: boolean) {
  const written: string[] = [];
  return { isTTY, columns: 80, written, write: (text: string) => written.push(text) };
}

test("renderBar() shows share, bytes and rate", () => {
  assert.equal(
    renderBar("model.npy", 50e6, 100e6, 0.5, 90),
    "model.npy [============>           ]  50%  50.0 MB of 100.0 MB  100.0 MB/s",
  );
  assert.match(renderBar("a", 0, 0, 0, 80), /100%/);
  assert.match(renderBar("a", 200, 100, 1, 80), /\[={24}\] 100%/, "a file that grew");
  assert.match(renderBar("standard input", 1e6, undefined, 1, 80), /^standard input {2}1\.0 MB +1\.0 MB\/s$/);
});

test("renderBar() never fills the line, and keeps the end of a long name", () => {
  const name = "/very/long/path/".repeat(10);
  for (let columns = 1; columns <= 200; columns++) {
    assert.ok(renderBar(name, 1e9, 2e9, 1.5, columns).length < Math.max(2, columns));
    assert.ok(renderBar(name, 1e9, undefined, 1.5, columns).length < Math.max(2, columns));
  }
  assert.match(renderBar(`${name}end.npy`, 1, 2, 1, 100), /^….*end\.npy \[/);
});

test("ProgressBar draws on a terminal, at most ten times a second", () => {
  const stream = terminal(true);
  let now = 0;
  const bar = new ProgressBar("a", 100, stream, () => now);
  bar.update(1);
  now = 99;
  bar.update(2);
  assert.equal(stream.written.length, 1);
  now = 100;
  bar.update(3);
  assert.equal(stream.written.length, 2);
  bar.hide();
  assert.equal(stream.written.at(-1), "\r\u001b[K");
  bar.hide();
  assert.equal(stream.written.length, 3, "nothing to hide");
});

test("ProgressBar begins at what was there, which is no part of the rate", () => {
  const stream = terminal(true);
  let now = 0;
  const bar = new ProgressBar("a", 100e6, stream, () => now);
  now = 1000;
  bar.skip(40e6);
  bar.update(50e6);
  assert.match(stream.written.join(""), /\[=+> +\] +50% +50\.0 MB of 100\.0 MB +10\.0 MB\/s/);
});

test("ProgressBar writes nothing to a pipe", () => {
  const stream = terminal(false);
  const bar = new ProgressBar("a", 100, stream);
  bar.update(1);
  bar.hide();
  assert.deepEqual(stream.written, []);
});

test("Output.log() clears the bar before its line", () => {
  const stream = terminal(true);
  const output = new Output(false, stream, stream);
  output.bar = new ProgressBar("a", 100, stream);
  output.bar.update(1);
  output.log("hello");
  assert.deepEqual(stream.written.slice(1), ["\r\u001b[K", "asoc: hello\n"]);
});

test("Output with json prints events alone on standard output, errors on both", () => {
  const [out, err] = [terminal(false), terminal(false)];
  const output = new Output(true, out, err);
  output.event({ event: "ready", port: 1 }, "human");
  output.error(new Error("broken"));
  assert.deepEqual(out.written, [
    '{"event":"ready","port":1}\n',
    '{"event":"error","code":"ASOC_FAILED","message":"broken"}\n',
  ]);
  assert.deepEqual(err.written, ["asoc: error: broken\n"]);
});

test("bytesText(), transferText() and plainText() read well", () => {
  assert.deepEqual([0, 999, 1000, 999_949, 999_950, 1.5e12, 1e16].map(bytesText), [
    "0 B",
    "999 B",
    "1.0 kB",
    "999.9 kB",
    "1.0 MB",
    "1.5 TB",
    "10000.0 TB",
  ]);
  assert.equal(transferText(5, 0.001), "5 B in 0.00 s");
  assert.equal(transferText(2e9, 1), "2.0 GB in 1.00 s, 2.0 GB/s");
  assert.equal(plainText("a\u001b[31mb\u202e"), "a\\u{1b}[31mb\\u{202e}");
});

test("ProgressBar takes a terminal that does not know its width for one of 80 columns", () => {
  const stream = { ...terminal(true), columns: 0 };
  new ProgressBar("receiving", undefined, stream, () => 0).update(1e6);
  assert.match(stream.written.join(""), /receiving {2}1\.0 MB/);
});
