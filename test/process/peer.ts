/** A node of ours in a process of its own, as tests drive it: `peer_script.ts` on one runtime. */
import assert from "node:assert/strict";
import type { JoinOptions } from "../../src/mod.ts";
import type { Command, SendCommand } from "../support/peer_script.ts";
import { type Json, Process, type ProcessOptions, type RuntimeName } from "../support/process.ts";

export const MiB = 1024 * 1024;
export const KEY = "a key for tests, of more than 128 bits";
export const HOST = "127.0.0.1";

/** Options of `join` that go through JSON. */
export type PeerOptions = Partial<Omit<JoinOptions, "apiKey" | "memoryFor">> & { readonly apiKey?: string };

/** What a sender or a receiver says of one whole tensor. */
export interface Told {
  readonly streamId: number;
  readonly bytes: number;
  readonly sha256: string;
}

let nextId = 1;

export class Peer implements AsyncDisposable {
  readonly runtime: RuntimeName;
  readonly process: Process;
  readonly id: string;
  readonly port: number;

  private constructor(runtime: RuntimeName, process: Process, ready: Json) {
    this.runtime = runtime;
    this.process = process;
    this.id = String(ready.nodeId);
    this.port = Number(ready.port);
  }

  /** Starts it and waits until its ports are open. On loopback and without discovery unless told otherwise. */
  static async start(
    runtime: RuntimeName,
    options: PeerOptions = {},
    where: ProcessOptions = {},
  ): Promise<Peer> {
    const key = options.keys ? {} : { apiKey: KEY };
    const complete = { ...key, community: "process tests", host: HOST, discovery: false, ...options };
    const json = JSON.stringify({ options: complete });
    const process = Process.script(runtime, "test/support/peer_script.ts", [json], where);
    try {
      return new Peer(runtime, process, await process.waitFor((event) => event.event === "ready"));
    } catch (error) {
      await process[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** HOST:PORT, what a peer that dialled it statically may call it. */
  get address(): string {
    return `${HOST}:${this.port}`;
  }
  get pid(): number {
    return this.process.child.pid ?? 0;
  }
  /** The events so far; a later wait can begin here. */
  get mark(): number {
    return this.process.events.length;
  }

  /** Several reach it in one read, so that it takes them in one turn. */
  command(...commands: readonly Command[]): void {
    const lines = commands.map((command) => `${JSON.stringify(command)}\n`);
    this.process.child.stdin?.write(lines.join(""));
  }

  /** The first event of that kind with those fields, from `from` on. */
  event(kind: string, fields: Json = {}, timeoutMs = 20_000, from = 0): Promise<Json> {
    return this.process.waitFor((event) => matches(event, kind, fields), timeoutMs, from);
  }

  /** All events of that kind with those fields so far. */
  all(kind: string, fields: Json = {}, from = 0): Json[] {
    return this.process.events.slice(from).filter((event) => matches(event, kind, fields));
  }

  /** Starts a send and returns its id, by which its events are known. */
  begin(to: string, fields: Omit<SendCommand, "cmd" | "id" | "to">): string {
    const id = `send ${nextId++}`;
    this.command({ cmd: "send", id, to, ...fields });
    return id;
  }

  /** Sends, and waits until all of it is in the kernel. */
  async send(
    to: string,
    fields: Omit<SendCommand, "cmd" | "id" | "to">,
    timeoutMs = 60_000,
  ): Promise<Told[]> {
    const from = this.mark;
    const id = this.begin(to, fields);
    await this.event("sendDone", { id }, timeoutMs, from);
    const failed = this.all("sendFailed", { id }, from);
    assert.deepEqual(failed, [], `${this.runtime} cannot send`);
    return this.all("sent", { id }, from) as unknown as Told[];
  }

  /** Waits for the tensors that another says it has sent; they must have come whole, from `peer`, and just once. */
  async receives(sent: readonly Told[], peer: string, from: number, timeoutMs = 60_000): Promise<void> {
    for (const { streamId, bytes, sha256 } of sent) {
      const fields = { peer, streamId };
      const came = await this.event("tensor", fields, timeoutMs, from);
      assert.deepEqual(
        { bytes: came.bytes, sha256: came.sha256 },
        { bytes, sha256 },
        `${this.runtime}, stream ${streamId}`,
      );
      assert.equal(
        this.all("tensor", fields, from).length,
        1,
        `${this.runtime}: stream ${streamId} came twice`,
      );
    }
  }

  async stats(): Promise<Json> {
    const id = `stats ${nextId++}`;
    const from = this.mark;
    this.command({ cmd: "stats", id });
    return this.event("stats", { id }, 20_000, from);
  }

  /** Collects its garbage. */
  async collect(): Promise<void> {
    const id = `collect ${nextId++}`;
    const from = this.mark;
    this.command({ cmd: "collect", id });
    await this.event("collected", { id }, 20_000, from);
  }

  /** Its counters, once `accept` is content with them. */
  async statsUntil(accept: (stats: Json) => boolean, timeoutMs = 10_000): Promise<Json> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const stats = await this.stats();
      if (accept(stats)) return stats;
      if (performance.now() > deadline) {
        throw new Error(
          `${this.runtime}: the counters did not come to what was awaited: ${JSON.stringify(stats)}`,
        );
      }
    }
  }

  /** Leaves in order, and says what `close()` said. */
  async close(timeoutMs = 20_000): Promise<Json> {
    this.command({ cmd: "close" });
    const closed = await this.event("closed", {}, timeoutMs);
    assert.equal(await this.process.exitWithin(timeoutMs), 0);
    return closed;
  }

  /** kill -9, and gone. */
  async kill(): Promise<void> {
    this.process.kill("SIGKILL");
    await this.process.exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.process[Symbol.asyncDispose]();
  }
}

function matches(event: Json, kind: string, fields: Json): boolean {
  return event.event === kind && Object.entries(fields).every(([name, value]) => event[name] === value);
}
