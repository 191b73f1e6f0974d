/**
 * One file to one peer, as its tensors: large ones one after another, small ones several at once so that none waits for
 * the answer to the one before. A peer that speaks only v1 gets the file as the bytes that it is.
 */
import { randomBytes } from "node:crypto";
import { AsocError, type AsocNode, type Peer, type SendReport } from "../mod.ts";
import { sendOptionsOf, type TensorFlags } from "./send_options.ts";
import type { PlannedTensor, TensorFile } from "./tensor_files.ts";
import type { TransferState } from "./transfer_state.ts";

/** Tensors that are under way at once, and their bytes; one alone may have more. */
const MAX_AT_ONCE = 32;
const MAX_BYTES_AT_ONCE = 16 * 1024 * 1024;
const GROUP_ID_BYTES = 8;

/** How long a peer that was there may be away when a file is to begin. */
const REJOIN_MS = 10_000;

/** What is sent. */
export interface FileToSend {
  readonly path: string;
  readonly tensors: TensorFile;
  /** The same file as one run of bytes. */
  readonly bytes: TensorFile;
}

/** A tensor that its peer has, as far as anybody can tell. */
export interface SentTensor {
  readonly tensor: PlannedTensor;
  readonly topic: string;
  /** Undefined: an earlier run has sent it. */
  readonly report: SendReport | undefined;
}

export interface FileOutcome {
  readonly peer: Peer;
  /** "bytes" for a peer of v1. */
  readonly format: TensorFile["format"];
  /** In the order in which they got there. */
  readonly sent: readonly SentTensor[];
  /** Why the file is not whole there. */
  readonly error: unknown;
}

export interface FileListener {
  /** `bytes` of the file are on their way to `peer`; `before` of them were there when this run began. */
  progress(peer: Peer, bytes: number, before: number): void;
  sent(peer: Peer, tensor: SentTensor): void;
}

/**
 * Sends `file` to `peer`. Never rejects. `again`: also what an earlier run had sent to its end, to a peer that was started
 * again since and may have had it.
 */
export async function sendFile(
  node: AsocNode,
  peer: Peer,
  file: FileToSend,
  flags: TensorFlags,
  state: TransferState | undefined,
  again: boolean,
  listener: FileListener,
): Promise<FileOutcome> {
  const isLegacy = peer.protocol === "v1";
  const job = new FileSending(
    node,
    peer,
    isLegacy ? file.bytes : file.tensors,
    flags,
    isLegacy ? undefined : state,
    again,
    listener,
  );
  return job.run();
}

class FileSending {
  readonly #node: AsocNode;
  readonly #peer: Peer;
  readonly #file: TensorFile;
  readonly #flags: TensorFlags;
  readonly #state: TransferState | undefined;
  readonly #again: boolean;
  readonly #listener: FileListener;
  readonly #groupId: Uint8Array;
  readonly #startMs = performance.now();
  readonly #sent: SentTensor[] = [];
  /** Of each tensor that was begun: how far it is, and how far it was. */
  readonly #done = new Map<number, number>();
  #doneBytes = 0;
  #beforeBytes = 0;
  #error: unknown;

  constructor(
    node: AsocNode,
    peer: Peer,
    file: TensorFile,
    flags: TensorFlags,
    state: TransferState | undefined,
    again: boolean,
    listener: FileListener,
  ) {
    this.#node = node;
    this.#peer = peer;
    this.#file = file;
    this.#flags = flags;
    this.#state = state;
    this.#again = again;
    this.#listener = listener;
    this.#groupId = state?.groupId ?? randomBytes(GROUP_ID_BYTES);
  }

  async run(): Promise<FileOutcome> {
    const { tensors, format } = this.#file;
    const outcome = (): FileOutcome => ({
      peer: this.#peer,
      format,
      sent: this.#sent,
      error: this.#error,
    });
    // What was begun of a file the peer still has to put together: it is asked about each tensor, there or not.
    if (tensors.every((_, index) => this.#state?.isThere(index, this.#peer.id))) {
      for (const tensor of tensors) this.#arrived(tensor, undefined);
      return outcome();
    }
    this.#error = await this.#absent();
    if (this.#error !== undefined) return outcome();
    const underWay = new Set<Promise<void>>();
    let bytes = 0;
    for (const [index, tensor] of tensors.entries()) {
      const fits = () => underWay.size < MAX_AT_ONCE && bytes + tensor.totalBytes <= MAX_BYTES_AT_ONCE;
      while (this.#error === undefined && underWay.size > 0 && !fits()) await Promise.race(underWay);
      if (this.#error !== undefined) break;
      bytes += tensor.totalBytes;
      const task = this.#send(tensor, index)
        .catch((error: unknown) => {
          this.#error ??= error ?? new Error("failed");
        })
        .finally(() => {
          bytes -= tensor.totalBytes;
          underWay.delete(task);
        });
      underWay.add(task);
    }
    await Promise.all(underWay);
    return outcome();
  }

  /** A transfer under way waits for long; none is begun for somebody who has gone. */
  async #absent(): Promise<unknown> {
    try {
      const look = () => this.#node.findPeer(this.#peer.id);
      if (await this.#node.peers.waitFor(look, { timeoutMs: REJOIN_MS })) return undefined;
    } catch (error) {
      return error ?? new Error("closed");
    }
    const message = `it has gone, and did not come back within ${REJOIN_MS / 1000} s`;
    return new AsocError("ASOC_UNKNOWN_PEER", message);
  }

  async #send(tensor: PlannedTensor, index: number): Promise<void> {
    const { name, dtype, shape, totalBytes } = tensor;
    const state = this.#state;
    const peerId = this.#peer.id;
    const { fileName, fileMetadata = "", tensors } = this.#file;
    const typed = dtype === undefined ? {} : { dtype, shape };
    const elapsedMs = performance.now() - this.#startMs;
    const endedEpoch = this.#again ? undefined : state?.endedEpoch(index, peerId);
    const read = (from: number) => this.#noting(tensor, index, from);
    const report = await this.#node.send(
      this.#peer,
      { data: state ? read : tensor.read, totalBytes, ...typed },
      {
        ...sendOptionsOf(this.#flags, name, elapsedMs),
        group: { id: this.#groupId, fileName, index, count: tensors.length, fileMetadata },
        ...(state ? { transferId: state.transferId(index) } : {}),
        ...(endedEpoch === undefined ? {} : { endedEpoch }),
        onProgress: (sentBytes) => this.#progress(index, sentBytes),
      },
    );
    state?.noteThere(index, peerId);
    this.#arrived(tensor, report);
  }

  /** The bytes of a tensor; that it ends is noted before its end goes out. */
  async *#noting(
    tensor: PlannedTensor,
    index: number,
    from: number,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    yield* tensor.read(from);
    const { id } = this.#peer;
    const { bootEpoch } = this.#node.findPeer(id) ?? this.#peer;
    if (bootEpoch !== undefined) await this.#state?.noteEnded(index, id, bootEpoch);
  }

  #progress(index: number, sentBytes: number): void {
    const known = this.#done.get(index);
    // The first word of a transfer that goes on tells where it does, but for what has gone out meanwhile.
    if (known === undefined && this.#state?.resumes) this.#beforeBytes += sentBytes;
    this.#done.set(index, sentBytes);
    this.#doneBytes += sentBytes - (known ?? 0);
    this.#listener.progress(this.#peer, this.#doneBytes, this.#beforeBytes);
  }

  #arrived(tensor: PlannedTensor, report: SendReport | undefined): void {
    const sent = { tensor, topic: this.#flags.topic ?? tensor.name, report };
    this.#sent.push(sent);
    this.#listener.sent(this.#peer, sent);
  }
}
