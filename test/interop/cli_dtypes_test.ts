/**
 * Every data type through real processes: NumPy, ml_dtypes and safetensors write files (formats_peer.py), `asoc send` and
 * `asoc recv` take them from one runtime to another, and the same libraries read what arrives, in the format in which it was
 * sent and in the other one.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { parseDType } from "../../src/core/tensor/dtype.ts";
import { encodeSafetensorsDType } from "../../src/core/tensor/safetensors_dtype.ts";
import { Home, ready } from "../cli/support.ts";
import { RUNTIMES, type RuntimeName } from "../support/process.ts";
import { SKIP_WITHOUT_PYTHON, VENV_PYTHON } from "./python.ts";

const PEER = join(import.meta.dirname, "formats_peer.py");
/** One file for each of NumPy's and ml_dtypes' data types, one with all of those of safetensors. */
const NPY_FILES = 23;
const TENSORS = 59;
/** Types of NumPy that safetensors has, too. */
const NUMPYS = 13;

interface Tensor {
  readonly dtype: string;
  readonly shape: number[];
  readonly bytes: string;
}
interface NpyEntry extends Tensor {
  readonly file: string;
  readonly fortranOrder: boolean;
}
interface SafetensorsEntry {
  readonly file: string;
  readonly tensors: readonly (Tensor & { readonly name: string })[];
  readonly metadata: Record<string, string>;
}
interface Written {
  readonly npy: readonly NpyEntry[];
  readonly safetensors: readonly SafetensorsEntry[];
}

function python(command: string, folder: string): unknown {
  const output = execFileSync(VENV_PYTHON, ["-B", PEER, command, folder], {
    encoding: "utf8",
    timeout: 60_000,
  });
  return JSON.parse(output);
}

/** NumPy itself has it; the types of ml_dtypes are bytes without a name in a .npy file. */
const isNumPys = ({ dtype }: Tensor): boolean => !/^(bfloat|float[48]_)/.test(dtype);

/** It as safetensors calls it, or undefined for what safetensors has no name for. */
function inSafetensors(dtype: string): string | undefined {
  try {
    return encodeSafetensorsDType(parseDType(dtype));
  } catch {
    return undefined;
  }
}

/** Sends files; who is dialled turns with the runtimes. Nothing may be left over. */
async function transfer(
  home: Home,
  [from, to]: readonly [RuntimeName, RuntimeName],
  files: readonly string[],
  flags: readonly string[],
  receiverDials: boolean,
  count = files.length,
): Promise<void> {
  const take = (...more: string[]) =>
    home.node(to, ["recv", "--json", "--name", "there", "--count", `${count}`, ...flags, ...more]);
  if (receiverDials) {
    const send = home.node(from, [
      "send",
      ...files,
      "--json",
      "--no-discovery",
      "--port",
      "0",
      "--to",
      "there",
      "--timeout",
      "60",
    ]);
    const recv = take("--peers", (await ready(send)).address);
    assert.equal(await send.exitWithin(60_000), 0, send.stderr);
    assert.equal(await recv.exitWithin(60_000), 0, recv.stderr);
    return;
  }
  const recv = take("--no-discovery", "--port", "0");
  const { address } = await ready(recv);
  const send = home.node(from, ["send", ...files, "--to", address]);
  assert.equal(await send.exitWithin(60_000), 0, send.stderr);
  assert.equal(await recv.exitWithin(60_000), 0, recv.stderr);
}

for (const [index, from] of RUNTIMES.entries()) {
  const to = RUNTIMES[(index + 1) % RUNTIMES.length] ?? "node";
  const pair = [from, to] as const;

  test(`${from} sends, ${to} receives: every data type of NumPy, ml_dtypes and safetensors is read again by them`, {
    skip: SKIP_WITHOUT_PYTHON,
  }, async () => {
    await using home = await Home.make();
    const { npy, safetensors } = python("every", home.dir) as Written;
    const [all, numpys] = safetensors;
    assert.ok(all && numpys);
    assert.deepEqual([npy.length, all.tensors.length, numpys.tensors.length], [NPY_FILES, TENSORS, NUMPYS]);
    const read = async (folder: string, entries: readonly object[]): Promise<void> => {
      await writeFile(home.path(folder, "manifest.json"), JSON.stringify(entries));
      const { checks, wrong } = python("read", home.path(folder)) as { checks: number; wrong: string[] };
      assert.deepEqual(wrong, []);
      assert.ok(checks > entries.length, `${checks} checks`);
    };

    // As it was sent. What NumPy has no name for arrives as the bytes without a name that np.save() made of it, or, where
    // np.load() would not read the name, as safetensors.
    const e5m2 = "float8_e5m2";
    await transfer(
      home,
      pair,
      [all.file, ...npy.map(({ file }) => file)],
      ["--out", "same"],
      index % 2 === 1,
    );
    await read("same", [
      asSafetensors(all),
      ...npy.map((entry) => {
        if (entry.dtype === e5m2) return asSafetensors(single(entry, `${e5m2}.safetensors`));
        return isNumPys(entry) ? entry : { ...entry, dtype: `void${parseDType(entry.dtype).bits}` };
      }),
    ]);

    // In the other format.
    const named = npy.filter((entry) => isNumPys(entry) && inSafetensors(entry.dtype) !== undefined);
    const turned = ["--out", "turned", "--format", "safetensors"];
    await transfer(
      home,
      pair,
      named.map(({ file }) => file),
      turned,
      index % 2 === 0,
    );
    await read(
      "turned",
      named.map((entry) => asSafetensors(single(entry, entry.file.replace(".npy", ".safetensors")))),
    );
    const apart = ["--out", "apart", "--format", "npy"];
    await transfer(home, pair, [numpys.file], apart, index % 2 === 0, NUMPYS);
    await read(
      "apart",
      numpys.tensors.map(({ name, ...tensor }) => ({
        ...tensor,
        file: `numpy.${name}.npy`,
        fortranOrder: false,
      })),
    );
  });
}

/** What `read` is to find: it calls data types as safetensors does. */
function asSafetensors(entry: SafetensorsEntry): SafetensorsEntry {
  return {
    ...entry,
    tensors: entry.tensors.map((each) => ({ ...each, dtype: inSafetensors(each.dtype) ?? each.dtype })),
  };
}

/** A file with this tensor alone, under the name of the file that it was in. */
function single({ dtype, shape, bytes, file }: NpyEntry, name: string): SafetensorsEntry {
  return { file: name, metadata: {}, tensors: [{ name: file.replace(/\.npy$/, ""), dtype, shape, bytes }] };
}
