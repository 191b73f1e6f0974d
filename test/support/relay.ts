/**
 * A TCP relay on loopback for tests: passes every byte on, in order and with backpressure, counts them, and cuts at a byte
 * that the test names. Connections that come after a cut are passed on again.
 */
import { connect, createServer, type Server, type Socket } from "node:net";
import { reset } from "./reset.ts";

const HOST = "127.0.0.1";

/**
 * "reset": RST to both sides; what the relay holds is lost. "fin": FIN to both sides behind what has come so far.
 * "still": nothing is passed on any more, and nobody is told. "deaf": only what goes back to the dialler stands still.
 */
export type Cut = "reset" | "fin" | "still" | "deaf";

interface Awaited {
  readonly atBytes: number;
  readonly how: Cut;
  readonly done: () => void;
}

/** One connection that is passed on. */
class Pair {
  readonly dialler: Socket;
  readonly listener: Socket;
  readonly #relay: Relay;
  /** What becomes of bytes that come from the dialler, and from the listener. */
  #there: "pass" | "hold" | "drop" = "pass";
  #back: "pass" | "hold" | "drop" = "pass";

  constructor(relay: Relay, dialler: Socket, port: number) {
    this.#relay = relay;
    this.dialler = dialler;
    this.listener = connect({ host: HOST, port, noDelay: true, allowHalfOpen: true });
    dialler.setNoDelay(true);
    this.#pass(dialler, this.listener, () => this.#there);
    this.#pass(this.listener, dialler, () => this.#back);
  }

  #pass(from: Socket, to: Socket, state: () => "pass" | "hold" | "drop"): void {
    from.on("data", (part: Uint8Array) => {
      for (let rest = part; rest.length > 0 && state() === "pass"; ) {
        const onBytes = this.#relay.take(rest.length);
        if (!to.destroyed && !to.write(rest.subarray(0, onBytes))) from.pause();
        rest = rest.subarray(onBytes);
        this.#relay.taken(); // may cut here
      }
    });
    to.on("drain", () => {
      if (state() !== "hold") from.resume();
    });
    from.on("end", () => to.end());
    from.on("error", () => {});
    from.on("close", (failed) => {
      if (failed) reset(to);
      else to.end();
      if (to.destroyed) this.#relay.gone(this);
    });
  }

  cut(how: Cut): void {
    switch (how) {
      case "reset":
        reset(this.dialler);
        reset(this.listener);
        return;
      case "fin":
        // What still comes is read, so that the other side's own end is seen.
        this.#there = this.#back = "drop";
        this.dialler.end();
        this.listener.end();
        this.dialler.resume();
        this.listener.resume();
        return;
      case "still":
        this.#there = "hold";
        this.dialler.pause();
        this.#holdBack();
        return;
      default:
        this.#holdBack();
    }
  }

  #holdBack(): void {
    this.#back = "hold";
    this.listener.pause();
  }

  destroy(): void {
    this.dialler.destroy();
    this.listener.destroy();
  }
}

export class Relay implements AsyncDisposable {
  readonly #server: Server;
  readonly #pairs = new Set<Pair>();
  #awaited: Awaited | undefined;
  #closed = false;
  /** Bytes that were taken from either side, over all connections. */
  passedBytes = 0;
  /** Connections so far. */
  connections = 0;

  private constructor(port: number) {
    this.#server = createServer({ allowHalfOpen: true }, (dialler) => {
      if (this.#closed) {
        dialler.destroy();
        return;
      }
      this.connections++;
      this.#pairs.add(new Pair(this, dialler, port));
    });
  }

  /** To `port` of this machine. */
  static async start(port: number): Promise<Relay> {
    const relay = new Relay(port);
    await new Promise<void>((resolve, reject) => {
      relay.#server.once("error", reject);
      relay.#server.listen({ host: HOST, port: 0 }, resolve);
    });
    return relay;
  }

  /** HOST:PORT to dial. */
  get address(): string {
    const bound = this.#server.address();
    return `${HOST}:${typeof bound === "object" && bound ? bound.port : 0}`;
  }

  /** Passes `byteCount` more bytes, in whichever direction they come, and cuts behind the last one. Resolves then. */
  cutAfter(byteCount: number, how: Cut, timeoutMs = 60_000): Promise<void> {
    const atBytes = this.passedBytes + byteCount;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#awaited = undefined;
        const { passedBytes, connections } = this;
        reject(
          new Error(
            `${timeoutMs} ms passed: ${passedBytes} bytes of ${atBytes} came over ${connections} connections`,
          ),
        );
      }, timeoutMs);
      const done = () => {
        clearTimeout(timer);
        resolve();
      };
      this.#awaited = { atBytes, how, done };
    });
  }

  /** Cuts every connection that there is. */
  cut(how: Cut): void {
    for (const pair of [...this.#pairs]) pair.cut(how);
  }

  /** @internal How many of `byteCount` bytes may pass. */
  take(byteCount: number): number {
    const onBytes = Math.min(
      byteCount,
      (this.#awaited?.atBytes ?? Number.POSITIVE_INFINITY) - this.passedBytes,
    );
    this.passedBytes += onBytes;
    return onBytes;
  }

  /** @internal They were passed on: the place to cut may be reached. */
  taken(): void {
    const awaited = this.#awaited;
    if (!awaited || this.passedBytes < awaited.atBytes) return;
    this.#awaited = undefined;
    this.cut(awaited.how);
    awaited.done();
  }

  /** @internal */
  gone(pair: Pair): void {
    this.#pairs.delete(pair);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    for (const pair of this.#pairs) pair.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}
