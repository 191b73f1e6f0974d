/**
 * The body of an upload: read as it comes, never held whole. What is wrong with it (too long, cut off, standing still) is
 * said once, as the error of whoever reads it.
 */
import { GatewayError } from "../errors.ts";

export interface BodyLimits {
  readonly maxBodyBytes: number;
  readonly uploadStallMs: number;
}

/** What is used of a reader: the types of the runtimes differ in the rest. */
interface PartReader {
  read(): Promise<{ done: boolean; value?: Uint8Array | undefined }>;
  cancel(): Promise<void>;
}

export class UploadBody {
  readonly #reader: PartReader | undefined;
  readonly #limits: BodyLimits;
  /** What was read and not taken yet. */
  #rest: Uint8Array = new Uint8Array(0);
  /** Where `#rest` ends, if it lies in memory of ours that has room behind it. */
  #room: { readonly memory: Uint8Array; end: number } | undefined;
  #readBytes = 0;
  #ended = false;
  /** Of Content-Length; undefined: chunked. */
  readonly totalBytes: number | undefined;
  /** What was wrong with the body. */
  failure: GatewayError | undefined;

  /** Throws GATEWAY_BODY_TOO_LARGE. */
  constructor(
    body: ReadableStream<Uint8Array> | null,
    contentLength: string | undefined,
    limits: BodyLimits,
  ) {
    this.#limits = limits;
    this.totalBytes =
      contentLength !== undefined && /^\d{1,15}$/.test(contentLength) ? Number(contentLength) : undefined;
    if ((this.totalBytes ?? 0) > limits.maxBodyBytes) throw tooLarge(limits.maxBodyBytes);
    this.#reader = body?.getReader();
    if (!body) this.#ended = true;
  }

  /** Up to `count` bytes from where it stands, which stay there. */
  async peek(count: number): Promise<Uint8Array> {
    while (this.#rest.length < count && (await this.#readMore()));
    return this.#rest.subarray(0, count);
  }

  /** Exactly `count` bytes, which a limit has bounded before. Throws GATEWAY_BODY_TRUNCATED. */
  async take(count: number): Promise<Uint8Array> {
    const taken = await this.peek(count);
    if (taken.length < count) throw this.#truncated(count - taken.length);
    this.#rest = this.#rest.subarray(count);
    return taken;
  }

  /** All that comes, at most `maxBytes`. Throws GATEWAY_BODY_TOO_LARGE. */
  async takeAll(maxBytes: number): Promise<Uint8Array> {
    if ((this.totalBytes ?? 0) > maxBytes) throw tooLarge(maxBytes);
    const all = await this.peek(maxBytes + 1);
    if (all.length > maxBytes) throw tooLarge(maxBytes);
    this.#rest = new Uint8Array(0);
    return all;
  }

  /**
   * The next `count` bytes as they come; undefined: all there are. With `isLast` nothing may follow, which is found out
   * before the last part is given, so that a tensor is never whole for its receiver when the body was wrong.
   */
  async *parts(count: number | undefined, isLast: boolean): AsyncGenerator<Uint8Array, void, undefined> {
    let left = count ?? Number.POSITIVE_INFINITY;
    while (left > 0) {
      if (this.#rest.length === 0 && !(await this.#readMore())) {
        if (count === undefined) return;
        throw this.#truncated(left);
      }
      const part = this.#rest.subarray(0, Math.min(left, this.#rest.length));
      this.#rest = this.#rest.subarray(part.length);
      left -= part.length;
      if (left === 0 && isLast) await this.#expectEnd();
      yield part;
    }
    if (count === 0 && isLast) await this.#expectEnd();
  }

  /** No more of it is wanted. */
  async cancel(): Promise<void> {
    this.#ended = true;
    this.#rest = new Uint8Array(0);
    await this.#reader?.cancel().catch(() => {});
  }

  async #expectEnd(): Promise<void> {
    if (this.#rest.length > 0 || (await this.#readMore()))
      throw this.#fail(
        new GatewayError(400, "GATEWAY_BODY_TOO_LONG", "The body goes on after its last tensor"),
      );
  }

  /** False: it has ended. */
  async #readMore(): Promise<boolean> {
    for (;;) {
      if (this.#ended || !this.#reader) return false;
      const { done, value } = await this.#read(this.#reader);
      if (done || !value) {
        this.#ended = true;
        return false;
      }
      this.#readBytes += value.length;
      if (this.#readBytes > this.#limits.maxBodyBytes) throw this.#fail(tooLarge(this.#limits.maxBodyBytes));
      if (value.length === 0) continue;
      this.#keep(value);
      return true;
    }
  }

  /**
   * Puts `value` behind the rest. Memory doubles, so that a header that comes in small parts is copied twice at most, and
   * bytes once given out are never written again.
   */
  #keep(value: Uint8Array): void {
    const length = this.#rest.length + value.length;
    if (this.#rest.length === 0) {
      this.#rest = value;
      this.#room = undefined;
      return;
    }
    let room = this.#room;
    if (!room || room.end + value.length > room.memory.length) {
      room = { memory: new Uint8Array(2 * length), end: this.#rest.length };
      room.memory.set(this.#rest);
      this.#room = room;
    }
    room.memory.set(value, room.end);
    room.end += value.length;
    this.#rest = room.memory.subarray(room.end - length, room.end);
  }

  async #read(reader: PartReader) {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const stalled = new Promise<never>((_, reject) => {
      const { uploadStallMs } = this.#limits;
      timer = setTimeout(
        () =>
          reject(
            this.#fail(
              new GatewayError(
                408,
                "GATEWAY_UPLOAD_STALLED",
                `Nothing of the body came for ${uploadStallMs} ms`,
              ),
            ),
          ),
        uploadStallMs,
      );
    });
    try {
      return await Promise.race([reader.read(), stalled]);
    } catch (error) {
      if (error instanceof GatewayError) throw error;
      throw this.#fail(
        new GatewayError(400, "GATEWAY_BODY_TRUNCATED", "The client left in the middle of the body"),
      );
    } finally {
      clearTimeout(timer);
    }
  }

  #truncated(missing: number): GatewayError {
    return this.#fail(
      new GatewayError(400, "GATEWAY_BODY_TRUNCATED", `The body ended ${missing} bytes too early`),
    );
  }

  #fail(error: GatewayError): GatewayError {
    this.failure ??= error;
    return this.failure;
  }
}

function tooLarge(maxBytes: number): GatewayError {
  return new GatewayError(413, "GATEWAY_BODY_TOO_LARGE", `The body has more than ${maxBytes} bytes`);
}
