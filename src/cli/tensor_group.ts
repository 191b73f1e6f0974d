/**
 * The tensors of one safetensors file while they arrive.
 *
 * Each waits in a `.part` file beside the file to be. When all are there, the whole is written in one stream, put on the
 * disk, and given its name; then the parts are gone. A group that does not come to that leaves nothing behind.
 */
import { encodeSafetensorsHeader, FormatError, type TensorInfo } from "../mod.ts";
import { readParts, type WrittenFile } from "./files.ts";
import { NewFile } from "./new_file.ts";
import { plainText } from "./text.ts";

/** A tensor that is there. */
interface Part {
  readonly info: TensorInfo;
  readonly file: NewFile;
}

export class TensorGroup {
  /** For the file's name; what the first tensor said. */
  readonly fileName: string;
  readonly metadata: ReadonlyMap<string, string>;
  #count = 0;
  /** By index: "arriving", the tensor, or "elsewhere" for one that the format cannot hold and that has a file of its own. */
  readonly #places = new Map<number, Part | "arriving" | "elsewhere">();
  readonly #names = new Set<string>();
  #highestIndex = -1;
  #arriving = 0;
  #isTaken = false;

  constructor(fileName: string, metadata: ReadonlyMap<string, string>) {
    this.fileName = fileName;
    this.metadata = metadata;
  }

  /** Tensors that are there, or on their way. */
  get size(): number {
    return this.#places.size;
  }
  /** Tensors in the whole group; 0: nobody has said yet. */
  get count(): number {
    return this.#count;
  }
  /** Whether a tensor is being written now. */
  get isBusy(): boolean {
    return this.#arriving > 0;
  }

  /** Whether all is there to be assembled: true once only, for whoever asks first, and never after `discard`. */
  takeWhole(): boolean {
    if (this.#isTaken || this.#arriving > 0 || this.#count === 0 || this.#places.size < this.#count)
      return false;
    this.#isTaken = true;
    return true;
  }

  /**
   * Begins tensor `index` of `count`; `name` is undefined for one that gets a file of its own. Throws
   * ASOC_BAD_SAFETENSORS when the place or the name is taken, or the count is another one than before.
   */
  begin(index: number, count: number, name: string | undefined): void {
    if (this.#places.has(index)) throw this.#refuse(`tensor ${index} came twice`);
    if (name !== undefined && this.#names.has(name))
      throw this.#refuse(`two tensors are called ${plainText(JSON.stringify(name))}`);
    const known = this.#count || count;
    const highest = Math.max(index, this.#highestIndex);
    if ((count !== 0 && count !== known) || (known > 0 && highest >= known))
      throw this.#refuse(`tensor ${index} of ${count} does not belong to ${known}`);
    this.#count = known;
    this.#highestIndex = highest;
    this.#places.set(index, "arriving");
    if (name !== undefined) this.#names.add(name);
    this.#arriving++;
  }

  /** The tensor that began is whole, in the closed `file`, which is the group's now. */
  keep(index: number, info: TensorInfo, file: NewFile): void {
    this.#places.set(index, { info, file });
    this.#arriving--;
  }

  /** The tensor that began is whole, in a file of its own. */
  leaveOut(index: number): void {
    this.#places.set(index, "elsewhere");
    this.#arriving--;
  }

  /** The tensor that began will not come; it may begin again. */
  giveUp(index: number, name: string | undefined): void {
    this.#places.delete(index);
    if (name !== undefined) this.#names.delete(name);
    this.#arriving--;
  }

  #refuse(why: string): FormatError {
    return new FormatError("ASOC_BAD_SAFETENSORS", `Cannot write safetensors file: ${why}`);
  }

  /**
   * Writes the group, which is complete and taken, to `name` with its extension in `dir`, in the order of the indices. `claim` is asked
   * once all is written: false gives the file up (undefined), as does a group of which every tensor is elsewhere.
   * Rejects with what the disk rejects with, and when the header would be too large. The parts are gone in any case.
   */
  async assemble(dir: string, name: string, claim: () => boolean): Promise<WrittenFile | undefined> {
    try {
      const parts = this.#parts();
      if (parts.length === 0) return undefined;
      const header = encodeSafetensorsHeader(
        parts.map(({ info }) => info),
        this.metadata,
      );
      const whole = await NewFile.create(dir);
      try {
        await whole.write(header.bytes);
        for (const { file } of parts) {
          for await (const bytes of readParts(file)) await whole.write(bytes);
          await file.remove(); // so that the disk need not hold everything twice
        }
        if (whole.bytes !== header.dataOffset + header.dataBytes)
          throw new Error("Cannot write safetensors file: somebody has changed its parts");
        await whole.close({ sync: true });
        if (!claim()) return undefined;
        const file = await whole.place(name, "safetensors");
        return { file, bytes: whole.bytes, format: "safetensors" };
      } finally {
        await whole.remove();
      }
    } finally {
      await this.discard();
    }
  }

  /** Removes the parts that are there; nothing will come of the group. */
  async discard(): Promise<void> {
    this.#isTaken = true;
    for (const { file } of this.#parts()) await file.remove();
  }

  /** In the order of the indices. */
  #parts(): Part[] {
    const entries = [...this.#places].sort(([a], [b]) => a - b);
    return entries.flatMap(([, place]) => (typeof place === "object" ? [place] : []));
  }
}
