/** What `asoc serve` and `asoc recv` say of a tensor that has come, or has not. */
import type { IncomingStream, Peer } from "../mod.ts";
import { errorCodeOf } from "./exit_codes.ts";
import type { WrittenFile } from "./files.ts";
import type { Output } from "./output.ts";
import { bytesText, peerText, plainText, transferText } from "./text.ts";

/** What was made of a tensor. */
export interface Received {
  readonly bytes: number;
  /** None while the other tensors of its file are awaited. */
  readonly files: readonly WrittenFile[];
}

/** A stream of which there may be no more than its number. */
export type FailedStream = Pick<IncomingStream, "streamId" | "receivedBytes"> & { readonly topic?: string };

/** The fields of a stream's events. */
export function factsOf({ peer, streamId, description, topic, dtype, shape }: IncomingStream) {
  const base = { peer: peer.id, streamId };
  if (!description) return base;
  return { ...base, topic, dtype, shape: dtype === undefined ? undefined : shape };
}

/** A tensor is whole. `toFiles`: its files are what counts, and not the tensor. */
export function reportReceived(
  output: Output,
  stream: IncomingStream,
  { bytes, files }: Received,
  seconds: number,
  toFiles: boolean,
): void {
  const { description } = stream;
  if (output.json) {
    const file = files.at(-1);
    const facts = { bytes, file: file?.file, format: file?.format, seconds, digest: description?.digest };
    const all = files.length > 1 ? { files: files.map((one) => one.file) } : {};
    output.event({ event: "stream", state: "received", ...factsOf(stream), ...facts, ...all }, undefined);
    return;
  }
  const from = `from ${peerText(stream.peer)}`;
  if (!toFiles) output.event({ event: "stream" }, `received ${transferText(bytes, seconds)}, ${from}`);
  for (const one of files) {
    output.event({ event: "stream" }, one.file);
    const count = one.format === "safetensors" ? (description?.group?.count ?? 0) : 0;
    const what = count > 1 ? `${bytesText(one.bytes)}, ${count} tensors` : transferText(one.bytes, seconds);
    output.log(`received ${what}, ${from}${one.format ? `, ${one.format}` : ""}`);
  }
}

/** A tensor is not whole, or could not be written. */
export function reportFailed(output: Output, peer: Peer, stream: FailedStream, error: unknown): void {
  const message = error instanceof Error ? error.message : String(error);
  const { streamId, receivedBytes: bytes, topic } = stream;
  const code = errorCodeOf(error);
  output.note(
    { event: "stream", state: "failed", peer: peer.id, streamId, topic, bytes, code, message },
    `a tensor from ${peerText(peer)} failed: ${plainText(message)}`,
  );
}
