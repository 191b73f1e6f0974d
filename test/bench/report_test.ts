/** What the benchmark makes of its figures, on figures that are made up. */
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { commandFor, Process } from "../support/process.ts";
import { type Bulk, peersBeside } from "./bulk.ts";
import { chart } from "./chart.ts";
import { pageText, readReport, writeReport } from "./page.ts";
import { PEERS } from "./peers/peers.ts";
import { FULL_MINUTES, planOf } from "./plan.ts";
import {
  belowFloor,
  type Made,
  machineText,
  markdown,
  merge,
  missed,
  missedInBulk,
  type PartReport,
} from "./report.ts";
import { Rig, spread } from "./rig.ts";

const made: Made = {
  date: "2030-01-02T03:04:05.000Z",
  command: "npm run bench -- --full",
  machine: "2 × processor",
  versions: { node: "26.0.0", bun: "1.4.0", deno: "2.9.0" },
  seconds: 120,
};
const peer = (name: string, ratio: number) => ({
  name,
  version: "1.0",
  how: "<how> & why",
  throughput: spread([1e9]),
  ratio: spread([ratio]),
});

function bulkWith(ratio: number, more: Partial<Bulk> = {}): Bulk {
  const cell = (from: "node" | "bun", to: "node" | "bun", median: number) => ({
    from,
    to,
    asoc: spread([3e9, 2e9, 4e9]),
    bare: spread([3.1e9]),
    ratio: spread([median]),
  });
  return {
    congestionControl: "bbr",
    rounds: 3,
    tensors: 9,
    matrix: [cell("node", "node", 0.97), cell("node", "bun", ratio)],
    c: spread([3e9]),
    peers: [],
    ...more,
  };
}

const bulkPart = (bulk: Bulk): PartReport => ({ part: "bulk", made, bulk, skipped: [] });
const section = (title: string, missing: string[] = []): PartReport => ({
  part: "micro",
  made,
  section: { name: "micro", title, markdown: ["| a |", "|---|", "| 1 |"], data: { a: 1 }, missed: missing },
  skipped: [],
});

/** A folder for files, gone afterwards. */
function folder() {
  const path = mkdtempSync(join(tmpdir(), "asoc-bench-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true }) };
}

test("belowFloor() names a pair under 0.8 of its control, and none at 0.8", () => {
  assert.deepEqual(belowFloor({ parts: [bulkPart(bulkWith(0.8))] }), []);
  assert.deepEqual(belowFloor({ parts: [bulkPart(bulkWith(0.79))] }), [
    "Node.js → Bun under bbr: 0.79 of the bare socket, the floor is 0.8",
  ]);
});

test("missedInBulk() has the targets of the receiving runtime and of the congestion control", () => {
  const peers = [peer("torch gloo", 1.2), peer("ws", 2.5), peer("pyzmq", 0.5)];
  assert.deepEqual(missedInBulk(bulkWith(0.9, { peers })), [
    "Node.js → Node.js over torch gloo under bbr: 1.20, the target is 1.5",
  ]);
  assert.deepEqual(missedInBulk(bulkWith(0.89, { peers, congestionControl: "reno" })), [
    "Node.js → Bun under reno: 0.89 of the bare socket, the target is 0.9",
  ]);
});

test("markdown() has the matrix with its ratios, the sections, what was missed and what was skipped", () => {
  const bulk = {
    ...bulkPart(bulkWith(0.85)),
    skipped: ["torch gloo (Python module torch is not installed)"],
  };
  const text = markdown({ parts: [bulk, section("Single operations", ["Too slow."])] });
  assert.match(text, /^### 64 MiB tensors under bbr$/m);
  assert.match(
    text,
    /^\| Node\.js \| Bun \| 3\.00 \(2\.00-4\.00\) \| 3\.10 \(3\.10-3\.10\) \| 0\.85 \(0\.85-0\.85\) \|$/m,
  );
  assert.match(text, /^### Single operations\n\n\| a \|$/m);
  assert.match(text, /^- Too slow$/m);
  assert.match(text, /^- Node\.js → Bun under bbr: 0\.85 of the bare socket, the target is 0\.9$/m);
  assert.match(text, /^Skipped: torch gloo \(Python module torch is not installed\)\.$/m);
});

test("a part that was measured by itself says when and how; the others say it once, for the page", () => {
  const alone = { ...made, date: "2030-02-01T00:00:00.000Z", command: "npm run bench -- --only micro" };
  const micro = section("Single operations");
  const scale: PartReport = { ...section("Scale"), part: "scale" };
  const report = { parts: [bulkPart(bulkWith(1)), scale, { ...micro, made: alone }] };
  const text = markdown(report);
  assert.equal(text.match(/Measured on/g)?.length, 1);
  assert.match(
    text,
    /### Single operations\n\nMeasured on 2030-02-01, by itself: `npm run bench -- --only micro`\.\n\n\| a \|/,
  );
  assert.match(
    pageText(report, "x/benchmarks.json"),
    /\*\*Date\*\* 2030-01-02 · \*\*command\*\* `npm run bench -- --full`, 4 minutes/,
  );
});

test("merge() puts a part in the place of what there was of it, in the order of the page", () => {
  const old = { parts: [bulkPart(bulkWith(1)), section("old")] };
  const scale: PartReport = { ...section("scale"), part: "scale" };
  const { parts } = merge(merge(old, section("new")), scale);
  assert.deepEqual(
    parts.map(({ part, section: found }) => [part, found?.title]),
    [
      ["bulk", undefined],
      ["scale", "scale"],
      ["micro", "new"],
    ],
  );
});

test("writeReport() writes JSON that readReport() gives back, the page, and the chart that the page shows", () => {
  using place = folder();
  const file = join(place.path, "sub", "benchmarks.json");
  const report = { parts: [bulkPart(bulkWith(1)), section("Single operations")] };
  const written = writeReport(report, file);
  assert.equal(written.length, 3);
  for (const path of written) assert.ok(existsSync(path));
  assert.deepEqual(readReport(file), JSON.parse(JSON.stringify(report)));
  const page = readFileSync(join(place.path, "sub", "benchmarks.md"), "utf8");
  assert.match(page, /^!\[.*\]\(benchmarks\.svg\)$/m);
  assert.match(page, /\(benchmarks\.json\)/);
  assert.match(page, /^## How it is measured$/m);
  assert.doesNotMatch(page, /\{\{|undefined|NaN/);
});

test("writeReport() leaves the chart alone where there is no bulk", () => {
  using place = folder();
  const written = writeReport({ parts: [section("one")] }, join(place.path, "a.json"));
  assert.deepEqual(written, [join(place.path, "a.json"), join(place.path, "a.md")]);
});

test("readReport() begins anew where the file is of an older form", () => {
  using place = folder();
  const file = join(place.path, "old.json");
  writeFileSync(file, JSON.stringify({ date: "2026-11-23", bulk: [] }));
  assert.deepEqual(readReport(file), { parts: [] });
  assert.deepEqual(readReport(join(place.path, "none.json")), { parts: [] });
});

const published = readReport("docs/benchmarks.json");
test("docs/benchmarks.md is what the program makes of docs/benchmarks.json", {
  skip: published.parts.length === 0 ? "docs/benchmarks.json is of an older form" : false,
}, () => {
  const page = readFileSync("docs/benchmarks.md", "utf8");
  assert.equal(
    page,
    pageText(published, "docs/benchmarks.json"),
    "change test/bench/page.md, then run --into",
  );
});

test("pageText() throws for a place that nothing belongs to", () => {
  assert.throws(() => pageText({ parts: [] }, "a.json", "{{figures}}"), /nothing for \{\{figures\}\}/);
});

test("chart() is well-formed, whatever a library is called", () => {
  const svg = chart(bulkWith(1, { peers: [peer('a<b> & "c"', 2)] }), made.date);
  // Every element that is opened is closed, in order, and nothing else looks like one.
  const open: string[] = [];
  const rest = svg.replace(
    /<(\/?)([a-z]+)((?: [a-z-]+="[^"<&]*"|\s+[a-zA-Z-]+="[^"<&]*")*)\s*(\/?)>/g,
    (_all, closes, name, _attributes, alone) => {
      if (closes) assert.equal(open.pop(), name);
      else if (!alone) open.push(name);
      return "";
    },
  );
  assert.deepEqual(open, []);
  assert.doesNotMatch(rest.replaceAll(/&(amp|lt|gt);/g, ""), /[<&]/);
  assert.equal(svg.match(/<rect /g)?.length, 1 + 3 + 2 * 2 + 1 + 1); // background, legend, pairs, C, a library
});

test("peersBeside() skips by name a library that is not installed, and starts nothing for it", async () => {
  const [first] = PEERS;
  assert.ok(first);
  const absent = { ...first, name: "zeromq.js", missing: async () => "npm package zeromq" };
  const skipped = new Set<string>();
  await using rig = new Rig();
  const rows = await peersBeside(rig, { peerRounds: 1, tensors: 2, peers: [absent] }, skipped, () => {});
  assert.deepEqual(rows, []);
  assert.deepEqual([...skipped], ["zeromq.js (npm package zeromq is not installed)"]);
});

test("planOf() leaves long parts to --full and --only, which has one round of them", () => {
  const names = (wish: Parameters<typeof planOf>[0]) => planOf(wish).map(({ part }) => part);
  assert.ok(!names({ full: false }).some((part) => ["x1", "tls", "floods", "gateway"].includes(part)));
  assert.equal(names({ full: true }).length, 14);
  assert.deepEqual(planOf({ full: false, only: ["micro", "tls"] }), [
    { part: "tls", rounds: 1 },
    { part: "micro", rounds: 1 },
  ]);
  assert.deepEqual(planOf({ full: true, only: ["bulk"] }), [{ part: "bulk", rounds: 9 }]);
  assert.deepEqual(planOf({ full: true, only: ["bulk"], rounds: 2 }), [{ part: "bulk", rounds: 2 }]);
  assert.throws(() => planOf({ full: false, only: ["bulk", "speed"] }), /--only: .*, got speed/);
});

test("a full run is planned to stay under 35 minutes", () => {
  assert.ok(FULL_MINUTES < 35, `${FULL_MINUTES} minutes`);
});

test("machineText() has the kernel's release", () => {
  if (process.platform !== "linux") return;
  assert.ok(machineText().includes(readFileSync("/proc/sys/kernel/osrelease", "utf8").trim()));
});

test("missed() is empty for a report without a target", () => {
  assert.deepEqual(missed({ parts: [section("one")] }), []);
});

test("npm run bench -- --help says how long a full run takes, and ends with 0", async () => {
  await using program = new Process(commandFor("node", "test/bench/main.ts", ["--help"]));
  assert.equal(await program.exited, 0);
  assert.match(program.stdout, new RegExp(`about ${FULL_MINUTES} minutes instead of three`));
});

test("npm run bench ends with 1 when it is told to measure what it does not know", async () => {
  await using program = new Process(commandFor("node", "test/bench/main.ts", ["--only", "speed"]));
  assert.equal(await program.exited, 1);
  assert.match(program.stderr, /--only: expected some of bulk, /);
});
