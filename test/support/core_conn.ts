/** A connection without a network: the test gives it bytes, and decides when its writes are done. */
import type { Address, Conn, Sink } from "../../src/core/runtime.ts";
import { joinBytes } from "./core_frames.ts";

export class TestConn implements Conn {
  readonly remote: Address = { host: "10.0.0.1", port: 1 };
  readonly local: Address = { host: "10.0.0.2", port: 2 };
  readonly directRead = true;
  readonly calls: string[] = [];
  sink: Sink | undefined;
  written: Uint8Array = new Uint8Array(0);
  paused = false;
  /** Writes wait until this is false and `flush` is called. */
  blocked = false;
  #pending: { readonly resolve: () => void; readonly reject: (cause: unknown) => void } | undefined;

  start(sink: Sink): void {
    this.sink = sink;
    this.calls.push("start");
  }
  pause(): void {
    this.paused = true;
    this.calls.push("pause");
  }
  resume(): void {
    this.paused = false;
    this.calls.push("resume");
  }
  write(parts: readonly Uint8Array[]): Promise<void> {
    if (this.#pending) throw new Error("two writes at a time");
    this.written = joinBytes(this.written, ...parts);
    if (!this.blocked) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#pending = { resolve, reject };
    });
  }
  closeWrite(): Promise<void> {
    this.calls.push("closeWrite");
    return Promise.resolve();
  }
  abort(): void {
    this.calls.push("abort");
  }

  /** The write under way is done, or fails. */
  flush(cause?: unknown): Promise<void> {
    const pending = this.#pending;
    this.#pending = undefined;
    if (cause === undefined) pending?.resolve();
    else pending?.reject(cause);
    return settled();
  }
  get writing(): boolean {
    return this.#pending !== undefined;
  }

  /** Bytes from the peer, pushed while it is not paused; returns how many were taken. */
  receive(...parts: readonly Uint8Array[]): number {
    let taken = 0;
    for (const part of parts) {
      if (this.paused) break;
      this.sink?.push(part);
      taken += part.length;
    }
    return taken;
  }
}

/** Lets all promises that are settled be heard. */
export async function settled(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve();
}
