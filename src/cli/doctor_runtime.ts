/** The part of `asoc doctor` that is about what runs it: its version, and whether what arrives lands in place. */
import { type Finding, ok, problem, warning } from "./finding.ts";

/** The first Node.js that runs this, and the Bun and the Deno that it was tested with; a test compares them with package.json. */
export const MIN_NODE = "22.18";
export const TESTED_BUN = "1.4.5";
export const TESTED_DENO = "2.9.5";

export function runtimeFinding(
  { node, bun, deno }: Readonly<Record<string, string | undefined>> = process.versions,
): Finding {
  if (bun !== undefined) return testedFinding("Bun", bun, TESTED_BUN, "bun upgrade");
  if (deno !== undefined) return testedFinding("Deno", deno, TESTED_DENO, "deno upgrade");
  const found = `Node.js ${node}`;
  return isOlder(node ?? "", MIN_NODE)
    ? problem("runtime", found, `Node.js ${MIN_NODE} or later is needed`)
    : ok("runtime", found);
}

/** An older one may do, but nobody has tried it. */
function testedFinding(name: string, version: string, tested: string, command: string): Finding {
  const found = `${name} ${version}`;
  return isOlder(version, tested)
    ? warning("runtime", `${found}, older than any that was tested`, `${command}: ${tested} or later`)
    : ok("runtime", found);
}

function isOlder(version: string, than: string): boolean {
  const has = numbersOf(version);
  const wants = numbersOf(than);
  const at = wants.findIndex((number, index) => number !== (has[index] ?? 0));
  return at >= 0 && (has[at] ?? 0) < (wants[at] ?? 0);
}

/** A suffix such as "-canary.1" does not count. */
const numbersOf = (version: string) => version.split(".").map((part) => Number.parseInt(part, 10) || 0);

export function readingFinding(node: { readonly directRead: boolean }, isTls: boolean): Finding {
  if (isTls) return ok("reading", "with TLS what arrives is copied once");
  if (node.directRead) return ok("reading", "what arrives lands in its own memory");
  return warning(
    "reading",
    "copied once: connections that are taken could not be read in place when this was tried at the start",
    `try once more when the machine is less busy; else without what changes node:net (NODE_OPTIONS), or with another Node.js, Bun ${TESTED_BUN} or Deno ${TESTED_DENO}. Tensors arrive whole all the same`,
  );
}
