/**
 * Tensors that wait for one client that taps bytes. It is bounded: when the client is too slow the oldest go, and the next
 * one says how many. Bytes are shared with the store of recent tensors, never copied here.
 */
import type { Entry } from "../traffic/entry.ts";

export interface TappedTensor {
  /** Length and text of the header, and the length of the bytes. */
  readonly head: Uint8Array;
  readonly bytes: Uint8Array;
}

const encoder = new TextEncoder();
const NOTHING = new Uint8Array(0);

export class TapQueue {
  readonly #maxTensors: number;
  readonly #maxBytes: number;
  readonly #onDropped: (count: number) => void;
  readonly #queue: { readonly entry: Entry; readonly bytes: Uint8Array | undefined }[] = [];
  #queuedBytes = 0;
  #dropped = 0;
  #wake: (() => void) | undefined;
  #closed = false;

  constructor(maxTensors: number, maxBytes: number, onDropped: (count: number) => void = () => {}) {
    this.#maxTensors = maxTensors;
    this.#maxBytes = maxBytes;
    this.#onDropped = onDropped;
  }

  /** Called when it closes. */
  onClose: (() => void) | undefined;

  get isClosed(): boolean {
    return this.#closed;
  }
  get length(): number {
    return this.#queue.length;
  }

  push(entry: Entry): void {
    if (this.#closed) return;
    const bytes = entry.available ? entry.capture?.bytes : undefined;
    this.#queue.push({ entry, bytes });
    this.#queuedBytes += bytes?.length ?? 0;
    while (
      this.#queue.length > this.#maxTensors ||
      (this.#queuedBytes > this.#maxBytes && this.#queue.length > 1)
    ) {
      this.#queuedBytes -= this.#queue.shift()?.bytes?.length ?? 0;
      this.missed(1);
    }
    this.#rouse();
  }

  /** Tensors that it will not get; the next one says how many. */
  missed(count: number): void {
    if (this.#closed) return;
    this.#dropped += count;
    this.#onDropped(count);
  }

  close(): void {
    this.#closed = true;
    this.#queue.length = 0;
    this.#queuedBytes = 0;
    this.onClose?.();
    this.#rouse();
  }

  /** The next one; undefined: it is closed. */
  async next(): Promise<TappedTensor | undefined> {
    for (;;) {
      if (this.#closed) return undefined;
      const first = this.#queue.shift();
      if (first) {
        this.#queuedBytes -= first.bytes?.length ?? 0;
        const dropped = this.#dropped;
        this.#dropped = 0;
        return framed(first.entry, first.bytes, dropped);
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  #rouse(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }
}

function framed(entry: Entry, bytes: Uint8Array | undefined, dropped: number): TappedTensor {
  const { id, topic, dtype, shape, movedBytes } = entry.stream;
  const header = {
    stream: id,
    topic,
    dtype: dtype ?? null,
    shape,
    bytes: bytes?.length ?? 0,
    // Its bytes were never kept, or have made room for others already.
    ...(bytes ? {} : { omittedBytes: movedBytes }),
    dropped,
  };
  const text = encoder.encode(JSON.stringify(header));
  const head = new Uint8Array(4 + text.length + 8);
  const view = new DataView(head.buffer);
  view.setUint32(0, text.length);
  head.set(text, 4);
  view.setBigUint64(4 + text.length, BigInt(bytes?.length ?? 0));
  return { head, bytes: bytes ?? NOTHING };
}
