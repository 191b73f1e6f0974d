/** Where the Python packages of requirements.txt are, and what to say when they are not there. */
import { existsSync } from "node:fs";
import { join } from "node:path";

const ROOT = join(import.meta.dirname, "..", "..");
export const VENV = join(ROOT, ".venv");
export const VENV_PYTHON = join(VENV, "bin", "python");
export const REQUIREMENTS = join(import.meta.dirname, "requirements.txt");

/** For the `skip` of a test that runs VENV_PYTHON: false, or why it cannot. */
export const SKIP_WITHOUT_PYTHON: string | false = existsSync(VENV_PYTHON)
  ? false
  : "needs the Python packages of test/interop/requirements.txt: npm run python:install";
