/** The environment of a command, and why the system refused a file, in words. */

export type Environment = Readonly<Record<string, string | undefined>>;

/** The system's code for why a file could not be used, in words where it is a common one. */
export function reason(error: unknown): string {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  const words: Record<string, string> = {
    ENOENT: "there is no such file",
    EACCES: "no permission",
    EISDIR: "it is a directory",
    ENOTDIR: "a part of the path is not a directory",
  };
  return words[code] ?? (error instanceof Error ? error.message : String(error));
}
