/**
 * Many seeded lives of small communities, with losses, half-open connections, partitions in one direction and in both, and
 * restarts: nothing is lost in silence, nothing comes twice, no content is wrong, no failure is without a reason, no memory
 * goes over its limit, and nothing is left behind.
 *
 * Each runtime has seeds of its own, so that all three together run 10,000. ASOC_SIM_SEEDS=n runs the seeds 0 to n - 1
 * instead, ASOC_SIM_SEED=n that one alone.
 */
import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import { type Outcome, runSeed } from "./scenario.ts";

const { ASOC_SIM_SEEDS, ASOC_SIM_SEED } = process.env;
const [first, count] = range();
/** The seeds are spread over a few tests, so that a runner sees progress. */
const GROUPS = count < 10 ? 1 : 10;
/** Of so many seeds one runs with `detachReleased`. */
const DETACHED_ONE_IN = 8;

const SUMMED = ["sends", "received", "failedStreams", "cuts", "halfOpen", "restarts"] as const;
const sum = { sends: 0, received: 0, failedStreams: 0, cuts: 0, halfOpen: 0, restarts: 0 };
const failures = new Map<string, number>();

/** The first seed, and how many there are. */
function range(): readonly [number, number] {
  if (ASOC_SIM_SEED !== undefined) return [Number(ASOC_SIM_SEED), 1];
  if (ASOC_SIM_SEEDS !== undefined) return [0, Number(ASOC_SIM_SEEDS)];
  if (process.versions.bun !== undefined) return [0, 4000];
  return process.versions.deno === undefined ? [4000, 3000] : [7000, 3000];
}

function add(outcome: Outcome): void {
  for (const name of SUMMED) sum[name] += outcome[name];
  for (const [code, times] of outcome.failures) failures.set(code, (failures.get(code) ?? 0) + times);
}

for (let group = 0; group < GROUPS; group++) {
  const from = first + Math.floor((count * group) / GROUPS);
  const to = first + Math.floor((count * (group + 1)) / GROUPS);
  test(`simulated communities, seeds ${from} to ${to - 1}: nothing is lost in silence, doubled or left behind`, async () => {
    for (let seed = from; seed < to; seed++) {
      try {
        add(await runSeed(seed, seed % DETACHED_ONE_IN === 0));
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
  const all = JSON.stringify({ ...sum, failures: Object.fromEntries(failures) });
  assert.ok(sum.sends > 5 * count && sum.received > 3 * count, `too little was sent: ${all}`);
  assert.ok(
    sum.failedStreams > count / 20 && sum.cuts > count / 2 && sum.halfOpen > count / 4,
    `too little went wrong: ${all}`,
  );
  assert.ok(sum.restarts > count / 20, `too few senders were started again: ${all}`);
  for (const code of ["ASOC_OUTCOME_UNKNOWN", "ASOC_CONNECTION_LOST", "ASOC_STOPPED", "given up"])
    assert.ok((failures.get(code) ?? 0) > 0, `no send ended with ${code}: ${all}`);
});
