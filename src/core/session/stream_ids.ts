/** Ids for the streams of one side: they go up by two and begin again after 2^32; one that is open is passed over. */
const MAX_ID = 0xffff_ffff;

export class StreamIds {
  readonly #firstId: number;
  #nextId: number;
  readonly #open = new Set<number>();

  /** `firstId`: 1 for a dialler, 2 for an acceptor. */
  constructor(firstId: number) {
    this.#firstId = firstId;
    this.#nextId = firstId;
  }

  /** Ids that were never given out. */
  get left(): number {
    return (MAX_ID - this.#nextId) / 2;
  }

  take(): number {
    let id: number;
    do {
      id = this.#nextId;
      this.#nextId = id + 2 > MAX_ID ? this.#firstId : id + 2;
    } while (this.#open.has(id));
    return id;
  }

  /** `id` is not given out again until it is released. */
  hold(id: number): void {
    this.#open.add(id);
  }
  release(id: number): void {
    this.#open.delete(id);
  }
  releaseAll(): void {
    this.#open.clear();
  }
}
