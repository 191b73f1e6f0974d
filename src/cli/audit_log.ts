/** `--audit-log`: what its value means. */
import { parseAddress } from "../mod.ts";
import { AuditFile } from "./audit_file.ts";
import { auditLine } from "./audit_line.ts";
import type { AuditSink } from "./audit_sink.ts";
import { SyslogProgram, SyslogUdp } from "./audit_syslog.ts";
import { usageError } from "./exit_codes.ts";
import type { Output } from "./output.ts";

const SYSLOG_PORT = 514;
const SCHEME = "syslog://";

/** Opens the log that `where` names: a file, "-", "syslog" or "syslog://HOST[:PORT]". Throws a usage error. */
export async function openAuditLog(where: string, output: Output): Promise<AuditSink> {
  const report = (text: string) => output.note({ event: "audit-log", text }, text);
  if (where === "-") {
    return {
      write: (event) => {
        const line = auditLine(event);
        output.event({ event: "audit", ...(JSON.parse(line) as Record<string, unknown>) }, line);
      },
      close: async () => {},
    };
  }
  if (where === "syslog") return SyslogProgram.start(report);
  if (where.startsWith(SCHEME)) return new SyslogUdp(syslogAddress(where.slice(SCHEME.length)), report);
  return AuditFile.open(where, report);
}

function syslogAddress(text: string) {
  const hasPort = /:\d+$/.test(text) && (!text.includes("::") || text.includes("]"));
  try {
    return parseAddress(hasPort ? text : `${text}:${SYSLOG_PORT}`);
  } catch {
    throw usageError(`--audit-log: expected ${SCHEME}HOST[:PORT], got ${JSON.stringify(SCHEME + text)}`);
  }
}
