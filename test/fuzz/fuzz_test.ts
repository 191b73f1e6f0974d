/** 200,000 generated inputs to every parser that takes outside bytes, on each runtime; `npm run fuzz` runs more of them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Fuzzer } from "./engine.ts";
import { SESSIONS } from "./targets/session.ts";
import { TARGETS } from "./targets.ts";

const INPUTS = Number(process.env.ASOC_FUZZ_INPUTS ?? 200_000);
const SEED = Number(process.env.ASOC_FUZZ_SEED ?? Math.floor(Math.random() * 2 ** 32));
const SHARES = TARGETS.reduce((sum, { share }) => sum + share, 0);

test("the recorded sessions that are mutated are delivered whole when nothing is changed", async () => {
  for (const seed of SESSIONS.seeds) {
    const { label } = await SESSIONS.run(seed);
    assert.match(label, /^(dialler|acceptor) {2}true$/);
  }
});

for (const target of TARGETS) {
  const count = Math.ceil((INPUTS * target.share) / SHARES);
  test(`${target.name} survives ${count} inputs (ASOC_FUZZ_SEED=${SEED})`, { timeout: 120_000 }, async () => {
    const fuzzer = new Fuzzer(target, SEED);
    const finding = await fuzzer.run(count);
    const hex = finding && Buffer.from(finding.input).toString("hex");
    assert.equal(finding, undefined, `${finding?.what}\n${hex}\nseed ${SEED}`);
    target.finish?.();
    assert.ok(fuzzer.ways > 1, "all inputs take the same way");
  });
}
