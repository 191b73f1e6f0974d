/** Standard input as a tensor. */
import { fstatSync, read } from "node:fs";
import { readAhead } from "./files.ts";

/** A writer that was killed ends its pipe too; its own Ctrl-C reaches us within this. */
const SETTLE_MS = 50;
const GATHER_BYTES = 1024 * 1024;

/**
 * The bytes of standard input as they come, until its end; a part is valid until the next one is asked for. Rejects
 * with the reason of `stop` when that aborts: also right after the end, because Ctrl-C in a pipeline ends the writer as
 * well, and half of its output must not pass for all.
 */
export async function* readStdin(stop: AbortSignal): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const part of fstatSync(0).isFile()
    ? readAhead(readRedirected)
    : gather(readPipe(stop), GATHER_BYTES)) {
    stop.throwIfAborted();
    yield part;
  }
  await new Promise<void>((resolve) => setTimeout(resolve, SETTLE_MS));
  stop.throwIfAborted();
}

/** `asoc send - < FILE`: read like a file, from where it stands. */
function readRedirected(buffer: Uint8Array): Promise<number> {
  return new Promise((resolve, reject) => {
    read(0, buffer, 0, buffer.length, null, (error, bytesRead) =>
      error ? reject(error) : resolve(bytesRead),
    );
  });
}

async function* readPipe(stop: AbortSignal): AsyncGenerator<Uint8Array, void, undefined> {
  const { stdin } = process;
  const parts = stdin[Symbol.asyncIterator]();
  let abort: (() => void) | undefined;
  const stopped = new Promise<never>((_, reject) => {
    abort = () => reject(stop.reason);
    stop.addEventListener("abort", abort, { once: true });
  });
  stopped.catch(() => {});
  try {
    stop.throwIfAborted();
    for (;;) {
      // Not `for await` and destroy(): on Deno a read that waits does not end with its stream.
      const step = await Promise.race([parts.next(), stopped]);
      if (step.done) return;
      yield step.value;
    }
  } finally {
    if (abort) stop.removeEventListener("abort", abort);
    stdin.destroy();
  }
}

/**
 * Joins small parts while the taker is busy with the last ones: a pipe gives 64 KiB at a time, and each frame costs.
 * It never waits for more than there is. Yields up to `byteCount` bytes, valid until the next are asked for.
 */
export async function* gather(
  parts: AsyncIterable<Uint8Array>,
  byteCount: number,
): AsyncGenerator<Uint8Array, void, undefined> {
  let filling = new Uint8Array(byteCount);
  let other = new Uint8Array(byteCount);
  let filled = 0;
  let state: "open" | "ended" | "left" = "open";
  let failure: unknown;
  let wakeTaker: (() => void) | undefined;
  let wakeReader: (() => void) | undefined;
  const reading = (async () => {
    for await (const part of parts) {
      for (let at = 0; at < part.length; ) {
        while (filled === byteCount && state === "open")
          await new Promise<void>((resolve) => (wakeReader = resolve));
        if (state !== "open") return;
        const piece = part.subarray(at, at + byteCount - filled);
        filling.set(piece, filled);
        filled += piece.length;
        at += piece.length;
        wakeTaker?.();
      }
    }
  })()
    .catch((error) => {
      failure = error ?? new Error("standard input failed");
    })
    .finally(() => {
      if (state === "open") state = "ended";
      wakeTaker?.();
    });
  try {
    for (;;) {
      while (filled === 0 && state === "open") await new Promise<void>((resolve) => (wakeTaker = resolve));
      if (failure !== undefined) throw failure;
      if (filled === 0) return;
      const ready = filling.subarray(0, filled);
      [filling, other] = [other, filling];
      filled = 0;
      wakeReader?.();
      yield ready;
    }
  } finally {
    state = "left";
    wakeReader?.();
    void reading;
  }
}
