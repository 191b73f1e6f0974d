/** The modules of the dashboard that know no browser: figures, slices, filters, curl lines, series. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
const ASSETS = join(ROOT, "gateway", "dashboard", "assets");

/** They are JavaScript, with types in comments that `tsconfig.dashboard.json` checks; here the few that are used. */
async function load<T>(name: string): Promise<T> {
  return (await import(pathToFileURL(join(ASSETS, name)).href)) as T;
}

const units = await load<{
  formatBytes(n: number | null): string;
  formatRate(n: number | null): string;
  formatMs(n: number | null): string;
  formatSpan(n: number): string;
  formatValue(n: number | null): string;
}>("units.js");
const slices = await load<{
  planSlice(
    shape: number[],
    indices?: number[],
  ): { slice: string; rows: number; columns: number; rowStep: number; columnStep: number } | undefined;
  flatten(data: unknown, complex: boolean): Float64Array;
}>("slice.js");
const { matcher } = await load<{ matcher(pattern: string): (text: string) => boolean }>("match.js");
const { curlLines } = await load<{
  curlLines(selection: { kind: string; id?: string }, origin: string, token: boolean): { command: string }[];
}>("curl.js");
interface SeriesLike {
  at: number[];
  in: (number | null)[];
  peers: Map<string, { in: (number | null)[]; out: (number | null)[] }>;
  load(history: unknown): void;
  add(rates: unknown): void;
}
const { Series } = await load<{ Series: new () => SeriesLike }>("series.js");

test("sizes count in 1024s, rates in 1000s, and both keep three digits", () => {
  assert.deepEqual([0, 1023, 1024, 1536, 10 * 1024 * 1024, 2 ** 40].map(units.formatBytes), [
    "0 B",
    "1023 B",
    "1.00 KiB",
    "1.50 KiB",
    "10.0 MiB",
    "1.00 TiB",
  ]);
  assert.deepEqual([0, 999, 1000, 123_456, 999_999, 4.7e9].map(units.formatRate), [
    "0 B/s",
    "999 B/s",
    "1.00 kB/s",
    "123 kB/s",
    "1.00 MB/s",
    "4.70 GB/s",
  ]);
  assert.equal(units.formatBytes(null), "–");
});

test("durations and values read well from tiny to huge", () => {
  assert.deepEqual([0.083, 1.5, 250, 2500].map(units.formatMs), ["83 µs", "1.50 ms", "250 ms", "2.5 s"]);
  assert.deepEqual([59_000, 61_000, 7_500_000].map(units.formatSpan), ["59 s", "1 min 01 s", "2 h 05 min"]);
  assert.deepEqual([0, -1.5, 1e-9, 2.5e30, Number.NaN, Number.NEGATIVE_INFINITY].map(units.formatValue), [
    "0",
    "−1.5",
    "1.000e−9",
    "2.500e30",
    "NaN",
    "−∞",
  ]);
});

test("planSlice() shows at most 64 by 64 elements of any shape", () => {
  assert.equal(slices.planSlice([])?.slice, "");
  assert.equal(slices.planSlice([10, 0]), undefined);
  assert.equal(slices.planSlice([64, 96])?.slice, ":,0:96:2");
  assert.equal(slices.planSlice([2, 3, 1000, 5], [1, 9])?.slice, "1,2,0:1000:16,:");
  const vector = slices.planSlice([1_000_000]);
  assert.equal(vector?.slice, "0:1000000:245");
  for (const length of [1, 63, 64, 65, 4095, 4096, 4097, 123_456]) {
    const row = slices.planSlice([length]);
    const plane = slices.planSlice([length, length]);
    assert.ok(row && row.rows <= 64 && row.columns <= 64 && row.rows * row.columns >= Math.min(length, 2048));
    assert.ok(plane && plane.rows <= 64 && plane.rows * plane.rowStep >= length);
  }
});

test("flatten() reads the gateway's JSON of every kind of element", () => {
  assert.deepEqual(
    [
      ...slices.flatten(
        [
          [1, "NaN"],
          ["-Infinity", true],
        ],
        false,
      ),
    ],
    [1, Number.NaN, Number.NEGATIVE_INFINITY, 1],
  );
  assert.deepEqual([...slices.flatten(["9007199254740993"], false)], [9007199254740992]);
  assert.deepEqual(
    [
      ...slices.flatten(
        [
          [3, 4],
          [0, "NaN"],
        ],
        true,
      ),
    ],
    [5, Number.NaN],
  );
  assert.deepEqual([...slices.flatten(7, false)], [7]);
});

test("matcher() takes words and globs, and nothing in them is an expression", () => {
  assert.ok(matcher("")("anything") && matcher("LAYER")("kv/layer0") && !matcher("x")("kv"));
  assert.ok(matcher("kv/*")("kv/a") && !matcher("kv/*")("kv/a/b") && matcher("kv/**")("kv/a/b"));
  assert.ok(matcher("a.b*")("a.bc") && !matcher("a.b*")("axbc") && !matcher("(*")("kv"));
});

test("curlLines() quotes what a shell would read, encodes topics, and never shows a token", () => {
  const lines = curlLines({ kind: "topic", id: "it's/$HOME" }, "http://127.0.0.1:8080", true);
  for (const { command } of lines) {
    assert.match(command, /^curl -sS.* -H "Authorization: Bearer \$ASOC_TOKEN" /);
    assert.match(command, /topics\/it's%2F%24HOME|topics\/it'\\''s%2F%24HOME/);
  }
  assert.match(
    lines[2]?.command ?? "",
    /'http:\/\/127\.0\.0\.1:8080\/v1\/topics\/it'\\''s%2F%24HOME\/next\.npy\?timeoutMs=30000'$/,
  );
});

test("Series joins history and live rates, and leaves a gap where the node was away", () => {
  const at = (second: number) => new Date(1_700_000_000_000 + second * 1000).toISOString();
  const rates = (second: number, rate: number) => ({
    at: at(second),
    peers: [{ id: "a", inBytesPerSecond: rate, outBytesPerSecond: 0 }],
    inBytesPerSecond: rate,
    outBytesPerSecond: 0,
    liveStreams: 1,
  });
  const series = new Series();
  const seconds = [0, 1, 2].map((second) => ({ at: at(second), in: second, out: 0, live: 0 }));
  series.load({ seconds, peers: { a: [[7, 8]] } });
  series.add(rates(2, 99)); // history had that second
  series.add(rates(3, 3));
  assert.deepEqual(series.in, [0, 1, 2, 3]);
  assert.deepEqual(series.peers.get("a")?.in, [null, null, 7, 3]);
  series.add(rates(20, 4));
  assert.deepEqual(series.in, [0, 1, 2, 3, null, 4]);
  for (let second = 21; second < 2000; second++) series.add(rates(second, 1));
  assert.equal(series.at.length, 900);
  assert.equal(series.peers.get("a")?.out.length, 900);
});

test("the page names every module that it loads, has nothing inline, and its uPlot is that of package.json", () => {
  const html = readFileSync(join(ROOT, "gateway", "dashboard", "index.html"), "utf8");
  const sources = [...html.matchAll(/(?:src|href)="(\/assets\/[^"]+)"/g)].map(([, path]) => path ?? "");
  for (const path of sources) readFileSync(join(ASSETS, path.slice("/assets/".length)));
  assert.doesNotMatch(html, /<style|\sstyle=|\son[a-z]+=|<script>|https?:/);
  const { devDependencies } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as {
    devDependencies: Record<string, string>;
  };
  const license = readFileSync(join(ASSETS, "vendor", "LICENSE.txt"), "utf8");
  assert.match(license, new RegExp(`^uPlot ${devDependencies.uplot?.replaceAll(".", "\\.")},`));
});
