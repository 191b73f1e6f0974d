/** Files that only their owner can read or write, such as keys and tokens: there as a whole, or not at all. */
import { randomBytes } from "node:crypto";
import { mkdir, open, rename, unlink } from "node:fs/promises";
import { dirname } from "node:path";
import { reason } from "./environment.ts";
import { CliError, ExitCode } from "./exit_codes.ts";

/**
 * Writes `text` under another name, mode 600 and flushed, and lets `place` put it at `file`: by default in place of what is
 * there, in one step. Makes the folder, mode 700. Rejects with a CliError when it cannot be written.
 */
export async function writePrivate(
  file: string,
  text: string,
  place: (temporary: string, file: string) => Promise<void> = rename,
): Promise<void> {
  const temporary = `${file}.${randomBytes(6).toString("hex")}.tmp`;
  try {
    await mkdir(dirname(file), { recursive: true, mode: 0o700 });
    const handle = await open(temporary, "wx", 0o600);
    try {
      await handle.chmod(0o600); // whatever the umask is
      await handle.writeFile(text);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await place(temporary, file);
  } catch (error) {
    if (error instanceof CliError) throw error;
    throw new CliError(ExitCode.FAILURE, "ASOC_CONFIG", `Cannot write ${file}: ${reason(error)}`, {
      cause: error,
    });
  } finally {
    await unlink(temporary).catch(() => {});
  }
}
