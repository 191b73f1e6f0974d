/** The async shell around `Discovery`: its socket, its beacons, its timer. */
import { isLoopback } from "./address.ts";
import type { Discovery, DiscoveryEvent } from "./discovery/discovery.ts";
import type { Address, Clock, DatagramSocket, Runtime, Timer } from "./runtime.ts";

const LIMITED_BROADCAST = "255.255.255.255";
const SECOND_MS = 1000;
/** In `sendErrors`: the port could not be opened again. */
const RECEIVING = "receiving";

export class DiscoveryLoop {
  readonly #discovery: Discovery;
  readonly #runtime: Runtime;
  /** Undefined while a flood is passed over. */
  #socket: DatagramSocket | undefined;
  readonly #host: string;
  readonly #port: number;
  readonly #maxPerSecond: number;
  readonly #onEvent: (event: DiscoveryEvent) => void;
  #timer: Timer | undefined;
  #timerAtMs = 0;
  #closed = false;
  #secondBeganMs = Number.NEGATIVE_INFINITY;
  /** Datagrams in this second. */
  #received = 0;
  /** Our beacon that came due while the port was closed. */
  #owed: Uint8Array | undefined;
  #reopening: Promise<void> = Promise.resolve();
  #rest: Timer | undefined;
  #wake: (() => void) | undefined;
  /** Targets that the last beacon could not be sent to, with why. */
  readonly sendErrors = new Map<string, string>();

  private constructor(
    discovery: Discovery,
    runtime: Runtime,
    host: string,
    port: number,
    maxPerSecond: number,
    onEvent: (event: DiscoveryEvent) => void,
  ) {
    this.#discovery = discovery;
    this.#runtime = runtime;
    this.#host = host;
    this.#port = port;
    this.#maxPerSecond = maxPerSecond;
    this.#onEvent = onEvent;
  }

  /** `host` is where the node listens: a loopback node beacons on loopback only, and hears nothing else. */
  static async start(
    discovery: Discovery,
    runtime: Runtime,
    host: string,
    port: number,
    maxPerSecond: number,
    onEvent: (event: DiscoveryEvent) => void,
  ): Promise<DiscoveryLoop> {
    const loop = new DiscoveryLoop(discovery, runtime, host, port, maxPerSecond, onEvent);
    loop.#socket = await loop.#bind();
    loop.pump();
    return loop;
  }

  #bind(): Promise<DatagramSocket> {
    const receive = (packet: Uint8Array, from: Address) => this.receive(packet, from);
    const at = { host: "0.0.0.0", port: this.#port };
    return this.#runtime.transport.bindDatagram(at, { shared: true, receive });
  }

  receive(packet: Uint8Array, from: Address): void {
    if (!this.#socket || !this.#takes(from)) return;
    if (this.#closed || (isLoopback(this.#host) && !isLoopback(from.host))) return;
    const { clock } = this.#runtime;
    this.#discovery.handleDatagram(packet, from, clock.nowMs(), unixSeconds(clock));
    this.pump();
  }

  /** False, and the port is closed for the rest of the second, when that has had its share. */
  #takes(from: Address): boolean {
    const nowMs = this.#runtime.clock.nowMs();
    if (nowMs - this.#secondBeganMs >= SECOND_MS) {
      this.#secondBeganMs = nowMs;
      this.#received = 0;
    }
    if (++this.#received <= this.#maxPerSecond) return true;
    const socket = this.#socket;
    this.#socket = undefined;
    this.#discovery.handleOverload(from);
    const restMs = Math.max(1, this.#secondBeganMs + SECOND_MS - nowMs);
    this.#reopening = (async () => {
      await socket?.close();
      await this.#reopen(restMs);
    })();
    return false;
  }

  /** Takes datagrams again after `waitMs`, or whenever the port is to be had. */
  async #reopen(waitMs: number): Promise<void> {
    for (let ms = waitMs; !this.#closed; ms = SECOND_MS) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        this.#rest = this.#runtime.clock.after(ms, resolve);
      });
      if (this.#closed) return;
      try {
        this.#socket = await this.#bind();
        this.sendErrors.delete(RECEIVING);
        if (this.#owed) this.#send(this.#owed);
        return;
      } catch (error) {
        this.sendErrors.set(RECEIVING, error instanceof Error ? error.message : String(error));
      }
    }
  }

  pump(): void {
    if (this.#closed) return;
    const { clock } = this.#runtime;
    const nowMs = clock.nowMs();
    this.#discovery.handleTimeout(nowMs);
    const beacon = this.#discovery.pollBeacon(nowMs, unixSeconds(clock));
    if (beacon) this.#send(beacon);
    for (let event = this.#discovery.pollEvent(); event; event = this.#discovery.pollEvent())
      this.#onEvent(event);
    const at = this.#discovery.pollDeadline();
    if (this.#timer && this.#timerAtMs <= at) return;
    this.#timer?.cancel();
    this.#timerAtMs = at;
    this.#timer = clock.after(Math.max(1, at - nowMs), () => {
      this.#timer = undefined;
      this.pump();
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    this.#rest?.cancel();
    this.#wake?.();
    await this.#reopening;
    await this.#socket?.close();
  }

  #send(beacon: Uint8Array): void {
    const socket = this.#socket;
    this.#owed = socket ? undefined : beacon;
    if (!socket) return;
    for (const host of broadcastAddresses(this.#host, this.#runtime)) {
      socket.send(beacon, { host, port: this.#port }).then(
        () => this.sendErrors.delete(host),
        // One interface without a route must not silence the others.
        (error) => this.sendErrors.set(host, error instanceof Error ? error.message : String(error)),
      );
    }
  }
}

/** Where a node that listens on `host` sends its beacons. */
export function broadcastAddresses(host: string, runtime: Pick<Runtime, "interfaces">): string[] {
  if (isLoopback(host)) return ["127.255.255.255"];
  const everywhere = host === "0.0.0.0" || host === "::";
  const own = runtime.interfaces().filter((entry) => everywhere || entry.address === host);
  return [...new Set([...(everywhere ? [LIMITED_BROADCAST] : []), ...own.map((entry) => entry.broadcast)])];
}

const unixSeconds = (clock: Clock) => Math.floor(clock.unixMs() / 1000);
