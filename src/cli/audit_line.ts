/** An audit event as one line of JSON that nothing in it can break: printable ASCII only. */
import type { AuditEvent } from "../mod.ts";

/** Without a line feed at its end. Times are ISO 8601, in UTC. */
export function auditLine(event: AuditEvent): string {
  const { timeMs, what, outcome, reason, who, where, facts, more, moreAddresses } = event;
  const fields = {
    time: new Date(timeMs).toISOString(),
    what,
    outcome,
    reason,
    who: who && Object.keys(who).length > 0 ? who : undefined,
    where,
    more,
    moreAddresses,
    facts: facts && Object.keys(facts).length > 0 ? facts : undefined,
  };
  // JSON escapes the controls below 32; the others could still drive a terminal, or pass for the end of a line.
  return JSON.stringify(fields).replace(
    /[\u007f-\uffff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
