/**
 * What the comparison programs on Node.js have in common. Each is started as `NAME.mjs receive` or `NAME.mjs send` and
 * obeys the commands of ../roles/role.ts:
 *
 *   both        prints {"event":"ready","port":N} first; a sender's port is 0
 *   receive     {"cmd":"receive","tensorBytes":n,"count":n,"verify":true?}   -> {"event":"armed"}, later {"event":"done",...}
 *               {"cmd":"echo"}                                               -> {"event":"armed"}
 *   send        {"cmd":"send","port":N,"tensorBytes":n,"count":n,"frameBytes":n}   -> {"event":"sent"}
 *               {"cmd":"ping","port":N,"bytes":n,"count":n}                  -> {"event":"pings","p50Us":n,"p99Us":n}
 *
 * One sender process belongs to one receiver process and may be told to send or ping any number of times. Timed from
 * the end of the first tensor (it warms up) to the end of the last. With "verify" every tensor has content of its own
 * ("first" is the number of the first one), which the receiver compares.
 */
import { type Command, fill, Meter, say, serveCommands, timePings, Verifier } from "../roles/role.ts";

export interface Receiver {
  /** Printed with "ready"; has at least the port that a sender is given. */
  readonly address: { readonly port: number };
  /** From now on what arrives goes to the sink. */
  receive(sink: TensorSink): void | Promise<void>;
  /** From now on what arrives goes back to where it came from. */
  echo(): void | Promise<void>;
}

export interface Sender {
  send(command: Command, memory: Uint8Array): Promise<void>;
  /** Makes ready, and gives what does one round trip of `message`. */
  pinger(command: Command, message: Uint8Array): Promise<() => Promise<void>>;
}

let tensorMemory = new Uint8Array(0);

/** The tensor that the received bytes are to end up in: allocated and touched once, then used again and again. */
function reusedTensor(tensorBytes: number): Uint8Array {
  if (tensorMemory.length !== tensorBytes) tensorMemory = new Uint8Array(tensorBytes).fill(1);
  return tensorMemory;
}

/** Takes what a library delivers and puts it into the one reused tensor, as a user needs it. */
export class TensorSink {
  readonly #memory: Uint8Array;
  readonly #verifier: Verifier | undefined;
  readonly #meter: Meter;
  #at = 0;

  constructor(command: Command) {
    this.#memory = reusedTensor(command.tensorBytes);
    this.#meter = new Meter(command.tensorBytes, command.count);
    this.#verifier = command.verify ? new Verifier(command.first ?? 0) : undefined;
  }

  /** A part of a tensor; parts come in order. */
  copy(part: Uint8Array): void {
    let rest = part;
    while (rest.length > 0) {
      const room = this.#memory.length - this.#at;
      const now = rest.length > room ? rest.subarray(0, room) : rest;
      this.#memory.set(now, this.#at);
      this.#at += now.length;
      if (this.#at === this.#memory.length) {
        this.#at = 0;
        this.#verifier?.check(this.#memory);
      }
      this.#meter.add(now.length);
      if (now === rest) return;
      rest = rest.subarray(now.length);
    }
  }
}

/** How many bytes may be on their way: what a sender needs to keep the pipe full and the memory small. */
export class Window {
  #room: number;
  readonly #size: number;
  #wake: (() => void) | undefined;

  constructor(size: number) {
    this.#size = size;
    this.#room = size;
  }

  /** A promise when the caller has to wait first; a message larger than the window goes alone. */
  take(byteCount: number): Promise<void> | undefined {
    this.#room -= byteCount;
    const fits = () => this.#room >= 0 || this.#room + byteCount === this.#size;
    return fits() ? undefined : this.#wait(fits);
  }

  give(byteCount: number): void {
    this.#room += byteCount;
    this.#wake?.();
  }

  /** Resolves when nothing is on its way any more. */
  empty(): Promise<void> {
    return this.#wait(() => this.#room === this.#size);
  }

  #wait(reached: () => boolean): Promise<void> {
    if (reached()) return Promise.resolve();
    return new Promise((resolve) => {
      this.#wake = () => {
        if (!reached()) return;
        this.#wake = undefined;
        resolve();
      };
    });
  }
}

/** Waits for `byteCount` bytes of answer, which may come in parts. */
export class Reply {
  #left = 0;
  #resolve: (() => void) | undefined;

  next(byteCount: number): Promise<void> {
    this.#left = byteCount;
    return new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  add(byteCount: number): void {
    this.#left -= byteCount;
    if (this.#left <= 0) this.#resolve?.();
  }
}

/** The messages of one tensor: views of at most `frameBytes`. */
export function* parts(memory: Uint8Array, frameBytes: number): Generator<Uint8Array> {
  for (let at = 0; at < memory.length; at += frameBytes)
    yield memory.subarray(at, Math.min(at + frameBytes, memory.length));
}

async function ping(sender: Sender, command: Command): Promise<void> {
  const message = new Uint8Array(command.bytes);
  fill(message, 0);
  await timePings(command.count, await sender.pinger(command, message));
}

/** The whole program: prints "ready" and serves commands until "exit" or the end of stdin. */
export async function servePeer(
  makeReceiver: () => Promise<Receiver>,
  makeSender: () => Promise<Sender>,
): Promise<void> {
  const role = process.argv[2];
  if (role === "receive") {
    const receiver = await makeReceiver();
    say({ event: "ready", ...receiver.address });
    await serveCommands(async (command) => {
      if (command.cmd === "receive") await receiver.receive(new TensorSink(command));
      else if (command.cmd === "echo") await receiver.echo();
      else throw new Error(`a receiver does not know ${command.cmd}`);
      say({ event: "armed" });
    });
  }
  if (role !== "send") throw new Error("usage: NAME.mjs receive|send");
  const sender = await makeSender();
  let memory = new Uint8Array(0);
  say({ event: "ready", port: 0 });
  await serveCommands(async (command) => {
    if (command.cmd === "ping") return ping(sender, command);
    if (command.cmd !== "send") throw new Error(`a sender does not know ${command.cmd}`);
    const { tensorBytes, count, verify, first = 0 } = command;
    if (verify) {
      for (let number = first; number < first + count; number++) {
        // Fresh each time: a library may still hold what it was given.
        memory = new Uint8Array(tensorBytes);
        fill(memory, number);
        await sender.send({ ...command, count: 1 }, memory);
      }
    } else {
      if (memory.length !== tensorBytes) memory = new Uint8Array(tensorBytes).fill(3);
      await sender.send(command, memory);
    }
    say({ event: "sent" });
  });
}
