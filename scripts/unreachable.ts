/** Whether npm could not reach a registry, as against what it found there. */

/** Of `npm error code …`: nobody answered. Everything else is an answer, or npm's own failure. */
const CODES = new Set([
  "ENOTFOUND",
  "EAI_AGAIN",
  "ECONNREFUSED",
  "ECONNRESET",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ETIMEDOUT",
  "ERR_SOCKET_TIMEOUT",
]);

/** The code by which npm says that, in what it wrote to standard error; undefined: it failed for another reason. */
export function unreachableCode(stderr: string): string | undefined {
  const [, code = ""] = /^npm (?:error|ERR!) code (\S+)$/m.exec(stderr) ?? [];
  return CODES.has(code) ? code : undefined;
}
