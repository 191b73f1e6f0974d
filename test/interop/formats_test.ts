/**
 * Tensor files against NumPy, ml_dtypes and safetensors (formats_peer.py): what they write is read, what is written is
 * what they write, byte for byte, and they read it; and no header that they refuse is accepted.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import fc from "fast-check";
import { DTYPE_NAMES, type DType, dtypeName, parseDType } from "../../src/core/tensor/dtype.ts";
import { isNeedMore, type NeedMore } from "../../src/core/tensor/need_more.ts";
import { decodeNpyHeader, encodeNpyHeader } from "../../src/core/tensor/npy.ts";
import { encodeDescr } from "../../src/core/tensor/npy_descr.ts";
import { encodeSafetensorsHeader, type TensorInfo } from "../../src/core/tensor/safetensors.ts";
import { decodeSafetensorsHeader } from "../../src/core/tensor/safetensors_decode.ts";
import { decodeSafetensorsDType, encodeSafetensorsDType } from "../../src/core/tensor/safetensors_dtype.ts";
import { elementCount, tensorBytes } from "../../src/core/tensor/shape.ts";
import { swapBytes } from "../../src/core/tensor/swap_bytes.ts";
import { typedView } from "../../src/core/tensor/typed_view.ts";
import { decodeOrRefuse, join as joinBytes, mutations } from "../support/core_formats.ts";
import { SKIP_WITHOUT_PYTHON, VENV_PYTHON } from "./python.ts";

const PEER = join(import.meta.dirname, "formats_peer.py");
const SHAPES = [[], [0], [3], [3, 4], [2, 0, 5], [2, 3, 4]];
const options = { skip: SKIP_WITHOUT_PYTHON };

interface NpyEntry {
  readonly file: string;
  readonly dtype: string;
  readonly shape: number[];
  readonly fortranOrder: boolean;
  readonly bytes: string;
  readonly bigEndian?: boolean;
  /** The numbers 0 to 11. */
  readonly counts?: boolean;
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

function python<Answer>(command: string, folder: string): Answer {
  const output = execFileSync(VENV_PYTHON, ["-B", PEER, command, folder], {
    encoding: "utf8",
    maxBuffer: 64 << 20,
    timeout: 120_000,
  });
  return JSON.parse(output) as Answer;
}

function folderOf(context: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "asoc-formats-"));
  context.after(() => rmSync(folder, { recursive: true }));
  return folder;
}

/** What Python has written. */
function written(context: TestContext): { manifest: Manifest; content: (file: string) => Uint8Array } {
  const folder = folderOf(context);
  python("write", folder);
  return {
    manifest: JSON.parse(readFileSync(join(folder, "manifest.json"), "utf8")) as Manifest,
    content: (file) => new Uint8Array(readFileSync(join(folder, file))),
  };
}

function whole<Header extends object>(result: Header | NeedMore): Header {
  assert.ok(!isNeedMore(result));
  return result;
}

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");

function pattern(byteCount: number, dtype: DType): Uint8Array {
  const mask = dtypeName(dtype) === "bool" ? 1 : 255;
  return Uint8Array.from({ length: byteCount }, (_, i) => (i * 37 + 11) & mask);
}

/** Elements in row-major order from column-major ones, or the other way round with `shape` reversed. */
function rowMajor(bytes: Uint8Array, shape: readonly number[], size: number): Uint8Array {
  const result = new Uint8Array(bytes.length);
  const index = shape.map(() => 0);
  for (let row = 0; row < elementCount(shape); row++) {
    const column = index.reduceRight((sum, i, axis) => sum * (shape[axis] ?? 1) + i, 0);
    result.set(bytes.subarray(column * size, (column + 1) * size), row * size);
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      index[axis] = (index[axis] ?? 0) + 1;
      if ((index[axis] ?? 0) < (shape[axis] ?? 0)) break;
      index[axis] = 0;
    }
  }
  return result;
}

test(
  "decodeNpyHeader() reads what NumPy and ml_dtypes write; encodeNpyHeader() writes the same bytes",
  options,
  (context) => {
    const { manifest, content } = written(context);
    assert.ok(manifest.npy.length > 250, `${manifest.npy.length} files`);
    for (const entry of manifest.npy) {
      const about = JSON.stringify(entry);
      const file = content(entry.file);
      const header = whole(decodeNpyHeader(file));
      const dtype = parseDType(entry.dtype);
      const isNamed = !/^(bfloat|float8_(?!e5m2$))/.test(entry.dtype);
      assert.equal(dtypeName(header.dtype), isNamed ? entry.dtype : `opaque${dtype.bits}`, about);
      assert.deepEqual(header.shape, entry.shape, about);
      assert.equal(header.fortranOrder, entry.fortranOrder, about);
      assert.equal(header.byteOrder, entry.bigEndian ? "big" : "little", about);
      assert.equal(header.dataOffset + header.dataBytes, file.length, about);

      const stored = file.slice(header.dataOffset);
      if (entry.bigEndian) swapBytes(header.dtype, stored);
      const data = header.fortranOrder ? rowMajor(stored, header.shape, dtype.bits / 8) : stored;
      assert.equal(hex(data), entry.bytes, about);
      if (entry.counts) {
        const numbers = Array.from(typedView(dtype, data), Number);
        const parts = entry.dtype.startsWith("complex") ? 2 : 1;
        const hasNumbers = entry.dtype !== "float16" || typeof Float16Array !== "undefined";
        const expected = numbers.map((_, i) => (i % parts === 0 ? i / parts : 0));
        if (hasNumbers) assert.deepEqual(numbers, expected, about);
      }
      // ml_dtypes makes "<f1" of float8_e5m2, which np.load() refuses: see npy_descr.ts.
      if (entry.bigEndian || entry.dtype === "float8_e5m2") continue;
      const ours = encodeNpyHeader({ dtype, shape: entry.shape, fortranOrder: entry.fortranOrder });
      assert.equal(hex(ours), hex(file.subarray(0, header.dataOffset)), about);
    }
  },
);

test(
  "decodeSafetensorsHeader() reads what safetensors writes; encodeSafetensorsHeader() writes the same bytes",
  options,
  (context) => {
    const { manifest, content } = written(context);
    assert.ok(manifest.safetensors.length > 100, `${manifest.safetensors.length} files`);
    for (const entry of manifest.safetensors) {
      const file = content(entry.file);
      const header = whole(decodeSafetensorsHeader(file, file.length));
      const byName = new Map(entry.tensors.map((tensor) => [tensor.name, tensor]));
      assert.equal(header.tensors.length, byName.size, entry.file);
      for (const { name, dtype, shape, start, end } of header.tensors) {
        const bytes = hex(file.subarray(header.dataOffset + start, header.dataOffset + end));
        assert.deepEqual({ name, dtype: dtypeName(dtype), shape, bytes }, byName.get(name), entry.file);
      }
      assert.deepEqual(Object.fromEntries(header.metadata), entry.metadata);
      const ours = encodeSafetensorsHeader(header.tensors, header.metadata);
      assert.equal(hex(ours.bytes), hex(file.subarray(0, header.dataOffset)), entry.file);
    }
  },
);

/** One npy file of each data type, shape and order. */
function* npyFiles(): Generator<{ entry: NpyEntry; content: Uint8Array }> {
  const names = DTYPE_NAMES.filter((name) => !/^(opaque|complex32|u?int[124]$|float[46]_)/.test(name));
  for (const name of names) {
    const dtype = parseDType(name);
    for (const shape of SHAPES) {
      for (const asked of [false, true]) {
        const header = encodeNpyHeader({ dtype, shape, fortranOrder: asked });
        const { fortranOrder } = whole(decodeNpyHeader(header));
        const data = pattern(tensorBytes(dtype, shape), dtype);
        const bytes = hex(fortranOrder ? rowMajor(data, shape, dtype.bits / 8) : data);
        const file = `${name}-${shape.join("x")}-${asked}.npy`;
        yield {
          entry: { file, dtype: name, shape, fortranOrder, bytes },
          content: joinBytes([header, data]),
        };
      }
    }
  }
}

function safetensorsFile(
  file: string,
  tensors: readonly TensorInfo[],
  metadata: Record<string, string> = {},
): { entry: SafetensorsEntry; content: Uint8Array } {
  const { bytes, tensors: placed } = encodeSafetensorsHeader(tensors, new Map(Object.entries(metadata)));
  const parts = placed.map(({ dtype, start, end }) => pattern(end - start, dtype));
  const listed = placed.map(({ name, dtype, shape }, i) => ({
    name,
    dtype: encodeSafetensorsDType(dtype),
    shape: [...shape],
    bytes: hex(parts[i] ?? new Uint8Array()),
  }));
  return { entry: { file, tensors: listed, metadata }, content: joinBytes([bytes, ...parts]) };
}

/** One file of each data type and shape, and some of many tensors. */
function* safetensorsFiles(): Generator<{ entry: SafetensorsEntry; content: Uint8Array }> {
  const all: TensorInfo[] = [];
  for (const name of DTYPE_NAMES) {
    const dtype = parseDType(name);
    const isKnown = decodeOrRefuse(() => encodeSafetensorsDType(dtype)) !== undefined;
    for (const shape of isKnown ? SHAPES : []) {
      const info = { name: `${name} ${shape}`, dtype, shape };
      if ((elementCount(shape) * dtype.bits) % 8 !== 0) continue;
      all.push(info);
      yield safetensorsFile(`${name}-${shape.join("x")}.safetensors`, [info]);
    }
  }
  yield safetensorsFile("all.safetensors", all, { format: "np", é: '"\\\n\u2028\u{1f600}' });
  yield safetensorsFile("reversed.safetensors", all.toReversed());
  yield safetensorsFile("none.safetensors", [], { a: "" });
  yield safetensorsFile("nothing.safetensors", []);
}

test("NumPy, ml_dtypes and safetensors read what is written", options, (context) => {
  const folder = folderOf(context);
  const manifest: object[] = [];
  for (const { entry, content } of [...npyFiles(), ...safetensorsFiles()]) {
    writeFileSync(join(folder, entry.file), content);
    manifest.push(entry);
  }
  assert.ok(manifest.length > 350, `${manifest.length} files`);
  writeFileSync(join(folder, "manifest.json"), JSON.stringify(manifest));
  const { checks, wrong } = python<{ checks: number; wrong: string[] }>("read", folder);
  assert.deepEqual(wrong, []);
  assert.ok(checks > 1500, `${checks} checks`);
});

/** What the reference says of a header that is accepted here. */
type Reference = { refused?: string } & Record<string, unknown>;

/** Seeded: a failure shows again. */
const SAMPLES = { numRuns: 6000, seed: 20_261 };
const changesOf = fc.array(mutations, { minLength: 1, maxLength: 2 });

/** The descr that NumPy has for the data type of a header, in the byte order of the header. */
function descrOf(dtype: DType, isBig: boolean): string {
  const descr = encodeDescr(dtype);
  return isBig && !descr.startsWith("|") ? `>${descr.slice(1)}` : descr;
}

test("no npy header that NumPy refuses is accepted, and none means another thing", options, (context) => {
  const folder = folderOf(context);
  const file = fc
    .tuple(fc.constantFrom("float32", "bool", "complex128"), fc.constantFrom(...SHAPES), fc.boolean())
    .map(([name, shape, fortranOrder]) => encodeNpyHeader({ dtype: parseDType(name), shape, fortranOrder }));
  const samples = fc.sample(fc.tuple(file, changesOf), SAMPLES);
  const accepted = new Map<string, object>();
  for (const [header, changes] of samples) {
    const text = changes.reduce((bytes, change) => change(bytes), header.subarray(10));
    const changed = joinBytes([header.subarray(0, 10), text.subarray(0, 60_000)]);
    new DataView(changed.buffer).setUint16(8, changed.length - 10, true);
    const result = decodeOrRefuse(() => decodeNpyHeader(changed));
    if (!result || isNeedMore(result)) continue;
    const { shape, fortranOrder, dataOffset, dtype, byteOrder } = result;
    // This one is known: see npy_descr.ts.
    if (dtypeName(dtype) === "float8_e5m2") continue;
    const name = `${accepted.size}.npy`;
    accepted.set(name, { shape, fortranOrder, dataOffset, descr: descrOf(dtype, byteOrder === "big") });
    writeFileSync(join(folder, name), changed);
  }

  assert.ok(accepted.size > 100, `${accepted.size} accepted`);
  const answers = python<Record<string, Reference>>("headers", folder);
  for (const [name, expected] of accepted) {
    const text = readFileSync(join(folder, name), "latin1").trimEnd().slice(0, 200);
    assert.deepEqual(answers[name], expected, JSON.stringify(text));
  }
});

test(
  "no safetensors header that safetensors refuses is accepted, and none means another thing",
  options,
  (context) => {
    const folder = folderOf(context);
    const file = fc
      .tuple(
        fc.uniqueArray(fc.constantFrom("a", "b.c", "é", '"'), { minLength: 1 }),
        fc.constantFrom("F32", "U8", "F4", "BOOL"),
      )
      .map(([names, dtype]) => {
        const tensors = names.map((name, i) => ({
          name,
          dtype: decodeSafetensorsDType(dtype) ?? parseDType("bool"),
          shape: SHAPES[i + 2] ?? [],
        }));
        const fitting = tensors.filter((each) => (elementCount(each.shape) * each.dtype.bits) % 8 === 0);
        return encodeSafetensorsHeader(fitting, new Map([["k", "v"]])).bytes;
      });
    const samples = fc.sample(fc.tuple(file, changesOf), SAMPLES);
    const accepted = new Map<string, object>();
    for (const [header, changes] of samples) {
      const json = changes.reduce((bytes, change) => change(bytes), header.subarray(8));
      const changed = joinBytes([header.subarray(0, 8), json]);
      new DataView(changed.buffer).setBigUint64(0, BigInt(json.length), true);
      const result = decodeOrRefuse(() => decodeSafetensorsHeader(changed));
      if (!result || isNeedMore(result) || result.dataBytes > 1e6) continue;
      const name = `${accepted.size}.safetensors`;
      const tensors = result.tensors.map(({ name: key, dtype, shape, start, end }) => [
        key,
        { dtype: encodeSafetensorsDType(dtype), shape, bytes: end - start },
      ]);
      accepted.set(name, Object.fromEntries(tensors));
      writeFileSync(join(folder, name), joinBytes([changed, new Uint8Array(result.dataBytes)]));
    }

    assert.ok(accepted.size > 100, `${accepted.size} accepted`);
    const answers = python<Record<string, Reference>>("headers", folder);
    for (const [name, expected] of accepted) {
      const text = readFileSync(join(folder, name), "latin1").slice(8, 300);
      assert.deepEqual(answers[name], expected, text);
    }
  },
);
