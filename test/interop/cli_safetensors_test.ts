/** A safetensors file that the Python library has written goes through `asoc send` and `asoc recv`, and it reads what arrives. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { Home, ready } from "../cli/support.ts";
import { RUNTIMES } from "../support/process.ts";
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

for (const [index, runtime] of RUNTIMES.entries()) {
  const other = RUNTIMES[(index + 1) % RUNTIMES.length] ?? "node";
  test(`Python reads what recv on ${runtime} makes of its file from send on ${other}`, {
    skip: SKIP_WITHOUT_PYTHON,
  }, async () => {
    await using home = await Home.make();
    const python = (script: string, ...paths: string[]) =>
      execFileSync(VENV_PYTHON, ["-B", "-c", script, ...paths], { encoding: "utf8", timeout: 60_000 });
    python(WRITE, home.path("model.safetensors"));
    const recv = home.node(runtime, ["recv", "--json", "--out", "in"]);
    const { address } = await ready(recv);
    const send = home.node(other, ["send", "model.safetensors", "--to", address]);
    assert.equal(await send.exitWithin(), 0, send.stderr);
    assert.equal(await recv.exitWithin(), 0, recv.stderr);
    const arrived = home.path("in", "model.safetensors");
    assert.equal(python(COMPARE, home.path("model.safetensors"), arrived).trim(), "equal");
  });
}
