"""Numbers that a device needs for every picture of a shape, kept on the device.

A copy from the host makes the host wait for a GPU, and a picture needs dozens of such little
tables: taps, row numbers, counts. They depend on shapes alone, so the next picture of that shape
finds them there.
"""

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def on_device(values: NDArray[np.generic], device: torch.device) -> Tensor:
    """Return an array as a tensor on a device, which must not be changed."""
    if device.type == "cpu":
        return torch.from_numpy(values)
    return kept_on_device(values.tobytes(), values.dtype.str, values.shape, device)


@lru_cache(4096)
def kept_on_device(data: bytes, dtype: str, shape: tuple[int, ...], device: torch.device) -> Tensor:
    """Return the numbers in these bytes as a tensor on a device: always the same one."""
    values = np.frombuffer(data, dtype).reshape(shape)
    with torch.inference_mode(False):
        return torch.from_numpy(values.copy()).to(device)


def taken(lines: Tensor, index: NDArray[np.int64]) -> Tensor:
    """Return some rows of a tensor, as a view where they follow each other."""
    first, last = int(index[0]), int(index[-1])
    if last - first == len(index) - 1 and bool((np.diff(index) == 1).all()):
        return lines[first : last + 1]
    return lines[on_device(index, lines.device)]
