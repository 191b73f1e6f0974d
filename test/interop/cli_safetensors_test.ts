/**
 * Safetensors files that the Python library has written go through `asoc send` and `asoc recv`, also where `asoc send` is
 * killed in the middle and started again, and it reads what arrives.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdir, stat } from "node:fs/promises";
import { test } from "node:test";
import { Home, ready } from "../cli/support.ts";
import { RUNTIMES } from "../support/process.ts";
import { Relay } from "../support/relay.ts";
import { SKIP_WITHOUT_PYTHON, VENV_PYTHON } from "./python.ts";

const WRITE = `
import sys, numpy as np, ml_dtypes
from safetensors.numpy import save_file
rng = np.random.default_rng(1)
save_file({
    "b.weight": rng.standard_normal((300, 1000)).astype(np.float32),
    "a.bias": rng.standard_normal(1000).astype(np.float16),
    "ids": np.arange(12, dtype=np.int64).reshape(3, 4),
    "scalar": np.array(1.5),
    "half": rng.standard_normal((8, 8)).astype(ml_dtypes.bfloat16),
}, sys.argv[1], metadata={"format": "np"})
`;
const MiB = 1024 * 1024;
/** How much of the large file is on the other side when its sender is killed. */
const HALF_BYTES = 64 * MiB;
const WRITE_LARGE = `
import sys, numpy as np, ml_dtypes
from safetensors.numpy import save_file
rng = np.random.default_rng(2)
def noise(dtype, *shape):
    dtype = np.dtype(dtype)
    return np.frombuffer(rng.bytes(int(np.prod(shape)) * dtype.itemsize), dtype).reshape(shape)
save_file({
    "embed": noise(np.float32, 4096, 3072),
    "layer.0": noise(ml_dtypes.bfloat16, 4096, 4096),
    "layer.1": noise(ml_dtypes.bfloat16, 4096, 4096),
    "quantized": noise(np.uint8, 1024, 8192),
    "ids": noise(np.int64, 1024, 1024),
    "half": noise(np.float16, 1000, 999),
    "mask": np.arange(1000) % 3 == 0,
    "none": np.zeros((0, 7), np.float64),
    "step": np.array(12345, np.uint32),
}, sys.argv[1], metadata={"format": "np"})
`;
const COMPARE = `
import sys, numpy as np, ml_dtypes
from safetensors import safe_open
def read(path):
    with safe_open(path, framework="np") as file:
        return file.metadata(), {name: file.get_tensor(name) for name in file.keys()}
(meta, before), (meta2, after) = read(sys.argv[1]), read(sys.argv[2])
assert meta == meta2 and before.keys() == after.keys(), (meta2, after.keys())
for name, array in before.items():
    assert array.dtype == after[name].dtype and array.shape == after[name].shape, name
    assert array.tobytes() == after[name].tobytes(), name
print("equal")
`;

function python(script: string, ...paths: string[]): string {
  return execFileSync(VENV_PYTHON, ["-B", "-c", script, ...paths], {
    encoding: "utf8",
    timeout: 60_000,
  }).trim();
}

for (const [index, runtime] of RUNTIMES.entries()) {
  const other = RUNTIMES[(index + 1) % RUNTIMES.length] ?? "node";
  test(`Python reads what recv on ${runtime} makes of its file from send on ${other}`, {
    skip: SKIP_WITHOUT_PYTHON,
  }, async () => {
    await using home = await Home.make();
    python(WRITE, home.path("model.safetensors"));
    const recv = home.node(runtime, ["recv", "--json", "--out", "in"]);
    const { address } = await ready(recv);
    const send = home.node(other, ["send", "model.safetensors", "--to", address]);
    assert.equal(await send.exitWithin(), 0, send.stderr);
    assert.equal(await recv.exitWithin(), 0, recv.stderr);
    const arrived = home.path("in", "model.safetensors");
    assert.equal(python(COMPARE, home.path("model.safetensors"), arrived), "equal");
  });

  const third = RUNTIMES[(index + 2) % RUNTIMES.length] ?? "node";
  test(`Python reads what recv on ${runtime} makes of its 137 MB from send on ${other}, killed halfway and started again on ${third}`, {
    skip: SKIP_WITHOUT_PYTHON,
  }, async () => {
    await using home = await Home.make();
    const file = home.path("model.safetensors");
    python(WRITE_LARGE, file);
    const { size } = await stat(file);
    assert.ok(size > 2 * HALF_BYTES, `${size} bytes`);
    const recv = home.node(runtime, ["recv", "--json", "--no-discovery", "--port", "0", "--out", "in"]);
    await using relay = await Relay.start((await ready(recv)).port);
    const send = (on: typeof runtime) =>
      home.node(on, ["send", "model.safetensors", "--json", "--no-discovery", "--to", relay.address]);

    const first = send(other);
    await relay.cutAfter(HALF_BYTES, "still"); // nothing more arrives, and nobody knows: it is killed in mid-tensor
    first.kill("SIGKILL");
    assert.equal(await first.exited, "SIGKILL");
    assert.ok(!first.events.some(({ event }) => event === "sent"));

    const second = send(third);
    assert.equal(await second.exitWithin(60_000), 0, second.stderr);
    assert.equal(await recv.exitWithin(60_000), 0, recv.stderr);
    const sent = second.events.find(({ event }) => event === "sent");
    const rest = Number(sent?.sentBytes);
    assert.ok(
      rest >= size - HALF_BYTES - MiB && rest <= size - HALF_BYTES + MiB,
      `${rest} of ${size} sent again`,
    );
    assert.deepEqual(await readdir(home.path("in")), ["model.safetensors"]);
    assert.equal(python(COMPARE, file, home.path("in", "model.safetensors")), "equal");
  });
}
