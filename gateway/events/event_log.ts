/**
 * Events with numbers: each goes to whoever listens, and the last ones are kept, so that a client that was away can go on
 * where it was. An event's text is made once, when somebody first wants it.
 */

/** One event as server-sent events write it. */
export class LoggedEvent {
  readonly number: number;
  readonly name: string;
  readonly #id: string;
  #data: (() => unknown) | undefined;
  #text: Uint8Array | undefined;

  constructor(number: number, id: string, name: string, data: () => unknown) {
    this.number = number;
    this.name = name;
    this.#id = id;
    this.#data = data;
  }

  /** Shared by all clients. */
  get bytes(): Uint8Array {
    if (!this.#text) {
      this.#text = eventBytes(this.name, this.#data?.(), this.#id);
      this.#data = undefined;
    }
    return this.#text;
  }
}

const encoder = new TextEncoder();

/** An event of server-sent events (HTML, 9.2). JSON has no line breaks of its own. */
export function eventBytes(name: string, data: unknown, id?: string): Uint8Array {
  const idLine = id === undefined ? "" : `id: ${id}\n`;
  return encoder.encode(`${idLine}event: ${name}\ndata: ${JSON.stringify(data)}\n\n`);
}

export class EventLog {
  readonly #boot: string;
  readonly #max: number;
  readonly #events: LoggedEvent[] = [];
  readonly #listeners = new Set<(event: LoggedEvent) => void>();
  #number = 0;

  /** `boot` tells this run of the gateway from others. */
  constructor(boot: string, max: number) {
    this.#boot = boot;
    this.#max = max;
  }

  get lastId(): string {
    return `${this.#boot}-${this.#number}`;
  }
  get listeners(): number {
    return this.#listeners.size;
  }

  /** `data` is called at most once, now if anybody listens, else when somebody asks for the past. */
  add(name: string, data: () => unknown): void {
    this.#number++;
    const event = new LoggedEvent(this.#number, `${this.#boot}-${this.#number}`, name, data);
    this.#events.push(event);
    if (this.#events.length > this.#max * 2) this.#events.splice(0, this.#events.length - this.#max);
    for (const listener of this.#listeners) listener(event);
  }

  listen(listener: (event: LoggedEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** What came after the event with that id, and how many of those are lost. Another run's id says nothing. */
  since(id: string): { events: readonly LoggedEvent[]; lost: number } {
    const after = numberOf(id, this.#boot);
    if (after === undefined || after > this.#number) return { events: [], lost: 0 };
    const kept = this.#events.slice(-this.#max);
    const first = kept[0]?.number ?? this.#number + 1;
    return { events: kept.filter(({ number }) => number > after), lost: Math.max(0, first - after - 1) };
  }
}

/** The number in an id of this run; undefined: it is another's, or none. */
export function numberOf(id: string, boot: string): number | undefined {
  const match = /^([0-9a-z]{1,32})-(\d{1,15})$/.exec(id);
  return match?.[1] === boot ? Number(match[2]) : undefined;
}
