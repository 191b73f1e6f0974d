/** Texts that go to the other side: for people, short, and without anything that a terminal could take for more. */
import { MAX_REASON_BYTES } from "../limits.ts";

/** At most MAX_REASON_BYTES of UTF-8; our messages are ASCII but for what a peer has named. */
export function clippedReason(text: string): string {
  const ascii = text.replaceAll(/[^\x20-\x7e]/g, "?");
  return ascii.length <= MAX_REASON_BYTES ? ascii : `${ascii.slice(0, MAX_REASON_BYTES - 3)}...`;
}
