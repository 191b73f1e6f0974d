/** Keeps the key out of what a process shows of itself, as far as a runtime allows. */
import type { Environment } from "./key.ts";

/** Variables that hold a secret themselves. */
const SECRET_VARIABLES = ["ASOC_API_KEY"];

/**
 * The environment, for us alone: what is secret is gone from `process.env` then, so that no child inherits it and no
 * diagnostic report of the runtime shows it. The kernel keeps what the process was started with in /proc/PID/environ,
 * which nothing here can change: a key in a file is not there.
 */
export function takeEnvironment(): Environment {
  const environment = { ...process.env };
  for (const name of SECRET_VARIABLES) delete process.env[name];
  const report = process.report as { excludeEnv?: boolean } | undefined;
  if (report && "excludeEnv" in report) report.excludeEnv = true;
  return environment;
}
