/**
 * Files that NumPy, ml_dtypes and safetensors write (formats_peer.py), taken apart into tensors as `asoc send` does and
 * put together as `asoc recv` does: the same libraries read from what arrives what they have written.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { type TestContext, test } from "node:test";
import { CliError } from "../../src/cli/exit_codes.ts";
import { readTensorFile } from "../../src/cli/tensor_files.ts";
import type { SinkFormat } from "../../src/cli/tensor_format.ts";
import { TensorSink } from "../../src/cli/tensor_sink.ts";
import { parseDType } from "../../src/core/tensor/dtype.ts";
import { encodeSafetensorsDType } from "../../src/core/tensor/safetensors_dtype.ts";
import { deliver } from "../support/tensor_files.ts";
import { SKIP_WITHOUT_PYTHON, VENV_PYTHON } from "./python.ts";

const PEER = join(import.meta.dirname, "formats_peer.py");
const options = { skip: SKIP_WITHOUT_PYTHON };

interface NpyEntry {
  readonly file: string;
  readonly dtype: string;
  readonly shape: number[];
  readonly fortranOrder: boolean;
  /** In hexadecimal, rows first and little-endian. */
  readonly bytes: string;
  readonly bigEndian?: boolean;
}

interface SafetensorsEntry {
  readonly file: string;
  readonly tensors: readonly { name: string; dtype: string; shape: number[]; bytes: string }[];
  readonly metadata: Record<string, string>;
}

interface Manifest {
  readonly npy: readonly NpyEntry[];
  readonly safetensors: readonly SafetensorsEntry[];
}

function python(command: string, folder: string): unknown {
  const limits = { maxBuffer: 64 << 20, timeout: 120_000 };
  return JSON.parse(
    execFileSync(VENV_PYTHON, ["-B", PEER, command, folder], { encoding: "utf8", ...limits }),
  );
}

/** What Python has written, a sink for what arrives of it, and what Python reads there. */
function transfer(context: TestContext, format: SinkFormat) {
  const folder = mkdtempSync(join(tmpdir(), "asoc-files-"));
  context.after(() => rmSync(folder, { recursive: true }));
  python("write", folder);
  const out = join(folder, "out");
  mkdirSync(out);
  const warnings: string[] = [];
  const sink = new TensorSink({ out, format, warn: (text) => warnings.push(text) });
  return {
    manifest: JSON.parse(readFileSync(join(folder, "manifest.json"), "utf8")) as Manifest,
    path: (file: string) => join(folder, file),
    /** Sends a file; the names of those that came of it. */
    async send(file: string): Promise<string[]> {
      const stored = await deliver(await readTensorFile(join(folder, file)), sink);
      return stored.flatMap(({ files }) => files.map((one) => basename(one.file)));
    },
    async read(entries: readonly object[]): Promise<number> {
      await sink.close();
      assert.deepEqual(warnings, []);
      writeFileSync(join(out, "manifest.json"), JSON.stringify(entries));
      const { checks, wrong } = python("read", out) as { checks: number; wrong: string[] };
      assert.deepEqual(wrong, []);
      return checks;
    },
    content: (file: string) => readFileSync(join(out, file)),
  };
}

/** What `read` is to find in a safetensors file: it calls data types as safetensors does. */
function expected(file: string, tensors: SafetensorsEntry["tensors"], metadata: Record<string, string>) {
  const theirs = (dtype: string) => encodeSafetensorsDType(parseDType(dtype));
  return { file, metadata, tensors: tensors.map((each) => ({ ...each, dtype: theirs(each.dtype) })) };
}

test(
  "every safetensors file of the library arrives byte for byte, and it reads it",
  options,
  async (context) => {
    const { manifest, path, send, read, content } = transfer(context, "auto");
    const entries: object[] = [];
    for (const { file, tensors, metadata } of manifest.safetensors) {
      const [name = "", ...more] = await send(file);
      assert.deepEqual([name, more], [file, []]);
      assert.ok(content(name).equals(readFileSync(path(file))), file);
      entries.push(expected(name, tensors, metadata));
    }
    assert.ok(entries.length > 100, `${entries.length} files`);
    assert.ok((await read(entries)) > 300);
  },
);

test("every array of NumPy and ml_dtypes arrives, and they read it", options, async (context) => {
  const { manifest, path, send, read } = transfer(context, "auto");
  const entries: object[] = [];
  let refused = 0;
  for (const entry of manifest.npy) {
    const { file, dtype, shape, fortranOrder, bytes } = entry;
    if (fortranOrder) {
      await assert.rejects(readTensorFile(path(file)), (error) => {
        assert.ok(error instanceof CliError);
        return /ascontiguousarray/.test(error.message);
      });
      refused++;
      continue;
    }
    const [name = "", ...more] = await send(file);
    assert.deepEqual(more, []);
    if (dtype === "float8_e5m2") {
      // The one name of ml_dtypes that np.save() writes and np.load() does not read: see npy_descr.ts.
      const topic = file.replace(".npy", "");
      assert.equal(name, `${topic}.safetensors`);
      entries.push(expected(name, [{ name: topic, dtype, shape, bytes }], {}));
      continue;
    }
    assert.equal(name, file);
    // np.save() does not write which of the ml_dtypes it was: bytes without a name arrive as such.
    const isNamed = !/^(bfloat|float8_)/.test(dtype);
    const arrived = isNamed ? dtype : `void${parseDType(dtype).bits}`;
    entries.push({ file: name, dtype: arrived, shape, fortranOrder: false, bytes });
  }
  assert.ok(entries.length > 200 && refused > 50, `${entries.length} files, ${refused} refused`);
  assert.ok((await read(entries)) > 1000);
});

test(
  "tensors of safetensors files arrive as npy files where NumPy has their type",
  options,
  async (context) => {
    const { manifest, send, read } = transfer(context, "npy");
    const entries: object[] = [];
    let refused = 0;
    for (const { file, tensors } of manifest.safetensors) {
      const [tensor] = tensors;
      if (tensors.length !== 1 || !tensor) continue;
      if (/^(bfloat|float[48]_)/.test(tensor.dtype)) {
        await assert.rejects(send(file), /Cannot write npy/);
        refused++;
        continue;
      }
      const [name] = await send(file);
      assert.equal(name, file.replace(".safetensors", ".npy"));
      entries.push({ file: name, ...tensor, name: undefined, fortranOrder: false });
    }
    assert.ok(entries.length > 70 && refused > 30, `${entries.length} files, ${refused} refused`);
    assert.ok((await read(entries)) > 300);
  },
);
