/**
 * The body of a download that is too large for one piece: a block whenever the connection takes one. A client that takes
 * none for too long is cut off, since the tensor's memory is its as long as it reads.
 */
export interface DownloadOptions {
  readonly stallMs: number;
  /** Aborts when the client has left. */
  readonly left: AbortSignal | undefined;
  /** Ends the connection, where the server can; else the body ends with an error. */
  readonly cut: (() => void) | undefined;
  /** Called once, however it ends. */
  readonly ended: (hasStalled: boolean) => void;
}

export function downloadBody(
  blocks: Generator<Uint8Array, void, undefined>,
  { stallMs, left, cut, ended }: DownloadOptions,
): ReadableStream<Uint8Array> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let tookAtMs = performance.now();
  let isOver = false;
  const end = (hasStalled: boolean) => {
    if (isOver) return;
    isOver = true;
    clearTimeout(timer);
    left?.removeEventListener("abort", leave);
    blocks.return();
    ended(hasStalled);
  };
  const leave = () => end(false);
  return new ReadableStream<Uint8Array>({
    start(controller) {
      // No timer for each block: it would cost as much as the block.
      const check = () => {
        const quietMs = performance.now() - tookAtMs;
        if (quietMs < stallMs - 1) {
          timer = setTimeout(check, stallMs - quietMs);
          return;
        }
        end(true);
        if (cut) cut();
        else controller.error(new Error(`the client took nothing for ${stallMs} ms`));
      };
      timer = setTimeout(check, stallMs);
      left?.addEventListener("abort", leave, { once: true });
      if (left?.aborted) leave();
    },
    pull(controller) {
      tookAtMs = performance.now();
      const { done, value } = blocks.next();
      if (!done) controller.enqueue(value);
      else {
        if (!isOver) controller.close();
        end(false);
      }
    },
    cancel: leave,
  });
}
