"""Variables of MATLAB files: v5 (scipy) and v7.3, which is HDF5 (h5py).

MATLAB stores by columns. scipy gives an array as MATLAB shows it; HDF5 gives it transposed, which
is undone here, so that either version of a file gives the same array.
"""

import io
import math
from typing import Any

import h5py
import numpy as np
import scipy.io
from numpy.typing import NDArray

from psp.errors import PspError

HDF5 = b"\x89HDF\r\n\x1a\n"
LARGEST = 178_956_970  # values; as many as Pillow's limit lets a picture have
EXACT = 1 << 31  # above this no number is a label


def read_label(data: bytes, path: str, where: str) -> NDArray[np.int64]:
    """Return the variable `path`, such as "S" or "GTcls.Segmentation", as raw label values (H, W).

    Raises PspError, which starts with `where`: broken file, no such variable, no whole numbers.
    """
    value = np.asarray(_load(data, path, where))
    if value.ndim != 2 or value.size == 0 or value.dtype.kind not in "uifb":
        raise PspError(f"{where}: '{path}' is no matrix of labels.")
    _check_size(value.shape, path, where)
    if value.dtype.kind == "f" and not ((np.abs(value) < EXACT) & (value == np.rint(value))).all():
        raise PspError(f"{where}: '{path}' holds values that are no whole numbers, or huge ones.")
    return value.astype(np.int64)


def read_names(data: bytes, path: str, where: str) -> list[str] | None:
    """Return a cell array of texts; None where the file has no such variable."""
    try:
        if _is_hdf5(data):
            with h5py.File(io.BytesIO(data), "r") as file:
                if path not in file:
                    return None
                _check_size(file[path].shape, path, where)
                cells = np.asarray(file[path]).ravel()
                return ["".join(map(chr, np.asarray(file[cell]).ravel())) for cell in cells]
        _check_header(data, path, where)
        value = scipy.io.loadmat(io.BytesIO(data), variable_names=[path]).get(path)
        if value is None:
            return None
        return ["".join(np.asarray(cell).ravel().astype(str)) for cell in value.ravel()]
    except PspError:
        raise
    except Exception as error:  # both libraries raise a dozen kinds for broken files
        raise _broken(where, error) from None


def _load(data: bytes, path: str, where: str) -> Any:
    first, *fields = path.split(".")
    try:
        if _is_hdf5(data):
            with h5py.File(io.BytesIO(data), "r") as file:
                item: Any = file.get(path.replace(".", "/"))
                if not isinstance(item, h5py.Dataset):
                    raise LookupError
                # A field of a struct array holds references; of a single struct, the values.
                item = file[item[0, 0]] if item.dtype == h5py.ref_dtype else item
                _check_size(item.shape, path, where)
                return np.asarray(item).T
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
            f"{where}: no variable '{path}' in this MATLAB file. Is it of this data set?"
        ) from None
    except PspError:
        raise
    except Exception as error:  # both libraries raise a dozen kinds for broken files
        raise _broken(where, error) from None


def _check_header(data: bytes, name: str, where: str) -> None:
    """Refuse a variable by its header, before memory is taken for all it is said to hold."""
    for found, shape, _ in scipy.io.whosmat(io.BytesIO(data)):
        if found == name:
            _check_size(shape, name, where)


def _check_size(shape: tuple[int, ...], path: str, where: str) -> None:
    if math.prod(map(int, shape)) > LARGEST:
        size = "x".join(map(str, shape))
        raise PspError(f"{where}: '{path}' has {size} values. Is the file broken?")


def _is_hdf5(data: bytes) -> bool:
    return HDF5 in (data[:8], data[512:520])  # MATLAB puts its own header before


def _broken(where: str, error: Exception) -> PspError:
    text = " ".join(str(error).split()) or type(error).__name__
    return PspError(f"{where}: broken MATLAB file: {text}")
