"""Read variables of MATLAB files: v5 (with scipy) and v7.3, which is HDF5 (with h5py).

MATLAB stores arrays by columns. scipy returns an array as MATLAB shows it; h5py returns it
transposed, which is undone here, so that both versions of a file give the same array.
"""

import io
import math
from typing import Any

import h5py
import numpy as np
import scipy.io
from numpy.typing import NDArray

from psp.data.shard_header import check_own, own_dataset
from psp.errors import PspError
from psp.headers import DamagedError

HDF5 = b"\x89HDF\r\n\x1a\n"
LARGEST = 178_956_970  # values in a variable: as many as Pillow's limit for a picture's pixels
MOST_PACKED = 1100  # bytes that one byte of a compressed file can become
EXACT = 1 << 31  # labels are smaller than this


def read_label(data: bytes, path: str, where: str) -> NDArray[np.int64]:
    """Return the variable `path`, such as "S" or "GTcls.Segmentation", as raw label values (H, W).

    Raises PspError, which starts with `where`, if the file is broken, has no such variable, or the
    variable has other values than integers.
    """
    value = np.asarray(_load(data, path, where))
    if value.ndim != 2 or value.size == 0 or value.dtype.kind not in "uifb":
        raise PspError(f"{where}: '{path}' is not a matrix of labels. Take the official file")
    _check_size(value.shape, path, where)
    if value.dtype.kind == "f" and not ((np.abs(value) < EXACT) & (value == np.rint(value))).all():
        raise PspError(
            f"{where}: '{path}' has values that are not integers, or too large for labels. Take "
            "the official file"
        )
    return value.astype(np.int64)


def read_names(data: bytes, path: str, where: str) -> list[str] | None:
    """Return a cell array of strings; None if the file has no such variable."""
    try:
        if _is_hdf5(data):
            with h5py.File(io.BytesIO(data), "r") as file:
                if file.get(path, getlink=True) is None:
                    return None
                cells = _values(own_dataset(file, path), len(data), path, where).ravel()
                return [
                    "".join(map(chr, _values(file[cell], len(data), path, where).ravel()))
                    for cell in cells
                ]
        _check_header(data, path, where)
        value = scipy.io.loadmat(io.BytesIO(data), variable_names=[path]).get(path)
        if value is None:
            return None
        return ["".join(np.asarray(cell).ravel().astype(str)) for cell in value.ravel()]
    except DamagedError as error:
        raise _broken(where, error) from None
    except PspError:
        raise
    except Exception as error:  # for broken files both libraries raise many types
        raise _broken(where, error) from None


def _load(data: bytes, path: str, where: str) -> Any:
    first, *fields = path.split(".")
    try:
        if _is_hdf5(data):
            with h5py.File(io.BytesIO(data), "r") as file:
                item: Any = own_dataset(file, path.replace(".", "/"))
                # A field of a struct array has references, a field of a single struct the values.
                if item.dtype == h5py.ref_dtype:
                    item = file[_values(item, len(data), path, where)[0, 0]]
                return _values(item, len(data), path, where).T
        _check_header(data, first, where)
        item = scipy.io.loadmat(io.BytesIO(data), variable_names=[first])[first]
        for field in fields:
            item = item[field]
            while item.dtype == object and item.size == 1:
                item = item.item()
        return item
    except (LookupError, ValueError) as error:
        if isinstance(error, ValueError) and "no field" not in str(error):
            raise _broken(where, error) from None
        raise PspError(
            f"{where}: no variable '{path}' in this MATLAB file. Is it from this data set?"
        ) from None
    except DamagedError as error:
        raise _broken(where, error) from None
    except PspError:
        raise
    except Exception as error:  # for broken files both libraries raise many types
        raise _broken(where, error) from None


def _values(item: Any, size: int, path: str, where: str) -> NDArray[Any]:
    """Return a dataset's values: those in a file of `size` bytes, and no more than fit into it."""
    if not isinstance(item, h5py.Dataset):
        raise LookupError
    check_own(item)
    _check_size(item.shape, path, where)
    if item.size * item.dtype.itemsize > size * MOST_PACKED:
        raise PspError(f"{where}: '{path}' is larger than the file. Copy it again")
    return np.asarray(item)


def _check_header(data: bytes, name: str, where: str) -> None:
    """Raise PspError if the header says that a variable is too large, before it is loaded."""
    for variable, shape, _ in scipy.io.whosmat(io.BytesIO(data)):
        if variable == name:
            _check_size(shape, name, where)


def _check_size(shape: tuple[int, ...], path: str, where: str) -> None:
    if math.prod(map(int, shape)) > LARGEST:
        size = "x".join(map(str, shape))
        raise PspError(f"{where}: '{path}' has {size} values. Is the file broken? Copy it again")


def _is_hdf5(data: bytes) -> bool:
    return HDF5 in (data[:8], data[512:520])  # MATLAB writes its own header before it


def _broken(where: str, error: Exception) -> PspError:
    text = " ".join(str(error).split()) or type(error).__name__
    return PspError(f"{where}: broken MATLAB file: {text}")
