/** The async shell around `Discovery`: its socket, its beacons, its timer. */
import { isLoopback } from "./address.ts";
import type { Discovery, DiscoveryEvent } from "./discovery/discovery.ts";
import type { Address, Clock, DatagramSocket, Runtime, Timer } from "./runtime.ts";

const LIMITED_BROADCAST = "255.255.255.255";

export class DiscoveryLoop {
  readonly #discovery: Discovery;
  readonly #runtime: Runtime;
  readonly #socket: DatagramSocket;
  readonly #host: string;
  readonly #port: number;
  readonly #onEvent: (event: DiscoveryEvent) => void;
  #timer: Timer | undefined;
  #timerAtMs = 0;
  #closed = false;
  /** Targets that the last beacon could not be sent to, with why. */
  readonly sendErrors = new Map<string, string>();

  private constructor(
    discovery: Discovery,
    runtime: Runtime,
    socket: DatagramSocket,
    host: string,
    port: number,
    onEvent: (event: DiscoveryEvent) => void,
  ) {
    this.#discovery = discovery;
    this.#runtime = runtime;
    this.#socket = socket;
    this.#host = host;
    this.#port = port;
    this.#onEvent = onEvent;
  }

  /** `host` is where the node listens: a loopback node beacons on loopback only, and hears nothing else. */
  static async start(
    discovery: Discovery,
    runtime: Runtime,
    host: string,
    port: number,
    onEvent: (event: DiscoveryEvent) => void,
  ): Promise<DiscoveryLoop> {
    let loop: DiscoveryLoop | undefined;
    const receive = (packet: Uint8Array, from: Address) => loop?.receive(packet, from);
    const socket = await runtime.transport.bindDatagram({ host: "0.0.0.0", port }, { shared: true, receive });
    loop = new DiscoveryLoop(discovery, runtime, socket, host, port, onEvent);
    loop.pump();
    return loop;
  }

  receive(packet: Uint8Array, from: Address): void {
    if (this.#closed || (isLoopback(this.#host) && !isLoopback(from.host))) return;
    const { clock } = this.#runtime;
    this.#discovery.handleDatagram(packet, from, clock.nowMs(), unixSeconds(clock));
    this.pump();
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
    await this.#socket.close();
  }

  #send(beacon: Uint8Array): void {
    for (const host of broadcastAddresses(this.#host, this.#runtime)) {
      this.#socket.send(beacon, { host, port: this.#port }).then(
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
