/** `v01_peer.py`, an independent peer of wire v1, as tests drive it. */
import assert from "node:assert/strict";
import { HOST, KEY, type Told } from "../process/peer.ts";
import { type Json, Process } from "../support/process.ts";

export const COMMUNITY = "interop";

/** The Python peer in a process of its own; it says one event a line, as ours do. */
export class PythonPeer implements AsyncDisposable {
  readonly process: Process;
  readonly port: number;
  /** With dashes, as we print ids. */
  readonly id: string;

  private constructor(process: Process, ready: Json) {
    this.process = process;
    this.port = Number(ready.port);
    this.id = String(ready.nodeId).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
  }

  static async start(flags: Readonly<Record<string, string | number>> = {}): Promise<PythonPeer> {
    const all = { "api-key": KEY, community: COMMUNITY, host: HOST, ...flags };
    const args = Object.entries(all).flatMap(([name, value]) => [`--${name}`, String(value)]);
    const process = new Process(["python3", "test/interop/v01_peer.py", ...args]);
    try {
      return new PythonPeer(process, await process.waitFor((event) => event.event === "ready"));
    } catch (error) {
      await process[Symbol.asyncDispose]();
      throw error;
    }
  }

  get address(): string {
    return `${HOST}:${this.port}`;
  }

  /** It has received what we say that we sent, with the same digest. */
  async receives(sent: readonly Told[], direction: "inbound" | "outbound", from = 0): Promise<void> {
    for (const { streamId, bytes, sha256 } of sent) {
      const matches = (event: Json) =>
        event.event === "tensor" && event.direction === direction && event.streamId === streamId;
      const came = await this.process.waitFor(matches, 20_000, from);
      assert.deepEqual([came.bytes, came.sha256], [bytes, sha256]);
    }
  }

  /** What it says it has sent so far, once that is `count` tensors. */
  async sent(count: number): Promise<Told[]> {
    const sent = () => this.process.events.filter((event) => event.event === "sent");
    await this.process.waitUntil(() => sent().length >= count);
    return sent() as unknown as Told[];
  }

  all(kind: string): Json[] {
    return this.process.events.filter((event) => event.event === kind);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.process[Symbol.asyncDispose]();
  }
}
