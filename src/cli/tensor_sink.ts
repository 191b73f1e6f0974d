/**
 * Tensors that arrive, as files: one npy, safetensors or raw file for each, or one safetensors file for each group.
 *
 * Who sent a tensor has said its topic and the name of its file; both are only a suggestion for a name in the one
 * directory (file_names.ts). Nothing that exists is overwritten, no file shows itself before it is whole, and the
 * extension says what the content is, never what the sender calls it: a stranger cannot plant a script.
 */
import { ClosedError, FormatError } from "../mod.ts";
import { safeName, withoutExtension } from "./file_names.ts";
import { type WrittenFile, writeTensor } from "./files.ts";
import { NewFile } from "./new_file.ts";
import {
  type ArrivingGroup,
  type ArrivingTensor,
  formOf,
  groupOf,
  metadataOf,
  type SinkFormat,
  type TensorForm,
} from "./tensor_format.ts";
import { TensorGroup } from "./tensor_group.ts";
import { plainText } from "./text.ts";

/** Groups that wait for tensors at once. With one more, the group that has waited longest is given up. */
const MAX_WAITING_GROUPS = 256;

export interface TensorSinkOptions {
  /** The directory of the files; it is there. */
  readonly out: string;
  readonly format: SinkFormat;
  /** Told of what was given up, or left out, without an error; the text is safe for a terminal. */
  readonly warn?: (text: string) => void;
}

/** Facts of one arrival that its description does not hold. */
export interface Arrival {
  /** Who sent it: groups of different senders are different groups. */
  readonly peer: string;
  /** The file's name when the sender has none: a name and no path. */
  readonly fallbackName: string;
  /** Asked once for each file when it is whole: false gives it up. Default: always true. */
  readonly claim?: () => boolean;
}

/** A tensor that was taken. */
export interface Stored {
  /** Of this tensor, without any header. */
  readonly bytes: number;
  /**
   * What is there now because of it: nothing while its group waits for more or when `claim` said no; two files when it
   * has one of its own and was the last that its group waited for.
   */
  readonly files: readonly WrittenFile[];
}

export class TensorSink {
  readonly #options: TensorSinkOptions;
  /** By sender and id; the one that has waited longest comes first. */
  readonly #groups = new Map<string, TensorGroup>();
  #isClosed = false;

  constructor(options: TensorSinkOptions) {
    this.#options = options;
  }

  /**
   * Writes one tensor. Any number may be written at once. Rejects with what `parts` or the disk rejects with; before it
   * asks for the first part with the errors of `formOf`, ASOC_BAD_SAFETENSORS for a tensor that does not fit its group,
   * and ASOC_CLOSED; with ASOC_BAD_SHAPE when `parts` are not the bytes of its shape. Nothing of it is left behind then.
   */
  async write(tensor: ArrivingTensor, parts: AsyncIterable<Uint8Array>, arrival: Arrival): Promise<Stored> {
    if (this.#isClosed) throw closed();
    const { format } = this.#options;
    const group = format === "auto" || format === "safetensors" ? groupOf(tensor) : undefined;
    // The metadata of a group is read when the group begins.
    const form = formOf(tensor, format, group ? undefined : this.#metadataOf(tensor.group));
    if (form.kind === "member") {
      const write = (whole: TensorGroup) => this.#writePart(whole, form, parts);
      return this.#inGroup(form.group, form.info.name, arrival, write);
    }
    const write = () => this.#writeFile(nameOf(tensor, form, arrival), form, parts, arrival);
    if (!group) return write();
    // The file of the group cannot hold this one, which gets its own; the others do not wait for it.
    return this.#inGroup(group, undefined, arrival, async (whole) => {
      const stored = await write();
      whole.leaveOut(group.index);
      return stored;
    });
  }

  /** Gives up the groups that are not complete, with a warning for each. To be called when all writing has settled. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const key of [...this.#groups.keys()]) await this.#giveUp(key);
  }

  async #writeFile(
    name: string,
    form: Exclude<TensorForm, { kind: "member" }>,
    parts: AsyncIterable<Uint8Array>,
    { claim = always }: Arrival,
  ): Promise<Stored> {
    const { out } = this.#options;
    let bytes = 0;
    async function* counted() {
      for await (const part of parts) {
        bytes += part.length;
        yield part;
      }
    }
    const file =
      form.kind === "bytes"
        ? await writeTensor(counted(), out, name, claim)
        : await writeSingle(form, counted(), out, name, claim);
    return { bytes, files: file ? [file] : [] };
  }

  /** `write` stores a tensor of `group`; when it was the last that was missing, the file of the group is written. */
  async #inGroup(
    said: ArrivingGroup,
    name: string | undefined,
    { peer, fallbackName, claim = always }: Arrival,
    write: (group: TensorGroup) => Promise<Stored>,
  ): Promise<Stored> {
    const key = `${peer} ${Buffer.from(said.id).toString("hex")}`;
    const group = this.#groups.get(key) ?? new TensorGroup(said.fileName, this.#metadataOf(said));
    group.begin(said.index, said.count, name);
    this.#groups.delete(key); // and back as the last that would be given up
    this.#groups.set(key, group);
    let stored: Stored | undefined;
    try {
      await this.#makeRoom();
      stored = await write(group);
    } finally {
      if (!stored) group.giveUp(said.index, name);
      if (group.size === 0) this.#groups.delete(key);
    }
    if (!group.takeWhole()) return stored;
    this.#groups.delete(key);
    const fileName = safeName(withoutExtension(group.fileName), fallbackName);
    const file = await group.assemble(this.#options.out, fileName, claim);
    return file ? { ...stored, files: [...stored.files, file] } : stored;
  }

  async #writePart(
    group: TensorGroup,
    form: TensorForm & { kind: "member" },
    parts: AsyncIterable<Uint8Array>,
  ): Promise<Stored> {
    const file = await NewFile.create(this.#options.out, "part");
    let isKept = false;
    try {
      await writeExactly(file, parts, form.bytes);
      await file.close();
      if (this.#isClosed) throw closed();
      group.keep(form.group.index, form.info, file);
      isKept = true;
      return { bytes: form.bytes, files: [] };
    } finally {
      if (!isKept) await file.remove();
    }
  }

  #metadataOf(group: ArrivingGroup | undefined): ReadonlyMap<string, string> {
    const metadata = metadataOf(group?.fileMetadata);
    if (!metadata) this.#warn(`the metadata of ${shown(group?.fileName)} is no object of texts: left out`);
    return metadata ?? new Map();
  }

  async #makeRoom(): Promise<void> {
    if (this.#groups.size <= MAX_WAITING_GROUPS) return;
    const idle = [...this.#groups].find(([, { isBusy }]) => !isBusy);
    if (idle) await this.#giveUp(idle[0]);
  }

  async #giveUp(key: string): Promise<void> {
    const group = this.#groups.get(key);
    this.#groups.delete(key);
    if (!group) return;
    const { size, count } = group;
    await group.discard();
    const came = count > 0 ? `${size} of ${count} tensors` : `${size} tensors of nobody knows how many`;
    this.#warn(`gave up ${shown(group.fileName)}: only ${came} came`);
  }

  #warn(text: string): void {
    this.#options.warn?.(text);
  }
}

const always = () => true;

function nameOf(tensor: ArrivingTensor, form: TensorForm, { fallbackName }: Arrival): string {
  const { topic, group } = tensor;
  const stem = withoutExtension(group?.fileName ?? "");
  const own = form.kind === "bytes" ? withoutExtension(topic) : topic;
  if (!groupOf(tensor)) return safeName(stem || own, fallbackName);
  return safeName([stem, own || String(group?.index ?? "")].filter(Boolean).join("."), fallbackName);
}

/** Like writeTensor, with what the form demands. */
async function writeSingle(
  form: TensorForm & { kind: "single" },
  parts: AsyncIterable<Uint8Array>,
  dir: string,
  name: string,
  claim: () => boolean,
): Promise<WrittenFile | undefined> {
  const file = await NewFile.create(dir);
  try {
    await file.write(form.header);
    await writeExactly(file, parts, form.bytes);
    await file.close();
    if (!claim()) return undefined;
    const { bytes } = file;
    const format = form.format === "raw" ? undefined : form.format;
    return { file: await file.place(name, format ?? "bin"), bytes, format };
  } finally {
    await file.remove();
  }
}

/** Rejects as soon as there are more bytes than `byteCount`, and when there are less. */
async function writeExactly(
  file: NewFile,
  parts: AsyncIterable<Uint8Array>,
  byteCount: number,
): Promise<void> {
  let left = byteCount;
  for await (const part of parts) {
    left -= part.length;
    if (left < 0) throw wrongBytes(`expected ${byteCount} bytes for its shape, got more`);
    await file.write(part);
  }
  if (left > 0) throw wrongBytes(`expected ${byteCount} bytes for its shape, got ${byteCount - left}`);
}

function wrongBytes(why: string): FormatError {
  return new FormatError("ASOC_BAD_SHAPE", `Cannot write tensor: ${why}`);
}

function closed(): ClosedError {
  return new ClosedError("ASOC_CLOSED", "Cannot write tensor: the sink is closed");
}

/** A stranger's file name for a message. */
function shown(fileName: string | undefined): string {
  return fileName ? plainText(JSON.stringify(fileName)) : "a group without a file name";
}
