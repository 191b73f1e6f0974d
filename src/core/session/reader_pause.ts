/** How long our own readers have kept a connection from being read. */
export class ReaderPause {
  #sinceMs: number | undefined;
  #lastMs = 0;
  #lastEndMs = 0;
  #lastRoomMs = 0;

  /** When nothing was read any more, or a reader has made room for something since; undefined: it is read. */
  get sinceMs(): number | undefined {
    return this.#sinceMs === undefined ? undefined : Math.max(this.#sinceMs, this.#lastRoomMs);
  }

  /** After each read: whether there is no room for more. */
  note(paused: boolean, nowMs: number): void {
    if (paused) this.#sinceMs ??= nowMs;
    else if (this.#sinceMs !== undefined) {
      this.#lastMs = nowMs - this.#sinceMs;
      this.#lastEndMs = nowMs;
      this.#sinceMs = undefined;
    }
  }

  /** A reader has made room for something that had come. */
  handleRoom(nowMs: number): void {
    this.#lastRoomMs = nowMs;
  }

  /** Whether the other side may have given up sending because of it. */
  mayHaveStalled(sendStallMs: number, nowMs: number): boolean {
    // After so long a pause the peer's own send has stalled: it closes, and its FIN is found soon after.
    if (this.#lastMs >= sendStallMs && nowMs - this.#lastEndMs < sendStallMs) return true;
    const pausedMs = this.#sinceMs === undefined ? 0 : nowMs - this.#sinceMs;
    return pausedMs >= sendStallMs / 2; // a peer gives up after sendStallMs of its own clock
  }
}
