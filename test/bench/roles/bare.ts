/**
 * The controls: what the bare socket of a runtime does with the same work. Each runtime gives its fastest form of a socket;
 * the jobs are the same everywhere.
 */
import {
  BareReader,
  HEADER_BYTES,
  header,
  MessageReader,
  type Reader,
  StagedReader,
  writeHeader,
} from "./bare_reader.ts";
import {
  type Command,
  fill,
  Meter,
  STAMP_EVERY_MS,
  STAMPED_BYTES,
  say,
  serveCommands,
  stamp,
  Times,
  timePings,
} from "./role.ts";

const MiB = 1024 * 1024;
/** Small frames of one write. */
const FRAMES_PER_WRITE = 8;
/** Frames of this size or less are small: staged here, coalesced there. */
const SMALL_BYTES = 16 * 1024;

export interface BareSocket {
  /** Writes the parts in order. False: wait for `onDrain`, all of them are taken. */
  write(...parts: Uint8Array[]): boolean;
  end(): void;
}

export interface BareRuntime {
  /** Bulk frames of one write in its fastest form. */
  readonly framesPerWrite: number;
  /** Resolves with the port. `accept` says where the bytes of a new connection go. */
  listen(accept: (socket: BareSocket) => Reader): Promise<number>;
  connect(port: number, reader: Reader, onDrain: () => void): Promise<BareSocket>;
  /** `count` tensors in frames, as fast as this runtime can. */
  sendBulk(port: number, memory: Uint8Array, count: number, frameBytes: number): Promise<void>;
}

const NOBODY: Reader = { next: () => new Uint8Array(1), commit() {}, push() {} };

/** Runs the program. */
export async function serveBare(runtime: BareRuntime): Promise<void> {
  let accept: (socket: BareSocket) => Reader = () => NOBODY;
  let memory = new Uint8Array(0);
  let mixed = new Times();
  const tensor = (byteCount: number) => {
    if (memory.length !== byteCount) {
      memory = new Uint8Array(byteCount);
      fill(memory, 0);
    }
    return memory;
  };
  say({ event: "ready", port: await runtime.listen((socket) => accept(socket)) });
  await serveCommands(async (command) => {
    const { cmd, port, tensorBytes, count, frameBytes } = command;
    switch (cmd) {
      case "receive": {
        const meter = new Meter(tensorBytes, count);
        const place = tensor(tensorBytes);
        accept = () =>
          frameBytes <= SMALL_BYTES ? new StagedReader(place, meter) : new BareReader(place, meter);
        say({ event: "armed" });
        break;
      }
      case "receiveMixed": {
        mixed = new Times();
        const place = tensor(64 * MiB);
        accept = () => new BareReader(place, undefined, mixed);
        say({ event: "armed" });
        break;
      }
      case "mixedTimes":
        mixed.say("mixed");
        break;
      case "echo":
        accept = (socket) => {
          const reader: MessageReader = new MessageReader(command.bytes + 2 * HEADER_BYTES, () =>
            socket.write(reader.message),
          );
          return reader;
        };
        say({ event: "armed" });
        break;
      case "ping":
        await ping(runtime, command);
        break;
      case "sendMixed":
        await sendMixed(runtime, command, tensor(64 * MiB));
        say({ event: "sent" });
        break;
      case "send":
        if (frameBytes <= SMALL_BYTES) await sendSmall(runtime, command);
        else await runtime.sendBulk(port, tensor(tensorBytes), count, frameBytes);
        break;
    }
  });
}

/** The same frames that a node sends for a small tensor: DATA and END, in one write. */
async function ping(runtime: BareRuntime, { port, bytes, count }: Command): Promise<void> {
  const message = new Uint8Array(bytes + 2 * HEADER_BYTES);
  const view = new DataView(message.buffer);
  writeHeader(view, 0, 1, 1, 0, bytes);
  writeHeader(view, HEADER_BYTES + bytes, 2, 1, 1, 0);
  let answered: () => void = () => {};
  const reader = new MessageReader(message.length, () => answered());
  const socket = await runtime.connect(port, reader, () => {});
  await timePings(count, () => {
    const answer = new Promise<void>((resolve) => {
      answered = resolve;
    });
    socket.write(message);
    return answer;
  });
  socket.end();
}

/** Frames of one stream, FRAMES_PER_WRITE at a time from one block: only the seq changes. */
function sendSmall(runtime: BareRuntime, command: Command): Promise<void> {
  const { port, tensorBytes, count, frameBytes } = command;
  const step = HEADER_BYTES + frameBytes;
  const blocks = Array.from({ length: 64 }, () => {
    const block = new Uint8Array(FRAMES_PER_WRITE * step);
    const view = new DataView(block.buffer);
    for (let i = 0; i < FRAMES_PER_WRITE; i++) writeHeader(view, i * step, 1, 1, 0, frameBytes);
    return { block, view };
  });
  const framesPerTensor = tensorBytes / frameBytes;
  const total = framesPerTensor * count;
  let sent = 0;
  return new Promise((resolve, reject) => {
    let socket: BareSocket | undefined;
    const pump = () => {
      while (socket && sent < total) {
        const { block, view } = blocks[(sent / FRAMES_PER_WRITE) % blocks.length] as (typeof blocks)[0]; // inside
        for (let i = 0; i < FRAMES_PER_WRITE; i++) view.setUint32(i * step + 6, (sent + i) % framesPerTensor);
        sent += FRAMES_PER_WRITE;
        if (!socket.write(block)) return;
      }
      socket?.end();
      socket = undefined;
      resolve();
    };
    runtime.connect(port, NOBODY, pump).then((made) => {
      socket = made;
      pump();
    }, reject);
  });
}

/** Bulk write by write, and a small stamped frame before the next one whenever one is due. */
function sendMixed(runtime: BareRuntime, { port, seconds }: Command, memory: Uint8Array): Promise<void> {
  const untilMs = performance.now() + seconds * 1000;
  return new Promise((resolve, reject) => {
    let socket: BareSocket | undefined;
    let at = 0;
    let due: Uint8Array | undefined;
    const timer = setInterval(() => {
      if (due) return;
      due = new Uint8Array(STAMPED_BYTES);
      stamp(due);
    }, STAMP_EVERY_MS);
    let turnBytes = 0;
    const pump = () => {
      while (socket) {
        // What the kernel takes at once would keep the timer from ever running.
        if (turnBytes >= 4 * MiB) {
          turnBytes = 0;
          setImmediate(pump);
          return;
        }
        if (performance.now() > untilMs) {
          clearInterval(timer);
          socket.end();
          socket = undefined;
          resolve();
          return;
        }
        const parts: Uint8Array[] = [];
        if (due) parts.push(header(1, 3, 0, STAMPED_BYTES), due);
        due = undefined;
        for (let frame = 0; frame < runtime.framesPerWrite; frame++) {
          parts.push(header(1, 1, 0, MiB), memory.subarray(at, at + MiB));
          at = (at + MiB) % memory.length;
          turnBytes += MiB;
        }
        if (!socket.write(...parts)) return;
      }
    };
    runtime.connect(port, NOBODY, pump).then((made) => {
      socket = made;
      pump();
    }, reject);
  });
}
