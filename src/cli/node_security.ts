/** What a command's node is guarded with: its audit log, and its access rules, which SIGHUP reads again. */
import type { AsocNode, JoinOptions } from "../mod.ts";
import { accessText, readAccess } from "./access_file.ts";
import { openAuditLog } from "./audit_log.ts";
import type { AuditSink } from "./audit_sink.ts";
import type { NodeSettings } from "./config.ts";
import type { Output } from "./output.ts";

type Settings = Pick<NodeSettings, "auditLog" | "accessFile" | "legacy" | "tap">;

export class NodeSecurity {
  readonly #settings: Settings;
  readonly #output: Output;
  readonly #sink: AuditSink | undefined;
  readonly #onHangUp = (): void => void this.#reload();
  #node: AsocNode | undefined;
  /** For `join`. */
  readonly options: Pick<JoinOptions, "access" | "audit" | "legacy" | "tap">;

  private constructor(
    settings: Settings,
    output: Output,
    sink: AuditSink | undefined,
    access: JoinOptions["access"],
  ) {
    this.#settings = settings;
    this.#output = output;
    this.#sink = sink;
    this.options = {
      tap: settings.tap,
      ...(settings.legacy === undefined ? {} : { legacy: settings.legacy }),
      ...(access ? { access } : {}),
      ...(sink ? { audit: (event) => sink.write(event) } : {}),
    };
  }

  /** Reads the rules and opens the log. Rejects with a usage error. */
  static async open(settings: Settings, output: Output): Promise<NodeSecurity> {
    const { auditLog, accessFile } = settings;
    const access = accessFile === undefined ? undefined : await readAccess(accessFile);
    const sink = auditLog === undefined ? undefined : await openAuditLog(auditLog, output);
    if (access) output.log(`access: ${accessText(access)}`);
    return new NodeSecurity(settings, output, sink, access);
  }

  /** From now on SIGHUP reads the rules again; it ends what does not stay, as ever. */
  guard(node: AsocNode, stays: boolean): void {
    this.#node = node;
    if (stays && this.#settings.accessFile !== undefined) process.on("SIGHUP", this.#onHangUp);
  }

  /** The node has closed: the log is finished. */
  async close(): Promise<void> {
    process.off("SIGHUP", this.#onHangUp);
    await this.#sink?.close();
  }

  async #reload(): Promise<void> {
    const { accessFile = "" } = this.#settings;
    try {
      const access = await readAccess(accessFile);
      this.#node?.setAccess(access);
      this.#output.note({ event: "access", loaded: true }, `access: ${accessText(access)}`);
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      this.#node?.noteAudit({
        what: "access.refused",
        outcome: "refused",
        reason: "ASOC_CONFIG",
        facts: { text },
      });
      this.#output.note({ event: "access", loaded: false, text }, `the old access rules stay: ${text}`);
    }
  }
}
