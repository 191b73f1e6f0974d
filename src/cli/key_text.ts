/** What happens to keys, for people. Ids only: no text here ever shows a key. */
import type { NodeEvent } from "../mod.ts";
import { peerText } from "./text.ts";

type KeyEvent = Extract<NodeEvent, { kind: "key" }>;

const WORDS: { readonly [Change in KeyEvent["change"]]: string } = {
  added: "was added",
  current: "signs from now on",
  revoked: "was revoked",
  limited: "has another end",
  ended: "has come to its end",
  offered: "is on offer",
  takenBack: "was taken back",
  replaced: "signs; the keys were read again",
  refused: "was refused",
};

/** "key 0a1b2c3d signs from now on, by PEER". */
export function keyText({ change, keyId, peer, kept, error }: KeyEvent): string {
  const by = peer ? `, by ${peerText(peer)}` : "";
  const why = error instanceof Error ? `: ${error.message}` : "";
  const lost =
    change === "current" && !kept
      ? "; warning: it is in memory only, and this node starts with the old key again: give it a key ring (asoc key --help)"
      : "";
  return `key ${keyId} ${WORDS[change]}${by}${why}${lost}`;
}
