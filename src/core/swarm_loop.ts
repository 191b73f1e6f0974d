/** The async shell around `Swarm`: carries out what it wants, tells what it says, and holds the timer of its next deadline. */
import type { Address, Clock, Timer } from "./runtime.ts";
import type { Swarm, SwarmEvent, Target } from "./swarm/swarm.ts";

export interface SwarmActions {
  dial(target: Target, address: Address): void;
  /** There may be something to do with connections that there are. */
  tend(): void;
  tell(event: SwarmEvent): void;
  /** Keepalives go out on these links and no others. */
  keepAlive(links: ReadonlySet<number>): void;
}

export class SwarmLoop {
  readonly #swarm: Swarm;
  readonly #clock: Clock;
  readonly #actions: SwarmActions;
  #timer: Timer | undefined;

  constructor(swarm: Swarm, clock: Clock, actions: SwarmActions) {
    this.#swarm = swarm;
    this.#clock = clock;
    this.#actions = actions;
  }

  /** Carries out what the swarm wants now. */
  pump(): void {
    const nowMs = this.#clock.nowMs();
    for (let dial = this.#swarm.pollDial(nowMs); dial; dial = this.#swarm.pollDial(nowMs)) {
      this.#actions.dial(dial.target, dial.address);
    }
    this.#actions.tend();
    let changed = false;
    for (let event = this.#swarm.pollEvent(); event; event = this.#swarm.pollEvent()) {
      this.#actions.tell(event);
      changed = true;
    }
    if (changed) this.#actions.keepAlive(this.#swarm.keepaliveLinks());
    this.#timer?.cancel();
    this.#timer = undefined;
    const at = this.#swarm.pollDeadline();
    if (at !== undefined) this.#timer = this.#clock.after(Math.max(1, at - nowMs), () => this.pump());
  }

  /** Waits for no deadline, until somebody pumps again. */
  rest(): void {
    this.#timer?.cancel();
  }
}
