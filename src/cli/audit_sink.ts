/** Where audit events go. */
import type { AuditEvent } from "../mod.ts";

export interface AuditSink {
  /** Never throws and never waits: what it has no room for is lost, and counted. */
  write(event: AuditEvent): void;
  /** Resolves when what was written is out, or cannot be. */
  close(): Promise<void>;
}

/** Says something to the user, once for each change. */
export type Report = (text: string) => void;

/** Lines that wait for a slow disk, or for room on it. */
export const MAX_WAITING_LINES = 4096;

/** The line that tells of lost events where they are missing. */
export function lostEvent(count: number): AuditEvent {
  return { timeMs: Date.now(), what: "audit.lost", outcome: "noted", more: count };
}
