/** ASOC_NO_SKIPS=1: a test that was skipped counts as failed, unless it wants what nobody can install. */

/** What a kernel or a container refuses, and what was asked for on the command line. */
const ALLOWED = [
  /needs (network namespaces|bridges in the kernel|nftables in the kernel)/,
  /mounting is not allowed here/,
  /few seeds/,
];

/** How many of the `skipped` tests of a suite should have run, by what its runner has said. Bun and Deno give no reasons. */
export function unexpectedSkips(skipped: number, output: string): number {
  const reasons = output.split("\n").flatMap((line) => /^\s*﹣ .* # (.*)$/.exec(line)?.[1] ?? []);
  const allowed = reasons.filter((reason) => ALLOWED.some((one) => one.test(reason))).length;
  return Math.max(0, skipped - allowed);
}
