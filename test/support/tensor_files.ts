/** Files of tensors without a network between the one who reads them and the one who writes them. */
import type { PlannedTensor, TensorFile } from "../../src/cli/tensor_files.ts";
import type { ArrivingTensor } from "../../src/cli/tensor_format.ts";
import type { Stored, TensorSink } from "../../src/cli/tensor_sink.ts";
import { encodeSafetensorsHeader, type TensorInfo } from "../../src/core/tensor/safetensors.ts";
import { ascii, join } from "./core_formats.ts";

/** Copies: a part is valid until the next one is asked for. */
export async function joined(parts: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const copies: Uint8Array[] = [];
  for await (const part of parts) copies.push(part.slice());
  return join(copies);
}

export async function* inParts(bytes: Uint8Array, partBytes = 1000): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += partBytes) yield bytes.subarray(at, at + partBytes);
}

/** What the receiver is told of tensor `index`. */
export function arriving(file: TensorFile, index: number, id = new Uint8Array(8)): ArrivingTensor {
  const { name, dtype, shape, totalBytes } = tensorAt(file, index);
  const { fileName, fileMetadata } = file;
  const group = { id, fileName, index, count: file.tensors.length, fileMetadata: fileMetadata ?? "" };
  return { topic: name, dtype, shape, totalBytes, group };
}

/** Sends every tensor of `file` to `sink`, in the order of `indices`. */
export async function deliver(
  file: TensorFile,
  sink: TensorSink,
  indices: readonly number[] = file.tensors.map((_, index) => index),
): Promise<readonly Stored[]> {
  const id = crypto.getRandomValues(new Uint8Array(8));
  const stored: Stored[] = [];
  for (const index of indices) {
    const arrival = { peer: "peer", fallbackName: "fallback" };
    stored.push(await sink.write(arriving(file, index, id), tensorAt(file, index).read(0), arrival));
  }
  return stored;
}

export function tensorAt(file: TensorFile, index: number): PlannedTensor {
  const tensor = file.tensors[index];
  if (!tensor) throw new Error(`${file.path} has no tensor ${index}`);
  return tensor;
}

/** A safetensors file whose tensors are filled by `bytesOf`. */
export function safetensorsFile(
  tensors: readonly TensorInfo[],
  bytesOf: (byteCount: number, index: number) => Uint8Array,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  const { bytes, tensors: placed } = encodeSafetensorsHeader(tensors, new Map(Object.entries(metadata)));
  return join([bytes, ...placed.map(({ start, end }, index) => bytesOf(end - start, index))]);
}

/** The header of an npy file with this descr, and the elements. */
export function npyFile(descr: string, shape: string, data: Uint8Array, fortran = "False"): Uint8Array {
  const text = `{'descr': ${descr}, 'fortran_order': ${fortran}, 'shape': ${shape}, }`;
  const header = ascii(`\x93NUMPY\x01\x00\0\0${text.padEnd(117)}\n`);
  new DataView(header.buffer).setUint16(8, header.length - 10, true);
  return join([header, data]);
}
