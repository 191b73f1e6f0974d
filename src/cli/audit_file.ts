/**
 * The audit log as a file of JSON lines, mode 600. At a size it becomes FILE.1, which becomes FILE.2, and so on; the oldest
 * goes.
 *
 * The node never waits for it. Where the file is deleted or moved away, a new one is begun; where it cannot be written, that
 * is said once, what comes is kept up to a bound, and tried again each second.
 */
import { closeSync, openSync, writeSync } from "node:fs";
import { type FileHandle, open, rename, rm, stat } from "node:fs/promises";
import type { AuditEvent } from "../mod.ts";
import { auditLine } from "./audit_line.ts";
import { type AuditSink, lostEvent, MAX_WAITING_LINES, type Report } from "./audit_sink.ts";
import { usageError } from "./exit_codes.ts";
import { reason } from "./key.ts";

export interface AuditFileOptions {
  /** A file is not longer than this, but for one line. */
  readonly maxBytes?: number;
  /** FILE and those with numbers together. */
  readonly maxFiles?: number;
  readonly retryMs?: number;
}

const DEFAULTS = { maxBytes: 10 * 1024 * 1024, maxFiles: 5, retryMs: 1000 };
const MODE = 0o600;
const GROUP_AND_OTHERS = 0o077;
/** Lines of one write. */
const MAX_BATCH = 256;
const LINE_FEED = 0x0a;

export class AuditFile implements AuditSink {
  readonly #path: string;
  readonly #options: Required<AuditFileOptions>;
  readonly #report: Report;
  #handle: FileHandle;
  #bytes: number;
  #lines: Uint8Array[] = [];
  #lost = 0;
  /** The file ends in the middle of a line: a disk was full. */
  #torn = false;
  #failing = false;
  #pumping: Promise<void> | undefined;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #closed = false;
  readonly #onExit = (): void => this.#writeNow();

  private constructor(
    path: string,
    handle: FileHandle,
    bytes: number,
    options: AuditFileOptions,
    report: Report,
  ) {
    this.#path = path;
    this.#handle = handle;
    this.#bytes = bytes;
    this.#options = { ...DEFAULTS, ...options };
    this.#report = report;
    process.on("exit", this.#onExit);
  }

  /**
   * Appends to the file, or begins it. One that others can read stays as it is, for its mode may be meant; that is said.
   * Rejects with a usage error where that cannot be.
   */
  static async open(path: string, report: Report, options: AuditFileOptions = {}): Promise<AuditFile> {
    const there = await stat(path).catch(() => undefined);
    if (there && !there.isFile())
      throw usageError(`--audit-log: expected a file, got something else: ${path}`);
    try {
      const handle = await open(path, "a", MODE);
      const { size, mode } = await handle.stat();
      const modeBits = mode & 0o777;
      if (process.platform !== "win32" && modeBits & GROUP_AND_OTHERS)
        report(
          `warning: the audit log ${path} has mode ${modeBits.toString(8).padStart(3, "0")}: chmod 600 ${path}`,
        );
      return new AuditFile(path, handle, size, options, report);
    } catch (error) {
      throw usageError(`--audit-log: cannot write ${path} (${reason(error)})`);
    }
  }

  write(event: AuditEvent): void {
    if (this.#closed) return;
    if (this.#lines.length >= MAX_WAITING_LINES) {
      this.#lost++;
      return;
    }
    this.#lines.push(bytesOf(event));
    if (!this.#failing) this.#pump();
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#retry);
    await this.#pumping;
    if (this.#lines.length > 0) await this.#drain();
    process.off("exit", this.#onExit);
    await this.#handle.close().catch(() => {});
  }

  #pump(): void {
    this.#pumping ??= this.#drain().finally(() => {
      this.#pumping = undefined;
    });
  }

  /** Writes what waits, or finds out that it cannot. */
  async #drain(): Promise<void> {
    try {
      while (this.#lines.length > 0) {
        await this.#follow();
        const batch = this.#lines.slice(0, MAX_BATCH);
        await this.#append(batch);
        if (this.#failing) this.#recovered();
      }
    } catch (error) {
      this.#failed(error);
    }
  }

  /** The file may have been deleted, moved away, or grown long enough. */
  async #follow(): Promise<void> {
    const { maxBytes, maxFiles } = this.#options;
    const [there, own] = await Promise.all([
      stat(this.#path).catch(() => undefined),
      this.#handle.stat().catch(() => undefined),
    ]);
    const isSame = there !== undefined && own !== undefined && there.ino === own.ino && there.dev === own.dev;
    const isLong = isSame && this.#bytes > 0 && this.#bytes + (this.#lines[0]?.length ?? 0) > maxBytes;
    if (isSame && !isLong) return;
    if (isLong) {
      if (maxFiles <= 1) await rm(this.#path);
      for (let number = maxFiles - 1; number >= 1; number--) {
        const from = number === 1 ? this.#path : `${this.#path}.${number - 1}`;
        await rename(from, `${this.#path}.${number}`).catch((error: NodeJS.ErrnoException) => {
          if (error.code !== "ENOENT") throw error;
        });
      }
    }
    const next = await open(this.#path, "a", MODE);
    await this.#handle.close().catch(() => {});
    this.#handle = next;
    this.#bytes = (await next.stat()).size;
    this.#torn = false;
  }

  /** Takes the lines that are out from the queue. Throws with the rest still in it. */
  async #append(batch: readonly Uint8Array[]): Promise<void> {
    const { maxBytes } = this.#options;
    const fitting: Uint8Array[] = [];
    let byteCount = 0;
    for (const line of batch) {
      if (fitting.length > 0 && this.#bytes + byteCount + line.length > maxBytes) break;
      fitting.push(line);
      byteCount += line.length;
    }
    const isTorn = this.#torn;
    const bytes = Buffer.concat(isTorn ? [Uint8Array.of(LINE_FEED), ...fitting] : fitting);
    let at = 0;
    try {
      while (at < bytes.length) {
        const { bytesWritten } = await this.#handle.write(bytes, at, bytes.length - at);
        if (bytesWritten === 0) throw new Error("nothing could be written");
        at += bytesWritten;
      }
    } catch (error) {
      // Deno throws where the others say how much of it went out.
      const { size } = await this.#handle.stat();
      at = Math.max(at, Math.min(bytes.length, size - this.#bytes));
      throw error;
    } finally {
      this.#bytes += at;
      if (at > 0) this.#torn = bytes[at - 1] !== LINE_FEED;
      let left = at - (isTorn ? 1 : 0);
      for (let line = this.#lines[0]; line && left >= line.length; line = this.#lines[0]) {
        left -= line.length;
        this.#lines.shift();
      }
    }
  }

  #failed(error: unknown): void {
    if (!this.#failing) {
      const why = errorText(error);
      this.#report(`cannot write the audit log ${this.#path}: ${why}. The node goes on; it is tried again`);
    }
    this.#failing = true;
    if (this.#closed) return;
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => this.#pump(), this.#options.retryMs);
    (this.#retry as { unref?: () => void }).unref?.(); // it keeps no program alive
  }

  #recovered(): void {
    this.#failing = false;
    const lost = this.#lost;
    this.#lost = 0;
    if (lost > 0) this.#lines.push(bytesOf(lostEvent(lost)));
    this.#report(`the audit log ${this.#path} is written again; ${lost} events were lost`);
  }

  /** The process ends now: what waits goes out, as far as it can. */
  #writeNow(): void {
    if (this.#lines.length === 0) return;
    try {
      const descriptor = openSync(this.#path, "a", MODE);
      writeSync(descriptor, Buffer.concat(this.#lines));
      closeSync(descriptor);
    } catch {
      // nobody is left to be told
    }
  }
}

const bytesOf = (event: AuditEvent) => new TextEncoder().encode(`${auditLine(event)}\n`);

function errorText(error: unknown): string {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return code === "ENOSPC" || code === "EDQUOT" ? "there is no space left" : reason(error);
}
