/**
 * The body of an upload: read as it comes, never held whole. What is wrong with it (too long, cut off, standing still) is
 * said once, as the error of whoever reads it.
 */
import { GatewayError } from "../errors.ts";

export interface BodyLimits {
  readonly maxBodyBytes: number;
  readonly uploadStallMs: number;
}

/** What lies ready while what came before is sent; and the longest part that is given. */
const AHEAD_BYTES = 1024 * 1024;
/** How long a part waits to become so long: each is a frame of its own, and small ones cost as much as large ones. */
const GATHER_MS = 1;

/** Parts below this are put together, in blocks of so many bytes. */
const SMALL_BYTES = 16 * 1024;
const GATHER_BYTES = 64 * 1024;
const NOTHING: Uint8Array = new Uint8Array(0);

/** What is used of a reader: the types of the runtimes differ in the rest. */
export interface PartReader {
  read(): Promise<{ done: boolean; value?: Uint8Array | undefined }>;
  cancel(): Promise<void>;
}

export class UploadBody {
  readonly #reader: PartReader | undefined;
  readonly #limits: BodyLimits;
  /** What was read and not taken yet, in order. */
  #parts: Uint8Array[] = [];
  #waitingBytes = 0;
  #gathered = { memory: NOTHING, end: 0 };
  #readBytes = 0;
  /** Of a reading under way: resolves when `#parts`, `#ended` or `failure` have changed. */
  #reading: Promise<void> | undefined;
  #readingSinceMs = 0;
  #stallTimer: ReturnType<typeof setTimeout> | undefined;
  /** Ends the reading under way. */
  #giveUpReading: (() => void) | undefined;
  #ended = false;
  /** Where small parts are put together; the reader of `parts` has it until it asks for the next one. */
  #joined: Uint8Array | undefined;
  /** Of Content-Length; undefined: chunked. */
  readonly totalBytes: number | undefined;
  /** What was wrong with the body. */
  failure: GatewayError | undefined;

  /** Throws GATEWAY_BODY_TOO_LARGE. */
  constructor(
    body: ReadableStream<Uint8Array> | PartReader | null,
    contentLength: string | undefined,
    limits: BodyLimits,
  ) {
    this.#limits = limits;
    this.totalBytes =
      contentLength !== undefined && /^\d{1,15}$/.test(contentLength) ? Number(contentLength) : undefined;
    if ((this.totalBytes ?? 0) > limits.maxBodyBytes) throw tooLarge(limits.maxBodyBytes);
    this.#reader = body && "getReader" in body ? body.getReader() : (body ?? undefined);
    if (!body) this.#ended = true;
  }

  /** Up to `count` bytes from where it stands, which stay there. */
  async peek(count: number): Promise<Uint8Array> {
    while (this.#waitingBytes < count && (await this.#readMore()));
    const [first = NOTHING] = this.#parts;
    if (first.length < count && this.#parts.length > 1) this.#parts = [joinParts(this.#parts)];
    return (this.#parts[0] ?? NOTHING).subarray(0, count);
  }

  /** Exactly `count` bytes, which a limit has bounded before. Throws GATEWAY_BODY_TRUNCATED. */
  async take(count: number): Promise<Uint8Array> {
    const taken = await this.peek(count);
    if (taken.length < count) throw this.#truncated(count - taken.length);
    this.#drop(count);
    return taken;
  }

  /** All that comes, at most `maxBytes`. Throws GATEWAY_BODY_TOO_LARGE. */
  async takeAll(maxBytes: number): Promise<Uint8Array> {
    if ((this.totalBytes ?? 0) > maxBytes) throw tooLarge(maxBytes);
    const all = await this.peek(maxBytes + 1);
    if (all.length > maxBytes) throw tooLarge(maxBytes);
    this.#drop(all.length);
    return all;
  }

  /**
   * The next `count` bytes as they come; undefined: all there are. A part is valid until the next one is asked for;
   * meanwhile up to 1 MiB is read ahead. What follows within a millisecond goes into the same part. With `isLast` nothing may follow, which is found out before the last part is
   * given, so that a tensor is never whole for its receiver when the body was wrong.
   */
  async *parts(count: number | undefined, isLast: boolean): AsyncGenerator<Uint8Array, void, undefined> {
    let left = count ?? Number.POSITIVE_INFINITY;
    while (left > 0) {
      if (this.#waitingBytes === 0 && !(await this.#readMore())) {
        if (count === undefined) return;
        throw this.#truncated(left);
      }
      await this.#waitFor(Math.min(left, AHEAD_BYTES));
      const part = this.#takeSome(Math.min(left, AHEAD_BYTES));
      left -= part.length;
      if (left === 0 && isLast) await this.#expectEnd();
      void this.#readAhead();
      yield part;
    }
    if (count === 0 && isLast) await this.#expectEnd();
  }

  /** No more of it is wanted. */
  async cancel(): Promise<void> {
    this.#end();
    this.#parts = [];
    this.#waitingBytes = 0;
    await this.#reader?.cancel().catch(() => {});
  }

  /** What is there, at most `most` bytes, in one piece. */
  #takeSome(most: number): Uint8Array {
    const [first = NOTHING] = this.#parts;
    if (this.#parts.length === 1 || first.length >= most) {
      const taken = first.subarray(0, most);
      this.#drop(taken.length);
      return taken;
    }
    const size = Math.min(most, this.#waitingBytes);
    this.#joined ??= new Uint8Array(AHEAD_BYTES);
    const joined = this.#joined.subarray(0, size);
    for (let at = 0; at < size; ) {
      const part = (this.#parts[0] ?? NOTHING).subarray(0, size - at);
      joined.set(part, at);
      at += part.length;
      this.#drop(part.length);
    }
    return joined;
  }

  /** Takes the first `count` bytes out of what waits; they lie in one part. */
  #drop(count: number): void {
    const [first] = this.#parts;
    if (!first) return;
    this.#waitingBytes -= count;
    if (count < first.length) this.#parts[0] = first.subarray(count);
    else this.#parts.shift();
  }

  /** Reads while the last part is sent. What goes wrong is told when that is reached. */
  async #readAhead(): Promise<void> {
    while (this.#waitingBytes < AHEAD_BYTES && !this.#ended && !this.failure) {
      if (this.#reading) return; // another one does
      await this.#readOnce();
    }
  }

  /** Until so much lies there, the body is at its end, or `GATHER_MS` have passed. */
  async #waitFor(byteCount: number): Promise<void> {
    if (this.#waitingBytes >= byteCount || this.#ended || this.failure) return;
    let isLate = false;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(() => {
        isLate = true;
        resolve();
      }, GATHER_MS);
    });
    while (this.#waitingBytes < byteCount && !isLate && !this.#ended && !this.failure)
      await Promise.race([this.#readOnce(), late]);
    clearTimeout(timer);
  }

  async #expectEnd(): Promise<void> {
    if (this.#waitingBytes > 0 || (await this.#readMore()))
      throw this.#fail(
        new GatewayError(400, "GATEWAY_BODY_TOO_LONG", "The body goes on after its last tensor"),
      );
  }

  /** False: it has ended. Throws what went wrong, when all before it has been taken. */
  async #readMore(): Promise<boolean> {
    const before = this.#readBytes;
    while (this.#readBytes === before && !this.#ended && !this.failure) await this.#readOnce();
    if (this.#readBytes > before) return true;
    if (this.failure) throw this.failure;
    return false;
  }

  /** One read, which several may wait for; never rejects. */
  #readOnce(): Promise<void> {
    this.#reading ??= this.#read().finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  async #read(): Promise<void> {
    const reader = this.#reader;
    if (!reader) return;
    this.#readingSinceMs = performance.now();
    this.#stallTimer ??= setTimeout(() => this.#checkStall(), this.#limits.uploadStallMs);
    try {
      // No timer and no race for each part: they would cost as much as the part.
      const step = await new Promise<Awaited<ReturnType<PartReader["read"]>> | undefined>(
        (resolve, reject) => {
          this.#giveUpReading = () => resolve(undefined);
          reader.read().then(resolve, reject);
        },
      );
      if (!step) return;
      if (step.done || !step.value) this.#end();
      else this.#arrived(step.value);
    } catch {
      this.#fail(
        new GatewayError(400, "GATEWAY_BODY_TRUNCATED", "The client left in the middle of the body"),
      );
    } finally {
      this.#giveUpReading = undefined;
    }
  }

  #checkStall(): void {
    const { uploadStallMs } = this.#limits;
    this.#stallTimer = undefined;
    if (!this.#giveUpReading) return; // nobody waits for the client: the next read begins to count
    const quietMs = performance.now() - this.#readingSinceMs;
    if (quietMs < uploadStallMs - 1) {
      this.#stallTimer = setTimeout(() => this.#checkStall(), uploadStallMs - quietMs);
      return;
    }
    const why = `Nothing of the body came for ${uploadStallMs} ms`;
    this.#fail(new GatewayError(408, "GATEWAY_UPLOAD_STALLED", why));
    this.#giveUpReading?.();
  }

  #end(): void {
    this.#ended = true;
    clearTimeout(this.#stallTimer);
  }

  #arrived(part: Uint8Array): void {
    if (this.#ended || part.length === 0) return;
    this.#readBytes += part.length;
    if (this.#readBytes > this.#limits.maxBodyBytes) {
      this.#fail(tooLarge(this.#limits.maxBodyBytes));
      return;
    }
    this.#waitingBytes += part.length;
    if (part.length >= SMALL_BYTES) this.#parts.push(part);
    else this.#gather(part);
  }

  /** Small parts lie behind each other, so that a body in single bytes costs no object for each. */
  #gather(part: Uint8Array): void {
    const { memory, end } = this.#gathered;
    const last = this.#parts.at(-1);
    if (end + part.length > memory.length) {
      this.#gathered = { memory: new Uint8Array(GATHER_BYTES), end: 0 };
      this.#gather(part);
      return;
    }
    memory.set(part, end); // behind all that was given out
    this.#gathered.end += part.length;
    const isBehind = last?.buffer === memory.buffer;
    const start = isBehind ? last.byteOffset : end;
    const whole = memory.subarray(start, this.#gathered.end);
    if (isBehind) this.#parts[this.#parts.length - 1] = whole;
    else this.#parts.push(whole);
  }

  #truncated(missing: number): GatewayError {
    return this.#fail(
      new GatewayError(400, "GATEWAY_BODY_TRUNCATED", `The body ended ${missing} bytes too early`),
    );
  }

  #fail(error: GatewayError): GatewayError {
    clearTimeout(this.#stallTimer);
    this.failure ??= error;
    return this.failure;
  }
}

function joinParts(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function tooLarge(maxBytes: number): GatewayError {
  return new GatewayError(413, "GATEWAY_BODY_TOO_LARGE", `The body has more than ${maxBytes} bytes`);
}
