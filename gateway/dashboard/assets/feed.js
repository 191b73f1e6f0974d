/**
 * A server-sent event stream that comes back. The browser reconnects by itself after a broken connection, with
 * Last-Event-ID; after a refusal, or silence, this opens it anew. A page that nobody has looked at for a while gives its
 * connection back: browsers allow six to a host, for all tabs together.
 */
import { ApiError, eventsUrl, request } from "./api.js";

const REOPEN_MS = 2000;
const HIDDEN_MS = 30_000;

/**
 * @typedef {object} FeedHandlers
 * @property {Record<string, (data: unknown) => void>} on  by event name
 * @property {() => void} [opened]
 * @property {(problem: ApiError | undefined) => void} [broken]  undefined: the connection, not the gateway's answer
 */

export class Feed {
  #path;
  #handlers;
  /** @type {EventSource | undefined} */
  #source;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #closed = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #hiddenTimer;
  #visibility = () => {
    clearTimeout(this.#hiddenTimer);
    if (document.hidden) this.#hiddenTimer = setTimeout(() => this.#drop(), HIDDEN_MS);
    else if (!this.#source) this.reopen();
  };

  /** @param {string} path @param {FeedHandlers} handlers */
  constructor(path, handlers) {
    this.#path = path;
    this.#handlers = handlers;
    document.addEventListener("visibilitychange", this.#visibility);
    this.reopen();
  }

  /** Drops the connection, if there is one, and opens another. */
  reopen() {
    if (this.#closed) return;
    clearTimeout(this.#timer);
    this.#source?.close();
    const source = new EventSource(eventsUrl(this.#path));
    this.#source = source;
    source.onopen = () => this.#handlers.opened?.();
    source.onerror = () => {
      if (this.#source !== source) return;
      if (source.readyState === EventSource.CLOSED) this.#refused();
      else this.#handlers.broken?.(undefined);
    };
    for (const [name, handle] of Object.entries(this.#handlers.on)) {
      source.addEventListener(name, (event) => {
        const data = parse(event.data);
        if (data !== undefined && this.#source === source) handle(data);
      });
    }
  }

  close() {
    this.#closed = true;
    document.removeEventListener("visibilitychange", this.#visibility);
    clearTimeout(this.#hiddenTimer);
    this.#drop();
  }

  #drop() {
    clearTimeout(this.#timer);
    this.#source?.close();
    this.#source = undefined;
  }

  /** EventSource does not tell the status: ask once more and read it. */
  async #refused() {
    const ask = new AbortController();
    try {
      await request(this.#path, { accept: "text/event-stream", signal: ask.signal });
      this.#handlers.broken?.(undefined);
    } catch (error) {
      this.#handlers.broken?.(error instanceof ApiError ? error : undefined);
    } finally {
      ask.abort();
    }
    if (!this.#closed) this.#timer = setTimeout(() => this.reopen(), REOPEN_MS);
  }
}

/** @param {string} text @returns {unknown} */
function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
