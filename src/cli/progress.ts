/** A progress bar with its rate, drawn on a terminal only. */
import { bytesText } from "./text.ts";

/** A terminal, or what may not be one. */
export interface BarStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

const DRAW_EVERY_MS = 100;
const BAR_CELLS = 24;
/** Goes to the start of the line and erases it. */
const ERASE_LINE = "\r\u001b[K";

export class ProgressBar {
  readonly #stream: BarStream;
  readonly #nowMs: () => number;
  readonly #label: string;
  readonly #totalBytes: number | undefined;
  readonly #startMs: number;
  #drawnMs = Number.NEGATIVE_INFINITY;
  #shown = false;
  #skippedBytes = 0;

  /** Without `totalBytes` (standard input, a stream that arrives) it shows bytes and rate alone. */
  constructor(
    label: string,
    totalBytes: number | undefined,
    stream: BarStream = process.stderr,
    nowMs: () => number = () => performance.now(),
  ) {
    this.#label = label;
    this.#totalBytes = totalBytes;
    this.#stream = stream;
    this.#nowMs = nowMs;
    this.#startMs = nowMs();
  }

  /** `byteCount` of what `update` is told was there before this transfer: it is shown as done, and no part of the rate. */
  skip(byteCount: number): void {
    this.#skippedBytes += byteCount;
  }

  /** `doneBytes` are there now. Draws at most ten times a second, and nothing unless on a terminal. */
  update(doneBytes: number): void {
    if (!this.#stream.isTTY) return;
    const now = this.#nowMs();
    if (now - this.#drawnMs < DRAW_EVERY_MS) return;
    this.#drawnMs = now;
    this.#shown = true;
    const seconds = (now - this.#startMs) / 1000;
    const columns = this.#stream.columns || 80;
    const line = renderBar(
      this.#label,
      doneBytes,
      this.#totalBytes,
      seconds,
      columns,
      doneBytes - this.#skippedBytes,
    );
    this.#stream.write(ERASE_LINE + line);
  }

  /** Clears its line; the next update draws it again. */
  hide(): void {
    if (!this.#shown) return;
    this.#shown = false;
    this.#drawnMs = Number.NEGATIVE_INFINITY;
    this.#stream.write(ERASE_LINE);
  }
}

/** `movedBytes` are those of them that make the rate. One line, no longer than `columns`: `model.npy [=====>    ]  52%  1.1 GB of 2.1 GB  1.2 GB/s`. */
export function renderBar(
  label: string,
  doneBytes: number,
  totalBytes: number | undefined,
  seconds: number,
  columns: number,
  movedBytes = doneBytes,
): string {
  const rate = seconds > 0 ? `${bytesText(Math.max(0, movedBytes) / seconds).padStart(8)}/s` : "";
  const width = Math.max(1, columns - 1); // a full last column would wrap
  if (totalBytes === undefined) return `${label}  ${bytesText(doneBytes)}  ${rate}`.slice(0, width);
  const share = totalBytes === 0 ? 1 : Math.min(1, doneBytes / totalBytes);
  const percent = `${Math.floor(share * 100)}%`.padStart(4);
  const facts = `${percent}  ${bytesText(doneBytes)} of ${bytesText(totalBytes)}  ${rate}`;
  const filled = Math.round(share * BAR_CELLS);
  const cells =
    filled === BAR_CELLS
      ? "=".repeat(BAR_CELLS)
      : `${"=".repeat(filled)}>`.padEnd(BAR_CELLS).slice(0, BAR_CELLS);
  const room = width - facts.length - BAR_CELLS - 5;
  if (room < 4) return facts.slice(0, width);
  const name = label.length <= room ? label : `…${label.slice(label.length - room + 1)}`;
  return `${name} [${cells}] ${facts}`.slice(0, width);
}
