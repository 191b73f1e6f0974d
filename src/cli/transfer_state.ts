/**
 * What `asoc send` keeps while it sends a file, so that it can be started again after an end of any kind and go on.
 *
 * A file of lines in JSON: the first says under which node id the file is sent, from which seed the ids of its transfers
 * are made, and what the file was; each further one, that a tensor is sent to its end, and to which life of its
 * receiver, or is known to be there. The first kind is written before the end goes out: whether a receiver that knows of
 * nothing may get it again depends on it. The second kind is not waited for: without it the receiver is asked.
 */
import { createHash, randomBytes } from "node:crypto";
import { type FileHandle, open, readFile, truncate } from "node:fs/promises";
import { z } from "zod";
import { drop, hold } from "./claims.ts";
import type { Output } from "./output.ts";

const SEED_BYTES = 16;
const ID_BYTES = 8;

const headSchema = z.object({
  version: z.literal(1),
  nodeId: z.string(),
  seed: z.string().regex(/^[0-9a-f]{32}$/),
  fingerprint: z.string(),
});
const lineSchema = z.discriminatedUnion("state", [
  z.object({ state: z.literal("ended"), tensor: z.number(), peer: z.string(), epoch: z.number() }),
  z.object({ state: z.literal("there"), tensor: z.number(), peer: z.string() }),
]);
type Head = z.output<typeof headSchema>;
type Line = z.output<typeof lineSchema>;

/** What an earlier run has left. */
export interface Earlier {
  readonly path: string;
  readonly head: Head;
  readonly lines: readonly Line[];
}

/** Reads the file at `path`; undefined when it is not whole, as after a loss of power. */
export async function readEarlier(path: string): Promise<Earlier | undefined> {
  return parseEarlier(path, await readFile(path, "utf8"));
}

/** The text of the file at `path`; lines that are not whole are passed over. */
export function parseEarlier(path: string, text: string): Earlier | undefined {
  const [first, ...rest] = text.split("\n");
  const head = headSchema.safeParse(parsed(first ?? ""));
  if (!head.success) return undefined;
  const lines = rest.map((line) => lineSchema.safeParse(parsed(line)));
  return { path, head: head.data, lines: lines.flatMap(({ data }) => (data ? [data] : [])) };
}

/** Where a state is kept, and for what file. */
export interface Place {
  readonly dir: string;
  readonly stem: string;
  readonly fingerprint: string;
}

/** The transfer of one file to its targets. */
export class TransferState {
  readonly #head: Head;
  readonly #there = new Set<string>();
  /** The boot epoch of each peer that a tensor was last sent to its end to. */
  readonly #ended = new Map<string, number>();
  readonly #path: string;
  readonly #handle: FileHandle;
  readonly #output: Output;
  #pending = "";
  #writing: Promise<void> | undefined;
  /** An earlier run was cut off, and this one goes on. */
  readonly resumes: boolean;

  private constructor(
    head: Head,
    path: string,
    handle: FileHandle,
    lines: readonly Line[],
    resumes: boolean,
    output: Output,
  ) {
    this.#head = head;
    this.#path = path;
    this.#handle = handle;
    for (const line of lines) {
      if (line.state === "there") this.#there.add(keyOf(line.tensor, line.peer));
      else this.#ended.set(keyOf(line.tensor, line.peer), line.epoch);
    }
    this.resumes = resumes;
    this.#output = output;
  }

  /** Goes on with `earlier` when that was under the same node id and of the same file; else anew. Rejects with the disk's errors. */
  static async begin(
    place: Place,
    earlier: Earlier | undefined,
    nodeId: string,
    output: Output,
  ): Promise<TransferState> {
    const { dir, stem, fingerprint } = place;
    if (earlier?.head.nodeId === nodeId && earlier.head.fingerprint === fingerprint) {
      const handle = await open(earlier.path, "a");
      return new TransferState(earlier.head, earlier.path, handle, earlier.lines, true, output);
    }
    const seed = randomBytes(SEED_BYTES).toString("hex");
    const head: Head = { version: 1, nodeId, seed, fingerprint };
    const text = `${JSON.stringify(head)}\n`;
    const path = earlier?.path ?? (await hold(dir, stem, text));
    if (earlier) await truncate(path);
    const handle = await open(path, "a", 0o600);
    if (earlier) await handle.write(text);
    return new TransferState(head, path, handle, [], false, output);
  }

  /** The same for all tensors of the file, in every run. */
  get groupId(): Uint8Array {
    return this.#id("group");
  }
  /** 16 hex digits, the same in every run. */
  transferId(tensor: number): string {
    return Buffer.from(this.#id(`tensor ${tensor}`)).toString("hex");
  }

  /** All of it was sent to `peer` when that had this boot epoch, which may or may not have it; undefined: it was not. */
  endedEpoch(tensor: number, peer: string): number | undefined {
    return this.#ended.get(keyOf(tensor, peer));
  }
  /** `peer` has said that it has it. */
  isThere(tensor: number, peer: string): boolean {
    return this.#there.has(keyOf(tensor, peer));
  }

  /** The end of a tensor is about to go out. Resolves when that is noted, or cannot be. */
  async noteEnded(tensor: number, peer: string, epoch: number): Promise<void> {
    this.#note({ state: "ended", tensor, peer, epoch });
    await this.#writing;
  }
  noteThere(tensor: number, peer: string): void {
    this.#note({ state: "there", tensor, peer });
  }

  #note(line: Line): void {
    this.#pending += `${JSON.stringify(line)}\n`;
    this.#writing ??= this.#write();
  }

  /** The file is with all its targets. */
  async finish(): Promise<void> {
    await this.leave();
    await drop(this.#path);
  }

  /** Keeps it for a later run. Never rejects. */
  async leave(): Promise<void> {
    await this.#writing;
    await this.#handle.close().catch(() => {});
  }

  async #write(): Promise<void> {
    try {
      while (this.#pending !== "") {
        const text = this.#pending;
        this.#pending = "";
        await this.#handle.write(text);
      }
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      this.#output.log(`cannot note how far the transfer is: ${why}`);
    }
    this.#writing = undefined;
  }

  #id(what: string): Uint8Array {
    return createHash("sha256").update(`${this.#head.seed} ${what}`).digest().subarray(0, ID_BYTES);
  }
}

function keyOf(tensor: number, peer: string): string {
  return `${tensor} ${peer}`;
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
