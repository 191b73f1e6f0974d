/**
 * Many seeded lives of small communities, with losses, partitions and restarts: nothing is lost in
 * silence, nothing comes twice, no content is wrong, and nothing is left behind.
 *
 * ASOC_SIM_SEEDS=n runs n seeds instead of 1,000, ASOC_SIM_SEED=n that one alone.
 */
import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import { type Outcome, runSeed } from "./scenario.ts";

const { ASOC_SIM_SEEDS, ASOC_SIM_SEED } = process.env;
const first = ASOC_SIM_SEED === undefined ? 0 : Number(ASOC_SIM_SEED);
const count = ASOC_SIM_SEED === undefined ? Number(ASOC_SIM_SEEDS ?? 1000) : 1;
/** The seeds are spread over a few tests, so that a runner sees progress. */
const GROUPS = count < 10 ? 1 : 10;

const sum: Outcome = { sends: 0, received: 0, failedStreams: 0, cuts: 0 };

for (let group = 0; group < GROUPS; group++) {
  const from = first + Math.floor((count * group) / GROUPS);
  const to = first + Math.floor((count * (group + 1)) / GROUPS);
  test(`simulated communities, seeds ${from} to ${to - 1}: nothing is lost in silence, doubled or left behind`, async () => {
    for (let seed = from; seed < to; seed++) {
      try {
        const outcome = await runSeed(seed);
        for (const name of ["sends", "received", "failedStreams", "cuts"] as const)
          sum[name] += outcome[name];
      } catch (error) {
        throw new Error(`seed ${seed} (run it alone with ASOC_SIM_SEED=${seed}): ${String(error)}`, {
          cause: error,
        });
      }
    }
  });
}

test("simulated communities: the seeds did exercise what they are for", {
  skip: count < 100 ? "few seeds" : false,
}, () => {
  assert.ok(sum.sends > 5 * count && sum.received > 3 * count, `too little was sent: ${JSON.stringify(sum)}`);
  assert.ok(
    sum.failedStreams > count / 20 && sum.cuts > count,
    `too little went wrong: ${JSON.stringify(sum)}`,
  );
});
