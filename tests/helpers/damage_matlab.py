"""MATLAB files with other variables, matrices and versions."""

import io
import struct
import zlib

import h5py
import numpy as np
from helpers.damage_tools import damage, labels, pick, put, save_labels, values_of
from helpers.matlab_files import save_mat
from helpers.sbd_tree import gt_cls
from scipy import sparse
from scipy.io import savemat


@damage("wrong variable in .mat", "mat")
def mat_variable(tree, rng):
    path = any_mat(tree, rng)
    values = values_of(tree, path)
    first = tree.variable(path).split(".")[0]
    kind = pick(["other", "case", "cell", "struct", "text", "nothing"], rng)
    plain = values.astype(np.uint16)
    variables = {
        "other": {"groundTruth": plain},
        "case": {first.swapcase(): plain},
        "cell": {first: np.array([[plain], [plain]], object)[:, :1]},
        "struct": {first: {"other": plain}},
        "text": {first: "labels"},
        "nothing": {},
    }[kind]
    path.unlink()
    savemat(path, variables, do_compression=True)
    return [path]


def any_mat(tree, rng):
    return pick([label for _, label in labels(tree) if label.suffix == ".mat"], rng)


@damage("odd matrix in .mat", "mat")
def mat_matrix(tree, rng):
    path = any_mat(tree, rng)
    values = values_of(tree, path).astype(np.float64)
    spot = (int(rng.integers(len(values))), int(rng.integers(values.shape[1])))
    kind = pick(
        [
            "half",
            "nan",
            "inf",
            "negative",
            "huge",
            "3-D",
            "1-D",
            "empty",
            "sparse",
            "complex",
            "logical",
            "int8",
            "uint64",
            "single",
            "text",
            "cell",
        ],
        rng,
    )
    odd = {"half": 0.5, "nan": np.nan, "inf": np.inf, "negative": -1, "huge": 1e300}
    if kind in odd:
        values[spot] = odd[kind]
    made = {
        "3-D": lambda: np.stack([values, values], axis=2),
        "1-D": lambda: values.reshape(1, -1),
        "empty": lambda: values[:0],
        "sparse": lambda: sparse.csc_array(values),
        "complex": lambda: values + 0j,
        "logical": lambda: values > 0,
        "int8": lambda: values.astype(np.int16).astype(np.int8),
        "uint64": lambda: values.astype(np.uint64) + np.uint64(1 << 63),
        "single": lambda: values.astype(np.float32),
        "text": lambda: np.array(["ab", "cd"]),
        "cell": lambda: np.array([[values, 1]], object),
    }.get(kind, lambda: values)()
    save_labels(tree, path, made)
    return [path]


@damage(".mat of another version, or none", "mat")
def mat_version(tree, rng):
    path = any_mat(tree, rng)
    values = values_of(tree, path).astype(np.float64)
    first, *field = tree.variable(path).split(".")
    kind = pick(["4", "7.3", "text", "plain", "HDF5", "head"], rng)
    if kind == "4":
        path.unlink()
        savemat(path, {first: values}, format="4")
    elif kind == "7.3":
        path.unlink()
        nested = gt_cls(values.astype(np.uint8)) if field else values.astype(np.uint16)
        save_mat(path, {first: nested}, v73=True)
    elif kind == "text":
        put(path, b"S = [1 2; 3 4];\n" * 20)
    elif kind == "plain":
        path.unlink()
        value = {field[0]: values} if field else values
        savemat(path, {first: value}, do_compression=False)
    elif kind == "HDF5":
        path.unlink()
        with h5py.File(path, "w") as file:
            file["nothing"] = 1
    else:
        put(path, path.read_bytes()[:128])
    return [path]


@damage("huge declared .mat", "mat")
def mat_bomb(tree, rng):
    """Few bytes that say, or deflate to, very many values."""
    path = any_mat(tree, rng)
    first, *field = tree.variable(path).split(".")
    kind = pick(["dimensions", "tag", "deflated", "7.3", "cells", "names", "version 4"], rng)
    side = 20_000
    if kind == "version 4":
        head = struct.pack("<5i", 50, 100_000, 100_000, 0, len(first) + 1)
        put(path, head + first.encode() + b"\0" + bytes(64))
        return [path]
    if kind == "7.3":
        path.unlink()
        with h5py.File(path, "w", userblock_size=512) as file:
            file.create_dataset(
                "/".join([first, *field]), (100_000, 100_000), np.uint8, chunks=(1000, 1000)
            )
        return [path]
    buffer = io.BytesIO()
    savemat(buffer, {}, do_compression=True)
    if kind == "names":
        buffer = io.BytesIO()
        savemat(buffer, {first: np.zeros((2, 2), np.uint8)})
        first = "names"
    content = bytes(side * side) if kind == "deflated" else bytes(64)
    shape = (side, side) if kind == "deflated" else (100_000, 100_000)
    flags = 1 if kind in ("cells", "names") else 9
    numbers = element(2, content) if flags == 9 else b""
    body = (
        element(6, struct.pack("<II", flags, 0))
        + element(5, struct.pack("<ii", *shape))
        + element(1, first.encode())
        + numbers
    )
    length = 0xFFFFFFF0 if kind == "tag" else len(body)
    deflated = zlib.compress(struct.pack("<II", 14, length) + body)
    put(path, buffer.getvalue() + struct.pack("<II", 15, len(deflated)) + deflated)
    return [path]


def element(kind, content):
    return struct.pack("<II", kind, len(content)) + content + bytes(-len(content) % 8)
