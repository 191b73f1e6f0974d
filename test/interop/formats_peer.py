"""Tensor files as NumPy, ml_dtypes and safetensors have them, for formats_test.ts.

write FOLDER    writes files of every data type, and manifest.json that says what is in each
every FOLDER    the same in few files: one .safetensors with every data type, one with NumPy's, a .npy for each
read FOLDER     reads the files that its manifest.json names, and says what is not as it should be
headers FOLDER  reads headers that have been tampered with, and says what each means to the reference

All print one JSON value. Bytes are in hexadecimal, in row-major order and little-endian unless said otherwise.
"""

import io
import itertools
import json
import pathlib
import sys
import warnings

import ml_dtypes
import numpy as np
import safetensors
import safetensors.numpy

NUMPY = "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 complex64 complex128"
ML_DTYPES = (
    "bfloat16 float8_e3m4 float8_e4m3 float8_e4m3b11fnuz float8_e4m3fn float8_e4m3fnuz float8_e5m2"
    " float8_e5m2fnuz float8_e8m0fnu"
)
# What safetensors.serialize() takes; float4 as pairs in a byte.
SAFETENSORS = (
    "bool int8 uint8 int16 uint16 int32 uint32 int64 uint64 float16 float32 float64 complex64 bfloat16"
    " float8_e4m3fn float8_e4m3fnuz float8_e5m2 float8_e5m2fnuz float8_e8m0fnu float4_e2m1fn"
)
SHAPES = [(), (0,), (3,), (3, 4), (2, 0, 5), (2, 3, 4)]


def dtype_of(name):
    return np.dtype(getattr(ml_dtypes, name)) if name in ML_DTYPES.split() else np.dtype(name)


def pattern(count, name):
    data = bytes((i * 37 + 11) & (1 if name == "bool" else 255) for i in range(count))
    return np.frombuffer(data, np.uint8)


def array(name, shape, order="C"):
    dtype = dtype_of(name)
    count = int(np.prod(shape, dtype=int))
    return np.array(pattern(count * dtype.itemsize, name).view(dtype).reshape(shape), order=order)


def write_npy(folder):
    manifest = []

    def save(a, name, **facts):
        file = f"{len(manifest)}.npy"
        np.save(folder / file, a)
        little = a.astype(a.dtype.newbyteorder("<")) if facts.get("bigEndian") else a
        fortran = a.flags.f_contiguous and not a.flags.c_contiguous
        manifest.append(
            {"file": file, "dtype": name, "shape": a.shape, "fortranOrder": fortran, "bytes": little.tobytes("C").hex(), **facts}
        )

    for name in (NUMPY + " " + ML_DTYPES).split():
        for shape, order in itertools.product(SHAPES, "CF"):
            save(array(name, shape, order), name)
    for name in NUMPY.split():
        if dtype_of(name).itemsize > 1:
            for order in "CF":
                a = array(name, (3, 4), order)
                save(a.astype(a.dtype.newbyteorder(">"), order=order), name, bigEndian=True)
        if name != "bool":
            save(np.arange(12).astype(dtype_of(name)), name, counts=True)
    return manifest


def write_every_npy(folder):
    manifest = []
    for name in (NUMPY + " " + ML_DTYPES).split():
        a = array(name, (3, 4))
        np.save(folder / f"{name}.npy", a)
        manifest.append({"file": f"{name}.npy", "dtype": name, "shape": a.shape, "fortranOrder": False, "bytes": a.tobytes().hex()})
    return manifest


def write_safetensors(folder, every=False):
    manifest = []

    def save(file, tensors, metadata):
        file = file or f"{len(manifest)}.safetensors"
        specs, listed = {}, []
        for key, name, shape in tensors:
            is_f4 = name == "float4_e2m1fn"
            itemsize = 1 if is_f4 else dtype_of(name).itemsize
            data = pattern(int(np.prod(shape, dtype=int)) * itemsize, name)
            specs[key] = safetensors.TensorSpec(
                dtype=name + "_x2" if is_f4 else name, shape=shape, data_ptr=data.ctypes.data, data_len=len(data)
            )
            keep.append(data)
            listed.append({"name": key, "dtype": name, "shape": specs[key].shape, "bytes": data.tobytes().hex()})
        (folder / file).write_bytes(safetensors.serialize(specs, metadata))
        manifest.append({"file": file, "tensors": listed, "metadata": metadata or {}})

    keep = []
    names = SAFETENSORS.split()
    if every:
        shapes = [(3, 4), (0,), ()]
        tensors = [(f"{name}.{len(s)}", name, s) for name in names for s in shapes if s != () or name != "float4_e2m1fn"]
        save("every.safetensors", tensors, {"format": "np"})
        save("numpy.safetensors", [(name, name, (3, 4)) for name in names if name in NUMPY.split()], None)
        return manifest
    for name, shape in itertools.product(names, SHAPES):
        if shape != () or name != "float4_e2m1fn":
            save(None, [("x", name, shape)], None)
    save(None, [(f"layer.{i}.{name}", name, (3, i)) for i in range(4) for name in names], {"format": "np"})
    save(None, [('"quoted\\"\n\t\x01\x7f/', "uint8", (1,)), ("über \U0001f600\u2028", "float64", (2,))], {"é": "\0"})
    save(None, [("", "int8", (1,)), ("__proto__", "int16", ())], {"": ""})
    save(None, [], None)
    return manifest


def read(folder):
    wrong, count = [], 0

    def same(entry, what, expected, got):
        nonlocal count
        count += 1
        if expected != got:
            wrong.append(f"{entry['file']} ({entry.get('dtype', '')}): {what} is {got}, expected {expected}")

    for entry in json.loads((folder / "manifest.json").read_text()):
        path = folder / entry["file"]
        if path.suffix == ".npy":
            a = np.load(path, allow_pickle=False)
            if entry["dtype"] in ML_DTYPES.split():
                same(entry, "kind", "V", a.dtype.kind)
                a = a.view(dtype_of(entry["dtype"]))
            same(entry, "dtype", entry["dtype"], a.dtype.name)
            same(entry, "shape", entry["shape"], list(a.shape))
            same(entry, "Fortran order", entry["fortranOrder"], a.flags.f_contiguous and not a.flags.c_contiguous)
            same(entry, "content", entry["bytes"], a.tobytes("C").hex())
            # What NumPy itself writes for the array that it has read.
            again = io.BytesIO()
            np.save(again, a.astype(a.dtype, order="K", copy=True) if entry["fortranOrder"] else a)
            if entry["dtype"] != "float8_e5m2":
                same(entry, "file", path.read_bytes().hex(), again.getvalue().hex())
        else:
            tensors = [
                {"name": name, "dtype": t["dtype"], "shape": t["shape"], "bytes": bytes(t["data"]).hex()}
                for name, t in safetensors.deserialize(path.read_bytes())
            ]
            by_name = lambda t: t["name"]
            same(entry, "tensors", sorted(entry["tensors"], key=by_name), sorted(tensors, key=by_name))
            with safetensors.safe_open(path, "np") as opened:
                same(entry, "metadata", entry["metadata"], opened.metadata() or {})
            if all(t["dtype"] in safetensors.numpy._TYPES for t in tensors):
                for name, a in safetensors.numpy.load_file(path).items():
                    expected = next(t for t in entry["tensors"] if t["name"] == name)
                    same(entry, f"array {name}", expected["bytes"], a.tobytes().hex())
    return {"checks": count, "wrong": wrong}


def header(path):
    content = path.read_bytes()
    try:
        if path.suffix == ".npy":
            file = io.BytesIO(content)
            version = np.lib.format.read_magic(file)
            reader = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that it comes from Python 2
                shape, fortran, dtype = reader(file, max_header_size=1 << 20)
            return {"shape": shape, "fortranOrder": fortran, "descr": dtype.str, "dataOffset": file.tell()}
        tensors = safetensors.deserialize(content)
        return {name: {"dtype": t["dtype"], "shape": t["shape"], "bytes": len(t["data"])} for name, t in tensors}
    except Exception as error:
        return {"refused": repr(error)[:200]}


def main():
    folder = pathlib.Path(sys.argv[2])
    if sys.argv[1] == "write":
        manifest = {"npy": write_npy(folder), "safetensors": write_safetensors(folder)}
        (folder / "manifest.json").write_text(json.dumps(manifest))
        answer = {kind: len(files) for kind, files in manifest.items()}
    elif sys.argv[1] == "every":
        answer = {"npy": write_every_npy(folder), "safetensors": write_safetensors(folder, every=True)}
    elif sys.argv[1] == "read":
        answer = read(folder)
    else:
        answer = {path.name: header(path) for path in sorted(folder.iterdir())}
    json.dump(answer, sys.stdout)


main()
