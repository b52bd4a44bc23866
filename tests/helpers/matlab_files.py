"""Pictures, lists, and MATLAB files of version 5 and 7.3 as MATLAB writes them."""

import io
import string
import struct
import zlib

import h5py
import numpy as np
from helpers.trees import noise
from PIL import Image
from scipy import sparse
from scipy.io import savemat

IGNORE = 255


def jpeg_bytes(rng, height, width):
    buffer = io.BytesIO()
    Image.fromarray(noise(rng, height, width)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def write_list(path, lines, end="\n"):
    write(path, "".join(line + end for line in lines).encode())


def listed(text):
    """Names divided by white space; an underscore stands for a space."""
    return [name.replace("_", " ") for name in text.split()]


def patchwork(rng, height, width, values, block):
    """A label map of square blocks; no value comes twice before all of them came once."""
    rows, columns = -(-height // block), -(-width // block)
    cells = rng.choice(values, rows * columns)
    dealt = rng.permutation(values)[: cells.size]
    cells[: dealt.size] = dealt
    cells = rng.permutation(cells).reshape(rows, columns)
    return cells.repeat(block, 0).repeat(block, 1)[:height, :width]


def cell_column(items):
    """An n x 1 cell array."""
    cells = np.empty((len(items), 1), object)
    for row, item in enumerate(items):
        cells[row, 0] = item
    return cells


def save_mat(path, variables, *, v73=False, compress=True):
    path.parent.mkdir(parents=True, exist_ok=True)
    if v73:
        save_v73(path, variables)
    else:
        savemat(path, variables, do_compression=compress)


def narrow_double(name, array):
    """A v7 element as MATLAB writes a double matrix of small whole numbers: bytes on disk.

    The class is double, the storage is uint8, the name lies inside its tag, all of it is deflated;
    savemat never writes that.
    """

    def element(kind, content):
        return struct.pack("<II", kind, len(content)) + content + bytes(-len(content) % 8)

    label = name.encode()
    assert len(label) <= 4  # what a small element holds
    matrix = element(
        14,  # miMATRIX, made of:
        element(6, struct.pack("<II", 6, 0))  # flags as miUINT32: mxDOUBLE_CLASS
        + element(5, struct.pack("<ii", *array.shape))  # dimensions as miINT32
        + struct.pack("<HH", 1, len(label))
        + label.ljust(4, b"\0")  # name as miINT8
        + element(2, array.astype(np.uint8).tobytes(order="F")),  # values as miUINT8, by columns
    )
    deflated = zlib.compress(matrix)
    return struct.pack("<II", 15, len(deflated)) + deflated  # miCOMPRESSED is not padded


def save_narrow_double(path, name, array, others):
    buffer = io.BytesIO()
    savemat(buffer, others, do_compression=True)
    write(path, buffer.getvalue() + narrow_double(name, array))


V73_TEXT = (
    b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Tue Mar  6 10:21:09 2012 "
    b"HDF5 schema 1.00 ."
)


def save_v73(path, variables):
    """MATLAB's HDF5 form: a text header in the user block, every array transposed."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, value in variables.items():
            put_v73(file, name, value)
    with path.open("r+b") as file:
        file.write(V73_TEXT.ljust(116) + bytes(8) + b"\x00\x02IM")


def put_v73(parent, name, value):
    """Dictionaries are 1 x 1 structs, object arrays are cells, strings are 1 x n char arrays."""
    if isinstance(value, dict):
        kind, node = "struct", parent.create_group(name)
        for field, content in value.items():
            put_v73(node, field, content)
        letters = np.empty(len(value), object)
        for place, field in enumerate(value):
            letters[place] = np.array(list(field), "S1")
        node.attrs.create("MATLAB_fields", letters, dtype=h5py.vlen_dtype(np.dtype("S1")))
    elif sparse.issparse(value):
        kind, node = "logical", parent.create_group(name)
        node.attrs["MATLAB_sparse"] = np.uint64(value.shape[0])
        node["jc"] = value.indptr.astype(np.uint64)
        if value.nnz:
            node["ir"] = value.indices.astype(np.uint64)
            node["data"] = value.data.astype(np.uint8)
    elif isinstance(value, str):
        kind, node = "char", parent.create_dataset(name, data=characters(value))
        node.attrs["MATLAB_int_decode"] = np.int32(2)
    elif value.dtype == object:
        kind, node = "cell", parent.create_dataset(name, data=references(parent.file, value))
    else:
        kind = "double" if value.dtype == np.float64 else value.dtype.name
        node = parent.create_dataset(name, data=value.T, compression="gzip")  # (W, H)
    node.attrs["MATLAB_class"] = np.bytes_(kind)


def characters(text):
    return np.array([[ord(letter)] for letter in text], np.uint16)  # (length, 1)


def references(file, cells):
    """Store the contents of a cell array under #refs#, as MATLAB does."""
    if "#refs#" not in file:
        empty = file.create_dataset("#refs#/a", data=np.zeros(2, np.uint64))
        empty.attrs["MATLAB_class"] = np.bytes_("canonical empty")
        empty.attrs["MATLAB_empty"] = np.uint8(1)
    store = file["#refs#"]
    turned = cells.T
    pointers = np.empty(turned.shape, h5py.ref_dtype)
    for place in np.ndindex(turned.shape):
        key = string.ascii_letters[len(store)]
        put_v73(store, key, turned[place])
        pointers[place] = store[key].ref
    return pointers
