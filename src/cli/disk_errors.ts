/** What the disk says no with: stable codes for what users can mend, and words that are fit for a peer. */
import { statfs } from "node:fs/promises";
import { AsocError } from "../mod.ts";
import { plainText } from "./text.ts";

/** The same error, or one with a stable code where the disk is full or the process has no file descriptor left. */
export function diskError(error: unknown): unknown {
  switch (systemCode(error)) {
    case "ENOSPC":
    case "EDQUOT":
      return diskFull(error);
    case "EMFILE":
    case "ENFILE":
      return new AsocError(
        "ASOC_OUT_OF_DESCRIPTORS",
        "Cannot write the tensor: no file descriptor is left (ulimit -n)",
        { cause: error },
      );
    default:
      return error;
  }
}

/**
 * Throws ASOC_DISK_FULL when `dir` has no room for `byteCount` bytes now. Asked before the first byte is read, so that a
 * sender hears of it before it has sent all. What others write meanwhile shows when the disk itself refuses.
 */
export async function checkRoom(dir: string, byteCount: number): Promise<void> {
  const room = await statfs(dir).catch(() => undefined); // a file system that cannot say is simply tried
  if (room && room.bsize > 0 && room.bavail * room.bsize < byteCount) throw diskFull(undefined);
}

function diskFull(cause: unknown): AsocError {
  return new AsocError("ASOC_DISK_FULL", "Cannot write the tensor: no room is left on the disk", { cause });
}

/** Why a tensor was not taken, for its sender: messages of the system name paths of this machine, which are not its business. */
export function reasonForPeer(error: unknown): string {
  const code = systemCode(error);
  if (!(error instanceof AsocError) && code !== undefined)
    return `the receiver cannot write it (${plainText(code)})`;
  return plainText(error instanceof Error ? error.message : String(error));
}

function systemCode(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}
