/**
 * The audit log to syslog: by UDP as RFC 5424 has it, or through the program `logger` to the daemon of this machine, whose
 * socket JavaScript runtimes cannot reach.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createSocket, type Socket } from "node:dgram";
import { isIPv6 } from "node:net";
import { hostname } from "node:os";
import type { Address, AuditEvent } from "../mod.ts";
import { auditLine } from "./audit_line.ts";
import { type AuditSink, lostEvent, type Report } from "./audit_sink.ts";
import { usageError } from "./exit_codes.ts";
import { reason } from "./key.ts";

/** Security messages (RFC 5424, 6.2.1), as a warning where something was refused. */
const AUTHPRIV = 10;
const WARNING = 4;
const NOTICE = 5;
/** What every receiver takes. */
const MAX_MESSAGE_BYTES = 2048;
/** What may wait for `logger` to read it. */
const MAX_WAITING_BYTES = 1024 * 1024;
const RESPAWN_MS = 10_000;
const CLOSE_MS = 2000;

/** One message; `host` and `pid` are those of the sender. */
export function syslogMessage(event: AuditEvent, host: string, pid: number): string {
  const priority = AUTHPRIV * 8 + (event.outcome === "refused" ? WARNING : NOTICE);
  const time = new Date(event.timeMs).toISOString();
  const from = host.replace(/[^\x21-\x7e]/g, "").slice(0, 255) || "-";
  const kind = event.what.replace(/[^\x21-\x7e]/g, "").slice(0, 32);
  const message = `<${priority}>1 ${time} ${from} asoc ${pid} ${kind} - ${auditLine(event)}`;
  if (message.length <= MAX_MESSAGE_BYTES) return message; // it is ASCII
  return syslogMessage({ ...event, facts: { clipped: true } }, host, pid).slice(0, MAX_MESSAGE_BYTES);
}

/** Datagrams to a syslog daemon. What the network loses is lost. */
export class SyslogUdp implements AuditSink {
  readonly #socket: Socket;
  readonly #to: Address;
  readonly #report: Report;
  readonly #host = hostname();
  #failing = false;
  readonly #sending = new Set<Promise<void>>();

  constructor(to: Address, report: Report) {
    this.#to = to;
    this.#report = report;
    this.#socket = createSocket(isIPv6(to.host) ? "udp6" : "udp4");
    this.#socket.on("error", (error) => this.#failed(error));
    this.#socket.unref();
  }

  write(event: AuditEvent): void {
    const { host, port } = this.#to;
    const sent = new Promise<void>((resolve) => {
      this.#socket.send(syslogMessage(event, this.#host, process.pid), port, host, (error) => {
        if (error) this.#failed(error);
        else this.#failing = false;
        resolve();
      });
    });
    this.#sending.add(sent);
    void sent.finally(() => this.#sending.delete(sent));
  }

  async close(): Promise<void> {
    await within(CLOSE_MS, Promise.all(this.#sending));
    this.#socket.close();
  }

  #failed(error: Error): void {
    if (!this.#failing)
      this.#report(`cannot send the audit log to ${this.#to.host}: ${reason(error)}. The node goes on`);
    this.#failing = true;
  }
}

/** Lines to a `logger` that runs as long as the node. */
export class SyslogProgram implements AuditSink {
  readonly #report: Report;
  readonly #environment: Record<string, string>;
  #child: ChildProcess | undefined;
  #startedAtMs = 0;
  #lost = 0;
  #closed = false;

  private constructor(report: Report, environment: Record<string, string>) {
    this.#report = report;
    this.#environment = environment;
  }

  /** Rejects with a usage error where there is no `logger`. */
  static async start(report: Report, path: string = process.env.PATH ?? ""): Promise<SyslogProgram> {
    const sink = new SyslogProgram(report, { PATH: path });
    const child = sink.#start();
    await new Promise<void>((resolve, reject) => {
      child.once("spawn", resolve);
      child.once("error", (error) =>
        reject(
          usageError(
            `--audit-log syslog: there is no program logger here (${reason(error)}); use syslog://HOST:PORT`,
          ),
        ),
      );
    });
    return sink;
  }

  write(event: AuditEvent): void {
    if (!this.#child && Date.now() - this.#startedAtMs > RESPAWN_MS) this.#start();
    const input = this.#child?.stdin;
    if (!input?.writable || input.writableLength > MAX_WAITING_BYTES) {
      this.#lost++;
      return;
    }
    const lost = this.#lost;
    this.#lost = 0;
    if (lost > 0) input.write(`${auditLine(lostEvent(lost))}\n`);
    input.write(`${auditLine(event)}\n`);
  }

  async close(): Promise<void> {
    this.#closed = true;
    const child = this.#child;
    if (!child) return;
    const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
    child.stdin?.end();
    await within(CLOSE_MS, ended);
    if (child.exitCode === null) child.kill();
  }

  #start(): ChildProcess {
    this.#startedAtMs = Date.now();
    // Nothing of our environment: a key may be in it.
    const child = spawn("logger", ["-t", "asoc", "-p", "authpriv.notice"], {
      env: this.#environment,
      stdio: ["pipe", "ignore", "ignore"],
    });
    this.#child = child;
    child.stdin?.on("error", () => {}); // its end says the same
    const gone = () => {
      if (this.#child !== child) return;
      this.#child = undefined;
      if (!this.#closed)
        this.#report("logger has ended: the audit log is lost until it runs again. The node goes on");
    };
    child.on("error", gone);
    child.on("close", gone);
    return child;
  }
}

function within(timeoutMs: number, promise: Promise<unknown>): Promise<unknown> {
  let timer: ReturnType<typeof setTimeout>;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, timeoutMs);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
