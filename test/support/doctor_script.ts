/**
 * What `asoc doctor` finds, on any runtime, about another machine than this: one JSON object a line for each finding.
 *
 * Argument: `{ versions, proc }`: what `process.versions` says, and the text of files below /proc.
 */
import { kernelFindings } from "../../src/cli/doctor_kernel.ts";
import { runtimeFinding } from "../../src/cli/doctor_runtime.ts";

export interface Machine {
  /** Default: of this process. */
  readonly versions?: Readonly<Record<string, string>>;
  readonly proc: Readonly<Record<string, string>>;
}

const { versions, proc } = JSON.parse(process.argv[2] ?? "{}") as Machine;
const kernel = await kernelFindings(async (path) => proc[path]);
for (const finding of [runtimeFinding(versions), ...kernel]) console.log(JSON.stringify(finding));
