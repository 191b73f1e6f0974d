/**
 * The books of one simulation: what was sent, what came, and which losses have an excuse.
 *
 * A tensor's content follows from who sent it and its number there, so each is recognised, and a wrong or short one is too.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { AsocError, type AsocErrorCode } from "../../src/core/errors.ts";
import type { Network, SimHost, UncleanEnd } from "./network.ts";
import { Random } from "./random.ts";
import type { SimNode } from "./world.ts";

const LABEL_BYTES = 16;
const MAGIC = 0x41534f43;
const NOISE = noise(4 * 1024 * 1024);
/** Where the noise of a tensor begins: below this. */
const OFFSETS = 1_000_003;
export const MAX_TENSOR_BYTES = 3 * 1024 * 1024;

/** One tensor for one receiver, once its send has settled. */
interface SendRecord {
  readonly from: SimNode;
  readonly toId: string;
  readonly toHost: SimHost;
  readonly number: number;
  readonly byteCount: number;
  readonly resolved: boolean;
  /** The receiver has said that it is whole: no loss excuses its absence. */
  readonly verified: boolean;
  /** Losses of its connection from here on may have taken it. */
  readonly sinceMs: number;
}

/** Ends that only a partition explains. */
const BY_PARTITION = new Set([
  "ASOC_SEND_STALLED",
  "ASOC_PEER_SILENT",
  "ASOC_HANDSHAKE_TIMEOUT",
  "ASOC_CONNECTION_LOST",
]);
/** How long after a partition its consequences may come. */
const AFTERMATH_MS = 45_000;
/** What a send may end with: each says what became of the tensor, or of the way to its receiver. */
const SEND_ERRORS = new Set<AsocErrorCode>([
  "ASOC_CLOSED",
  "ASOC_CONNECTION_LOST",
  "ASOC_DEADLINE",
  "ASOC_OUTCOME_UNKNOWN",
  "ASOC_PEER_LEAVING",
  "ASOC_STOPPED",
  "ASOC_UNKNOWN_PEER",
]);
const STREAM_ERRORS = new Set([
  "ASOC_INCOMPLETE_STREAM",
  "ASOC_STREAM_ABANDONED",
  "ASOC_RESET",
  "ASOC_DEADLINE",
]);

export class Ledger {
  readonly #network: Network;
  readonly #senders: SimNode[] = [];
  readonly #records: SendRecord[] = [];
  /** Who received a tensor, by its label. */
  readonly #received = new Map<string, SimNode[]>();
  readonly #declined = new Set<string>();
  /** Tensors that a sender has sent again after it was started again. */
  readonly #again = new Set<number>();
  /** How often a send failed with what. */
  readonly failures = new Map<string, number>();
  /** Empty tensors carry no label: they are counted, by "from > to". */
  readonly #empty = new Map<string, number>();
  #nextNumber = 0;
  /** When the network was last whole again after a partition. */
  healedMs = Number.NEGATIVE_INFINITY;
  /** Nodes that were told to end at once, or by a deadline. */
  readonly hurried = new Set<SimNode>();
  /** Senders that gave up a tensor. */
  readonly cancelling = new Set<SimNode>();

  constructor(network: Network) {
    this.#network = network;
  }

  /** A new tensor of `byteCount` bytes: 0, or enough for its label. */
  make(from: SimNode, byteCount: number): { readonly number: number; readonly bytes: Uint8Array } {
    if (!this.#senders.includes(from)) this.#senders.push(from);
    const number = this.#nextNumber++;
    return { number, bytes: tensorOf(this.#senders.indexOf(from), number, byteCount) };
  }

  settled(record: SendRecord): void {
    this.#records.push(record);
  }

  /** A send failed: with an error that says why, or with what its caller gave up for. */
  sendFailed(error: unknown, givenUpFor?: unknown): void {
    const isNamed = error instanceof AsocError && SEND_ERRORS.has(error.code) && error.message !== "";
    if (!isNamed && (error === undefined || error !== givenUpFor))
      throw error ?? new Error("a send failed without a reason");
    const code = isNamed ? error.code : "given up";
    this.failures.set(code, (this.failures.get(code) ?? 0) + 1);
  }

  /** Its sender was started again and sends it again, under the id of the same transfer. */
  sentAgain(number: number): void {
    this.#again.add(number);
  }

  /** A whole tensor came to `to`, from the host with `address`. */
  came(to: SimNode, fromAddress: string, bytes: Uint8Array): void {
    if (bytes.length === 0) {
      const way = `${fromAddress} > ${to.host.address}`;
      this.#empty.set(way, (this.#empty.get(way) ?? 0) + 1);
      return;
    }
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    assert.ok(bytes.length >= LABEL_BYTES, `a tensor of ${bytes.length} bytes came, which nobody sent`);
    assert.equal(view.getUint32(0), MAGIC, "a tensor without label came");
    const [sender, number, byteCount] = [view.getUint32(4), view.getUint32(8), view.getUint32(12)];
    assert.equal(bytes.length, byteCount, `tensor ${number} came with another length`);
    const rest = bytes.subarray(LABEL_BYTES);
    assert.equal(
      Buffer.compare(rest, noiseOf(sender, number, rest.length)),
      0,
      `tensor ${number} came with another content`,
    );
    const receivers = this.#received.get(`${sender}/${number}`) ?? [];
    assert.ok(!receivers.includes(to), `tensor ${number} came twice to ${to.host}`);
    receivers.push(to);
    this.#received.set(`${sender}/${number}`, receivers);
  }

  /** A reader did not want the tensor with that number. */
  declined(to: SimNode, number: unknown): void {
    this.#declined.add(`${to.node.id} ${number}`);
  }

  /** A stream that had started failed; `isTight`: at a node with little memory, where one that does not say its length may find none. */
  failed(error: unknown, isTight: boolean): void {
    if (error instanceof AsocError && STREAM_ERRORS.has(error.code)) return;
    if (isTight && error instanceof AsocError && error.code === "ASOC_MEMORY_BUDGET") return;
    throw error;
  }

  /** At the end, when all have closed. */
  check(): void {
    for (const end of this.#network.uncleanEnds) this.#checkEnd(end);
    const wanted = new Set<string>();
    const owedEmpty = new Map<string, { least: number; most: number }>();
    for (const record of this.#records) {
      const { from, toHost, toId, number, byteCount } = record;
      const declined = this.#declined.has(`${toId} ${number}`);
      const lost = declined || (!record.verified && this.#mayBeLost(record));
      if (byteCount === 0) {
        const way = `${from.host.address} > ${toHost.address}`;
        const owed = owedEmpty.get(way) ?? { least: 0, most: 0 };
        owedEmpty.set(way, { least: owed.least + (record.resolved && !lost ? 1 : 0), most: owed.most + 1 });
        continue;
      }
      const receivers = this.#received.get(`${this.#senders.indexOf(from)}/${number}`) ?? [];
      const byAddress = toId.includes(":");
      const there = receivers.filter(({ host, node }) => host === toHost && (byAddress || node.id === toId));
      // A receiver that was started again as well knows nothing of what the one before it had.
      assert.ok(
        there.length <= 1 || this.#again.has(number),
        `tensor ${number} came to two nodes of ${toHost}`,
      );
      for (const { node } of there) wanted.add(`${node.id} ${number}`);
      if (record.resolved && there.length === 0) {
        assert.ok(
          lost,
          `tensor ${number} (${byteCount} bytes, ${from.host} to ${toHost}) was lost in silence`,
        );
      }
    }
    for (const [label, receivers] of this.#received) {
      const number = label.split("/")[1];
      for (const { node } of receivers) {
        assert.ok(
          wanted.has(`${node.id} ${number}`),
          `tensor ${number} came to another node than it was sent to`,
        );
      }
    }
    for (const [way, count] of this.#empty)
      assert.ok(count <= (owedEmpty.get(way)?.most ?? 0), `${way}: more empty tensors came than were sent`);
    for (const [way, { least }] of owedEmpty) {
      assert.ok((this.#empty.get(way) ?? 0) >= least, `${way}: empty tensors were lost in silence`);
    }
  }

  /** Why a session ended a connection must be known; a protocol error between our own nodes never is. */
  #checkEnd(end: UncleanEnd): void {
    const { by, error, connection } = end;
    if (by === "cut" || !(error instanceof AsocError)) return; // turned away before there was a session
    const sides = by === "dialler" ? connection.from : connection.to;
    if (BY_PARTITION.has(error.code) && end.atMs - this.healedMs < AFTERMATH_MS) return;
    if (error.code === "ASOC_CLOSED" && [...this.hurried].some(({ host }) => host === sides)) return;
    if (error.code === "ASOC_CLOSED" && /handshake/i.test(error.message)) return;
    if (error.code === "ASOC_CANCELLED" && [...this.cancelling].some(({ host }) => host === sides)) return;
    throw error;
  }

  /** Its connection, or one that may have been its, was lost later with bytes on their way, or by the receiver's end. */
  #mayBeLost({ from, toHost, sinceMs }: SendRecord): boolean {
    return this.#network.uncleanEnds.some(({ overMs, connection, error }) => {
      const hosts = [connection.from, connection.to];
      if (overMs < sinceMs || !hosts.includes(from.host) || !hosts.includes(toHost)) return false;
      return connection.lostBytes > 0 || error instanceof AsocError;
    });
  }
}

function tensorOf(sender: number, number: number, byteCount: number): Uint8Array {
  const bytes = new Uint8Array(byteCount);
  if (byteCount === 0) return bytes;
  const view = new DataView(bytes.buffer);
  for (const [index, value] of [MAGIC, sender, number, byteCount].entries()) view.setUint32(4 * index, value);
  bytes.set(noiseOf(sender, number, byteCount - LABEL_BYTES), LABEL_BYTES);
  return bytes;
}

function noiseOf(sender: number, number: number, byteCount: number): Uint8Array {
  const from = (sender * 7919 + number * 104_729) % OFFSETS;
  return NOISE.subarray(from, from + byteCount);
}

function noise(byteCount: number): Uint8Array {
  const random = new Random(0xa50c);
  const words = new Uint32Array(byteCount / 4);
  for (let i = 0; i < words.length; i++) words[i] = random.between(0, 0xffff_ffff);
  return new Uint8Array(words.buffer);
}
