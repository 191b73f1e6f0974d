/**
 * What became of every tensor of a fault run, put together from what senders and receivers say, also those that were killed.
 *
 * Lost: its sender was told that it was verified, and no receiver has it. Duplicated: it came more than once, from all
 * incarnations of a receiver. Corrupt: its bytes are not those of its seed. Unnamed: an error without a code of the list.
 */
import type { Json } from "../support/process.ts";

/** Every code that a fault of the network or the death of a process may lead to. */
const KNOWN_CODES = new Set<unknown>([
  // sends
  "ASOC_UNKNOWN_PEER",
  "ASOC_CONNECTION_LOST",
  "ASOC_OUTCOME_UNKNOWN",
  // arriving tensors whose sender died
  "ASOC_INCOMPLETE_STREAM",
  "ASOC_RESET",
  // connections, and dials
  "ASOC_PEER_SILENT",
  "ASOC_SEND_STALLED",
  "ASOC_TRUNCATED_FRAME",
  "ASOC_PEER_ERROR",
  "ASOC_CONNECTION_REFUSED",
  "ASOC_DIAL_TIMEOUT",
  "ASOC_UNREACHABLE",
  "ASOC_HANDSHAKE_REFUSED",
  "ASOC_HANDSHAKE_TIMEOUT",
]);
/** A receiver that is killed may not have said yet that it has a tensor. */
const LAST_WORDS_MS = 3000;

interface Transfer {
  readonly content: string;
  readonly to: number;
  verifiedMs: number | undefined;
  cuts: number;
  came: number;
  isOver: boolean;
}

export class Ledger {
  readonly #transfers = new Map<string, Transfer>();
  readonly #digests = new Map<string, string>();
  readonly #killedMs: number[][] = [];
  readonly #counts = new Map<string, number>();
  readonly #unnamed: string[] = [];
  #corrupt = 0;
  #verifiedBytes = 0;

  begun(topic: string, to: number, bytes: number, seed: number): void {
    const content = `${bytes}/${seed}`;
    this.#transfers.set(topic, { content, to, verifiedMs: undefined, cuts: 0, came: 0, isOver: false });
    this.count("sends begun");
  }

  /** A host's process was killed: sends of it that were under way are over. */
  killed(host: number): void {
    const times = this.#killedMs[host] ?? [];
    this.#killedMs[host] = times;
    times.push(performance.now());
  }

  /** Its sender died. */
  voided(topic: string): void {
    const transfer = this.#transfers.get(topic);
    if (!transfer || transfer.isOver) return;
    transfer.isOver = true;
    this.count("sender killed meanwhile");
  }

  isOver(topic: string): boolean {
    return this.#transfers.get(topic)?.isOver ?? true;
  }

  /** Something that a peer said. */
  take(event: Json): void {
    switch (event.event) {
      case "sent":
        this.#sent(event);
        break;
      case "sendFailed": {
        const transfer = this.#transfers.get(String(event.id));
        if (transfer) transfer.isOver = true;
        this.#error("send", event);
        break;
      }
      case "tensor":
        this.#came(event);
        break;
      case "tensorFailed":
        this.#error("arriving", event);
        break;
      case "left":
        if (event.code !== undefined) this.#error("connection", event);
        break;
      case "dialFailed":
        this.#error("dial", event);
        break;
      default:
    }
  }

  count(what: string, by = 1): void {
    this.#counts.set(what, (this.#counts.get(what) ?? 0) + by);
  }

  #sent({ id, bytes, sha256, cuts, delivery }: Json): void {
    const transfer = this.#transfers.get(String(id));
    if (!transfer) return;
    transfer.isOver = true;
    transfer.verifiedMs = performance.now();
    transfer.cuts = Number(cuts);
    if (delivery !== "verified") this.#unnamed.push(`${id}: delivered as ${delivery}`);
    this.#check(transfer, String(sha256));
    this.#verifiedBytes += Number(bytes);
    this.count("verified");
    if (transfer.cuts > 0) this.count("of those resumed");
  }

  #came({ topic, sha256 }: Json): void {
    const transfer = this.#transfers.get(String(topic));
    if (!transfer) {
      this.#unnamed.push(`a tensor that nobody sent: ${topic}`);
      return;
    }
    transfer.came++;
    this.#check(transfer, String(sha256));
  }

  #check({ content }: Transfer, sha256: string): void {
    const known = this.#digests.get(content) ?? sha256;
    this.#digests.set(content, known);
    if (known !== sha256) this.#corrupt++;
  }

  #error(what: string, { code, message }: Json): void {
    this.count(`${what}: ${code}`);
    if (!KNOWN_CODES.has(code)) this.#unnamed.push(`${what}: ${code}: ${message}`);
  }

  /** Verified ones that have not come yet and still may. */
  get outstanding(): number {
    return [...this.#transfers.values()].filter((transfer) => this.#isMissing(transfer)).length;
  }

  #isMissing({ verifiedMs, came, to }: Transfer): boolean {
    if (verifiedMs === undefined || came > 0) return false;
    return !(this.#killedMs[to] ?? []).some(
      (killedMs) => killedMs > verifiedMs - LAST_WORDS_MS && killedMs < verifiedMs + LAST_WORDS_MS,
    );
  }

  /** The verdict, and what it rests on. */
  close(): LedgerReport {
    const all = [...this.#transfers.values()];
    const missing = all.filter(({ verifiedMs, came }) => verifiedMs !== undefined && came === 0);
    const lost = missing.filter((transfer) => this.#isMissing(transfer)).length;
    this.count("verified by a receiver that was killed before it could say so", missing.length - lost);
    const open = all.filter(({ isOver }) => !isOver).length;
    return {
      lost,
      duplicated: all.filter(({ came }) => came > 1).length,
      corrupt: this.#corrupt,
      unsettled: open,
      unnamed: [...new Set(this.#unnamed)],
      verifiedBytes: this.#verifiedBytes,
      counts: Object.fromEntries([...this.#counts].sort(([one], [other]) => (one < other ? -1 : 1))),
    };
  }
}

export interface LedgerReport {
  readonly lost: number;
  readonly duplicated: number;
  readonly corrupt: number;
  /** Sends that neither succeeded nor failed in the end. */
  readonly unsettled: number;
  readonly unnamed: readonly string[];
  readonly verifiedBytes: number;
  readonly counts: Readonly<Record<string, number>>;
}
