"""NumPy and safetensors as clients of two gateways, for numpy_test.ts: `numpy_client.py NEAR_URL FAR_URL`.

What is posted to the near gateway goes to the far node; what its gateway then gives out must be the same. Prints one JSON
value: how many comparisons there were, and those that went wrong.
"""

import io
import itertools
import json
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

import ml_dtypes
import numpy as np
import safetensors
import safetensors.numpy

NEAR, FAR = sys.argv[1:3]
NUMPY = "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 complex64 complex128".split()
# In npy files these are bytes without a name. np.load() refuses what np.save() makes of float8_e5m2.
ML_DTYPES = (
    "bfloat16 float8_e3m4 float8_e4m3 float8_e4m3b11fnuz float8_e4m3fn float8_e4m3fnuz float8_e5m2fnuz float8_e8m0fnu"
).split()
SAFETENSORS = (
    "bool int8 uint8 int16 uint16 int32 uint32 int64 uint64 float16 float32 float64 complex64 bfloat16"
    " float8_e4m3fn float8_e4m3fnuz float8_e5m2 float8_e5m2fnuz float8_e8m0fnu float4_e2m1fn"
).split()
SHAPES = [(), (0,), (7,), (3, 4, 5), (2, 0, 5)]
SLICES = ["0:2", "-1", ":,1", "...,::2", "1,2,3", "-2:,1:3,::3", "5:", ":,:,-3:-1", "::2,...,0", "...", "2:1"]
LARGE = (2048, 600)

wrong, count = [], 0


def same(what, expected, got):
    global count
    count += 1
    if expected != got:
        wrong.append(f"{what}: got {str(got)[:200]}, expected {str(expected)[:200]}")


def same_array(what, expected, got):
    same(f"{what}, dtype", expected.dtype, got.dtype)
    same(f"{what}, shape", expected.shape, got.shape)
    same(f"{what}, content", expected.tobytes(), got.tobytes())


def request(url, body=None, **headers):
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    with urllib.request.urlopen(urllib.request.Request(url, body, names), timeout=30) as response:
        return response.read()


def post(topic, body, **headers):
    answer = json.loads(request(f"{NEAR}/v1/topics/{urllib.parse.quote(topic, safe='')}", body, **headers))
    same(f"{topic}, sent", [True] * len(answer["results"]), [one["ok"] for one in answer["results"]])


def latest(topic, suffix, query=""):
    """The acknowledgement may be here before the far gateway has kept the tensor."""
    url = f"{FAR}/v1/topics/{urllib.parse.quote(topic, safe='')}/latest{suffix}{query}"
    until = time.monotonic() + 10
    while True:
        try:
            return request(url)
        except urllib.error.HTTPError as error:
            if error.code not in (404, 409) or time.monotonic() > until:
                raise RuntimeError(f"{url}: {error.code} {error.read()[:300]}") from None


def load(topic, query=""):
    return np.load(io.BytesIO(latest(topic, ".npy", query)))


def dtype_of(name):
    return np.dtype(getattr(ml_dtypes, name)) if hasattr(ml_dtypes, name) else np.dtype(name)


def array(name, shape):
    dtype = dtype_of(name)
    size = int(np.prod(shape, dtype=int)) * dtype.itemsize
    data = bytes((i * 37 + 11) & (1 if name == "bool" else 255) for i in range(size))
    return np.frombuffer(data, np.uint8).view(dtype).reshape(shape)


def npy(a):
    file = io.BytesIO()
    np.save(file, a)
    return file.getvalue()


def index(text):
    return eval(f"np.index_exp[{text}]")  # our own constants


def by_npy():
    for name, shape in itertools.product(NUMPY + ML_DTYPES, SHAPES):
        topic, a = f"npy/{name}/{len(shape)}", array(name, shape)
        body = npy(a)
        post(topic, body)
        got = load(topic)
        if name in ML_DTYPES:
            same(f"{topic}, kind", "V", got.dtype.kind)
            got = got.view(a.dtype)
        else:
            same(f"{topic}, the file itself", body, latest(topic, ".npy"))
        same_array(topic, a, got)
        same(f"{topic}, raw", a.tobytes(), latest(topic, ".bin"))


def big_endian():
    for name in NUMPY:
        if dtype_of(name).itemsize > 1:
            a = array(name, (3, 4, 5))
            post(f"big/{name}", npy(a.astype(a.dtype.newbyteorder(">"))))
            same_array(f"big/{name}", a, load(f"big/{name}"))


def by_safetensors():
    keep, specs, expected = [], {}, {}
    for name, shape in itertools.product(SAFETENSORS, SHAPES):
        is_pair = name == "float4_e2m1fn"
        if is_pair and shape == ():
            continue
        raw = array("uint8" if is_pair else name, shape)
        data = np.frombuffer(raw.tobytes(), np.uint8)
        keep.append(data)
        spec = safetensors.TensorSpec(
            dtype=name + "_x2" if is_pair else name, shape=shape, data_ptr=data.ctypes.data, data_len=len(data)
        )
        key = f"{name}.{len(shape)}.{0 in shape}"
        specs[key] = spec
        expected[key] = {"dtype": name, "shape": list(spec.shape), "bytes": raw.tobytes(), "array": raw}
    body = safetensors.serialize(specs, {"format": "np"})
    sent = dict(safetensors.deserialize(body))
    post("st", body)
    for key, entry in expected.items():
        topic = f"st/{key}"
        [(name, got)] = safetensors.deserialize(latest(topic, ".safetensors"))
        same(f"{topic}, name", topic, name)
        for member in ("dtype", "shape"):
            same(f"{topic}, {member}", sent[key][member], got[member])
        same(f"{topic}, content", entry["bytes"], bytes(got["data"]))
        if entry["dtype"] == "float4_e2m1fn":
            continue
        a = load(topic)
        same(f"{topic} as npy", entry["bytes"], a.tobytes())
        same(f"{topic} as npy, shape", entry["shape"], list(a.shape))
        if entry["dtype"] in NUMPY:
            same_array(f"{topic} as npy", entry["array"], a)
            same_array(f"{topic} as an array", a, safetensors.numpy.load(latest(topic, ".safetensors"))[topic])


def by_headers():
    for name in NUMPY + ML_DTYPES + ["float8_e5m2"]:
        a = array(name, (3, 4))
        post(f"raw/{name}", a.tobytes(), Asoc_Dtype=name, Asoc_Shape="3,4", Content_Type="application/octet-stream")
        got = load(f"raw/{name}")
        same_array(f"raw/{name}", a, got if name in NUMPY else got.view(a.dtype))


def slices():
    for name in NUMPY + ML_DTYPES:
        a = array(name, (3, 4, 5))
        post(f"cut/{name}", npy(a))
        for text in SLICES:
            got = load(f"cut/{name}", f"?slice={urllib.parse.quote(text)}")
            same_array(f"cut/{name}[{text}]", np.asarray(a[index(text)]), got.view(a.dtype))
    large = array("float32", LARGE)
    post("cut/large", npy(large))
    same_array("cut/large", large, load("cut/large"))
    for text in ["::3,1:-1:2", "100:1900", ":,7", "-1,::5", "1000"]:
        got = load("cut/large", f"?slice={urllib.parse.quote(text)}")
        same_array(f"cut/large[{text}]", large[index(text)], got)


def as_json():
    for name in ["bool", "int8", "uint16", "int32", "float16", "float32", "float64"]:
        a = np.arange(6).reshape(2, 3).astype(name) / (1 if name[0] in "bui" else 4)
        a = a.astype(name)
        post(f"json/{name}", npy(a))
        got = json.loads(latest(f"json/{name}", ".json"))
        same(f"json/{name}, data", a.tolist(), got["data"])
        body = json.dumps({"dtype": name, "shape": a.shape, "data": a.tolist()}).encode()
        post(f"back/{name}", body, Content_Type="application/json")
        same_array(f"back/{name}", a, load(f"back/{name}"))


def events(glob):
    """The events of a gateway's topics as they come, from its greeting on."""
    url = f"{FAR}/v1/topics/{urllib.parse.quote(glob, safe='')}/events?stats=1"
    response = urllib.request.urlopen(url, timeout=30)
    name = None
    for line in response:
        text = line.decode().rstrip("\n")
        if text.startswith("event: "):
            name = text[7:]
        elif text.startswith("data: "):
            yield name, json.loads(text[6:])


def close(what, expected, got):
    # Sums in another order differ in their last bits.
    same(f"{what}: {got} for {expected}", True, abs(got - expected) <= 1e-12 * max(1.0, abs(expected)))


def statistics_of(what, a, stats):
    x = a.astype(np.float64).ravel()
    n = x.size
    step = -(-n // 65536)
    k = np.arange(n // step)
    x = x[k * step + (k * 40503) % step]
    finite = x[np.isfinite(x)]
    same(f"{what}, count", n, stats["count"])
    same(f"{what}, sampled", x.size, stats["sampled"])
    same(f"{what}, nan", int(np.isnan(x).sum()), stats["nan"])
    same(f"{what}, inf", int(np.isinf(x).sum()), stats["inf"])
    same(f"{what}, zeros", int((finite == 0).sum()), stats["zeros"])
    same(f"{what}, min", finite.min(), stats["min"])
    same(f"{what}, max", finite.max(), stats["max"])
    same(f"{what}, maxAbs", np.abs(finite).max(), stats["maxAbs"])
    close(f"{what}, mean", finite.mean(), stats["mean"])
    close(f"{what}, std", finite.std(), stats["std"])
    close(f"{what}, l1", np.abs(finite).sum(), stats["l1"])
    close(f"{what}, l2", np.sqrt((finite**2).sum()), stats["l2"])
    low, high = finite.min(), finite.max()
    width = (high - low) / 32
    bins = np.minimum(31, np.floor((finite - low) / width)).astype(int) if width > 0 else np.zeros(finite.size, int)
    same(f"{what}, histogram", np.bincount(bins, minlength=32).tolist(), stats["histogram"]["counts"])
    same(f"{what}, its ends", [low, high], [stats["histogram"]["from"], stats["histogram"]["to"]])


def statistics():
    random = np.random.default_rng(5)
    strange = random.normal(size=1000).astype(np.float32)
    strange[[3, 30, 300]] = [np.nan, np.inf, -np.inf]
    arrays = {
        "normal": random.normal(3, 2, (50, 40)).astype(np.float32),
        "strange": strange,
        "half": random.normal(size=999).astype(np.float16),
        "double": random.normal(0, 1e100, 4321),
        "bytes": random.integers(0, 255, 10_000).astype(np.uint8),
        "signed": random.integers(-1000, 1000, (7, 11, 13)).astype(np.int32),
        "same": np.full(100, 2.5),
        "large": random.normal(size=(700, 300)).astype(np.float32),
    }
    told = events("stats/*")
    same("greeting", "hello", next(told)[0])
    for name, a in arrays.items():
        for _ in range(1000):
            post(f"stats/{name}", npy(a))
            kind, event = next(told)
            if "stats" in event:
                break  # else it was not its turn: at most a tenth of the time goes into statistics
        same(f"{name}, event", "tensor", kind)
        statistics_of(name, a, event["stats"])


def main():
    # As the README has it.
    post("digits", npy(np.arange(10.0)))
    topics = f"{FAR}/v1/topics"
    latest("digits", ".npy")
    a = np.load(io.BytesIO(urllib.request.urlopen(f"{topics}/digits/latest.npy").read()))
    same("two lines", list(range(10)), a.tolist())
    for part in (by_npy, big_endian, by_safetensors, by_headers, slices, as_json, statistics):
        part()
    json.dump({"event": "done", "checks": count, "wrong": wrong[:20]}, sys.stdout)
    print()


main()
