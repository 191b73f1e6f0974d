/** `x1_peer.py`, an independent peer of the extension x1, as tests drive it. */
import assert from "node:assert/strict";
import { HOST, KEY, Peer, type PeerOptions } from "../process/peer.ts";
import { type Json, Process, type RuntimeName } from "../support/process.ts";
import { COMMUNITY } from "./v01_python.ts";

/** What both sides say of a tensor's content and kind; `undefined` is not compared. */
export interface Kind {
  readonly bytes: number;
  readonly dtype?: string;
  readonly shape?: readonly number[];
  readonly topic?: string;
  readonly metadata?: unknown;
  readonly digest?: "none" | "crc32" | "sha256";
}

/** How `send` of the Python peer is to go wrong, or in which steps. */
export interface Course {
  readonly seed?: number;
  readonly unknownTotal?: boolean;
  readonly chunkBytes?: number;
  readonly wrongDigest?: boolean;
  readonly resetAt?: number;
  readonly loseAck?: boolean;
  readonly cutAt?: number;
  readonly cutAfterAck?: number;
  /** 16 hex digits. */
  readonly transferId?: string;
  /** Where its first stream begins, unasked. */
  readonly base?: number;
  /** False: after a break it begins anew, without RESUME?. */
  readonly asks?: boolean;
  /** It is opened although GOAWAY has come, or no more streams may be open. */
  readonly late?: boolean;
  /** Its source gives so many bytes and no more. */
  readonly available?: number;
}

export type Flags = Readonly<Record<string, string | number>>;

let nextId = 1;

export class X1Python implements AsyncDisposable {
  readonly process: Process;
  readonly port: number;
  /** With dashes, as we print ids. */
  readonly id: string;

  private constructor(process: Process, ready: Json) {
    this.process = process;
    this.port = Number(ready.port);
    this.id = String(ready.nodeId).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
  }

  static async start(flags: Flags = {}): Promise<X1Python> {
    const all = { "api-key": KEY, community: COMMUNITY, host: HOST, ...flags };
    const args = Object.entries(all).flatMap(([name, value]) => [`--${name}`, String(value)]);
    const process = new Process(["python3", "test/interop/x1_peer.py", ...args]);
    try {
      return new X1Python(process, await process.waitFor((event) => event.event === "ready"));
    } catch (error) {
      await process[Symbol.asyncDispose]();
      throw error;
    }
  }

  get address(): string {
    return `${HOST}:${this.port}`;
  }
  get mark(): number {
    return this.process.events.length;
  }

  command(cmd: string, fields: Json = {}): void {
    this.process.child.stdin?.write(`${JSON.stringify({ cmd, ...fields })}\n`);
  }

  /** From now on the connection is cut that has brought so many bytes, or a whole tensor, before its ACK. */
  async cutInbound(where: { bytes: number } | { atEnd: true }): Promise<void> {
    const from = this.mark;
    this.command("cutInbound", where);
    await this.event("armed", {}, from);
  }

  /** RESUME! says so from now on, whatever is there. */
  async lie(offset: number): Promise<void> {
    const from = this.mark;
    this.command("lie", { offset });
    await this.event("armed", {}, from);
  }

  event(kind: string, fields: Json = {}, from = 0): Promise<Json> {
    return this.process.waitFor((event) => matches(event, kind, fields), 30_000, from);
  }

  all(kind: string, fields: Json = {}, from = 0): Json[] {
    return this.process.events.slice(from).filter((event) => matches(event, kind, fields));
  }

  /** Begins to send one tensor to our node; the id is that of its events. */
  begin(to: Peer | X1Python, { bytes, ...kind }: Kind, course: Course = {}): string {
    const id = `python ${nextId++}`;
    this.command("send", { id, to: to.id.replaceAll("-", ""), bytes, ...kind, ...course });
    return id;
  }

  /** Its end: what `sent` says. */
  async sent(id: string): Promise<Json> {
    const end = await this.process.waitFor(
      (event) => event.id === id && (event.event === "sent" || event.event === "sendFailed"),
      30_000,
    );
    assert.equal(end.event, "sent", JSON.stringify(end));
    return end;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.process[Symbol.asyncDispose]();
  }
}

function matches(event: Json, kind: string, fields: Json): boolean {
  return event.event === kind && Object.entries(fields).every(([name, value]) => event[name] === value);
}

/** Our node and the Python peer, with a session that one of them has dialled. */
export class Couple implements AsyncDisposable {
  readonly ours: Peer;
  readonly python: X1Python;

  private constructor(ours: Peer, python: X1Python) {
    this.ours = ours;
    this.python = python;
  }

  static async start(
    runtime: RuntimeName,
    dialler: "python" | "node",
    flags: Flags = {},
    options: PeerOptions = {},
  ): Promise<Couple> {
    const complete = { community: COMMUNITY, ...options };
    let couple: Couple;
    if (dialler === "python") {
      const ours = await Peer.start(runtime, complete);
      couple = new Couple(ours, await X1Python.start({ ...flags, peers: ours.address }));
    } else {
      const python = await X1Python.start(flags);
      couple = new Couple(await Peer.start(runtime, { ...complete, peers: [python.address] }), python);
    }
    await couple.ours.event("joined", { id: couple.python.id });
    await couple.python.event("peer", { peer: couple.ours.id.replaceAll("-", ""), tensors: true });
    return couple;
  }

  /** The Python peer sends; both sides say the same of it, and it is handed over once. */
  async fromPython(kind: Kind, course: Course = {}): Promise<{ came: Json; sent: Json }> {
    const from = this.ours.mark;
    const sent = await this.python.sent(this.python.begin(this.ours, kind, course));
    const came = await this.ours.event("tensor", { peer: this.python.id, sha256: sent.sha256 }, 30_000, from);
    agree(came, kind);
    assert.equal(this.ours.all("tensor", { sha256: sent.sha256 }, from).length, 1, "handed over once");
    return { came, sent };
  }

  /** Our node sends; the same. */
  async toPython(kind: Kind, seed = 1): Promise<{ came: Json; sent: Json }> {
    const from = this.python.mark;
    return this.arrived(this.begin(kind, seed), kind, from);
  }

  /** Our node begins to send; gives the id of its events. */
  begin({ bytes, dtype, shape, ...options }: Kind, seed = 1): string {
    return this.ours.begin(this.python.id, {
      bytes,
      seed,
      ...(dtype === undefined ? {} : { dtype }),
      ...(shape === undefined ? {} : { shape }),
      options,
    });
  }

  async arrived(id: string, kind: Kind, from = 0): Promise<{ came: Json; sent: Json }> {
    await this.ours.event("sendDone", { id });
    assert.deepEqual(this.ours.all("sendFailed", { id }), []);
    const sent = await this.ours.event("sent", { id });
    assert.equal(sent.delivery, "verified");
    const came = await this.python.event("tensor", { sha256: sent.sha256 }, from);
    agree(came, kind);
    assert.equal(this.python.all("tensor", { sha256: sent.sha256 }, from).length, 1, "handed over once");
    return { came, sent };
  }

  /** Neither side has found fault with the other, and no connection has ended. */
  peaceful(): void {
    assert.deepEqual([...this.python.all("closed"), ...this.python.all("refused")], []);
    assert.deepEqual([...this.ours.all("left"), ...this.ours.all("refused")], []);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.python[Symbol.asyncDispose]();
    await this.ours[Symbol.asyncDispose]();
  }
}

/** What arrived is of the kind that was sent. */
function agree(came: Json, { bytes, dtype, shape, topic, metadata }: Kind): void {
  const found = [came.bytes, came.dtype ?? undefined, came.shape, came.topic, came.metadata ?? undefined];
  assert.deepEqual(found, [bytes, dtype, shape ?? [], topic ?? "", metadata]);
}
