/** What `asoc send` says while a file is under way, and at its end. */
import type { Peer, SendReport } from "../mod.ts";
import type { Output } from "./output.ts";
import { ProgressBar } from "./progress.ts";
import type { FileListener, FileOutcome, SentTensor } from "./send_file.ts";
import type { PlannedTensor } from "./tensor_files.ts";
import { bytesText, peerText, secondsSince, transferText } from "./text.ts";

/** Between two `progress` events of one file and peer. */
const PROGRESS_EVERY_MS = 50;

export class SendReports {
  readonly #output: Output;

  constructor(output: Output) {
    this.#output = output;
  }

  /** A file begins to go to `targets` peers. */
  begin(path: string, totalBytes: number, targets: number): FileReports {
    return new FileReports(this.#output, path, totalBytes, targets);
  }

  /** Standard input is with one peer. */
  stdin(report: SendReport, topic = "", seconds: number): void {
    const { peer, bytes, delivery, digest, cuts } = report;
    this.#output.event(
      { event: "sent", file: "-", peer: peer.id, topic, bytes, seconds, delivery, digest, cuts },
      `standard input -> ${peerText(peer)}: ${transferText(bytes, seconds)}${deliveryText(report)}`,
    );
  }
}

/** One file on its way to its targets. */
export class FileReports implements FileListener {
  readonly #output: Output;
  readonly #path: string;
  readonly #totalBytes: number;
  readonly #targets: number;
  readonly #startMs = performance.now();
  readonly #bar: ProgressBar;
  readonly #done = new Map<string, number>();
  readonly #toldMs = new Map<string, number>();
  #skippedBytes = 0;

  constructor(output: Output, path: string, totalBytes: number, targets: number) {
    this.#output = output;
    this.#path = path;
    this.#totalBytes = totalBytes;
    this.#targets = targets;
    this.#bar = new ProgressBar(path, totalBytes);
    output.bar = this.#bar;
  }

  progress(peer: Peer, bytes: number, before: number): void {
    this.#done.set(peer.id, bytes);
    // The bar shows the slowest. With several targets there is no one byte at which it began.
    if (this.#targets === 1 && before > this.#skippedBytes) {
      this.#bar.skip(before - this.#skippedBytes);
      this.#skippedBytes = before;
    }
    this.#bar.update(this.#done.size < this.#targets ? 0 : Math.min(...this.#done.values()));
    if (!this.#output.json) return;
    const nowMs = performance.now();
    if (nowMs - (this.#toldMs.get(peer.id) ?? Number.NEGATIVE_INFINITY) < PROGRESS_EVERY_MS) return;
    this.#toldMs.set(peer.id, nowMs);
    const totalBytes = this.#totalBytes;
    this.#output.event({ event: "progress", file: this.#path, peer: peer.id, bytes, totalBytes }, undefined);
  }

  sent(peer: Peer, sent: SentTensor): void {
    if (!this.#output.json) return;
    const { bytes, ...facts } = factsOf(sent);
    this.#output.event({ event: "tensor", file: this.#path, peer: peer.id, bytes, ...facts }, undefined);
  }

  end(): void {
    this.#bar.hide();
    this.#output.bar = undefined;
  }

  /** The file is whole with one peer. `sentBytes`: what this run sent of it, where that is known. */
  whole({ peer, format, sent }: FileOutcome, sentBytes: number | undefined): void {
    const seconds = secondsSince(this.#startMs);
    const bytes = sent.reduce((sum, { tensor }) => sum + tensor.totalBytes, 0);
    const cuts = sent.reduce((sum, { report }) => sum + (report?.cuts ?? 0), 0);
    const first = sent[0];
    const only = sent.length === 1 && first ? factsOf(first) : undefined;
    const delivery = first ? factsOf(first).delivery : undefined;
    const text = [transferText(sentBytes ?? bytes, seconds)];
    if (sentBytes !== undefined && sentBytes < bytes) text.push(`the rest of ${bytesText(bytes)}`);
    if (sent.length > 1) text.push(`${sent.length} tensors`);
    else if (first?.tensor.dtype) text.push(typeText(first.tensor));
    this.#output.event(
      {
        event: "sent",
        file: this.#path,
        peer: peer.id,
        format,
        tensors: sent.length,
        ...only,
        bytes,
        sentBytes,
        seconds,
        delivery,
        cuts,
      },
      `${this.#path} -> ${peerText(peer)}: ${text.join(", ")}${deliveryText({ delivery, digest: only?.digest, cuts })}`,
    );
  }
}

/** The fields of a tensor's events. */
function factsOf({ tensor, topic, report }: SentTensor) {
  const { dtype, shape, totalBytes } = tensor;
  return {
    topic,
    dtype,
    shape: dtype === undefined ? undefined : shape,
    bytes: totalBytes,
    // What an earlier run has sent was verified then.
    delivery: report?.delivery ?? ("verified" as const),
    digest: report?.digest,
    cuts: report?.cuts ?? 0,
  };
}

/** "float32 [2, 3]" */
export function typeText({ dtype, shape }: Pick<PlannedTensor, "dtype" | "shape">): string {
  return dtype === undefined ? "bytes" : `${dtype} [${shape.join(", ")}]`;
}

function deliveryText({
  delivery,
  digest,
  cuts,
}: {
  readonly delivery: SendReport["delivery"] | undefined;
  readonly digest: string | undefined;
  readonly cuts: number;
}): string {
  const cut = cuts === 0 ? "" : `, ${cuts} ${cuts === 1 ? "cut" : "cuts"} on the way`;
  return delivery === "verified" ? `, verified${digest ? ` ${digest}` : ""}${cut}` : "";
}
