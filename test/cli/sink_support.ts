/** What the tests of TensorSink share: tensors as a stranger describes them, and a sink with what it warned of. */
import { readdir, readFile } from "node:fs/promises";
import { basename } from "node:path";
import { makeOutDir } from "../../src/cli/files.ts";
import type { ArrivingGroup, ArrivingTensor, SinkFormat } from "../../src/cli/tensor_format.ts";
import { type Arrival, TensorSink } from "../../src/cli/tensor_sink.ts";
import { parseDType } from "../../src/core/tensor/dtype.ts";
import { tensorBytes } from "../../src/core/tensor/shape.ts";
import { inParts } from "../support/tensor_files.ts";
import type { Home } from "./support.ts";

export const HERE: Arrival = { peer: "a", fallbackName: "fallback" };

/** One of `group`, by default the first of two of model.safetensors. */
export function tensor(
  topic: string,
  dtype: string | undefined,
  shape: number[] = [],
  group?: Partial<ArrivingGroup>,
): ArrivingTensor {
  const whole = { id: new Uint8Array(8), fileName: "model.safetensors", index: 0, count: 2, ...group };
  const totalBytes = dtype === undefined ? undefined : tensorBytes(parseDType(dtype), shape);
  return { topic, dtype, shape, totalBytes, ...(group ? { group: whole } : {}) };
}

/** A sink for `home.path("out")` with what it warned of. */
export async function sinkIn(home: Home, format: SinkFormat = "auto") {
  const out = home.path("out");
  await makeOutDir(out);
  const warnings: string[] = [];
  const sink = new TensorSink({ out, format, warn: (text) => warnings.push(text) });
  const write = async (one: ArrivingTensor, bytes: Uint8Array, arrival: Partial<Arrival> = {}) => {
    const { files } = await sink.write(one, inParts(bytes, 7), { ...HERE, ...arrival });
    return files.map(({ file }) => basename(file)).join(" ");
  };
  const names = async () => (await readdir(out)).sort();
  const content = async (name: string) => new Uint8Array(await readFile(home.path("out", name)));
  return { sink, out, warnings, write, names, content };
}
