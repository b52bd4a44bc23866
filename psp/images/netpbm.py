"""Netpbm's PGM, PBM, PPM and PAM as the numbers in the file.

Decoders scale values to 0..255 and mix up the colors of PAM. Source: netpbm's pages on the formats.
"""

import re

import numpy as np
from numpy.typing import NDArray

_TOKEN = re.compile(rb"(?:\s|#[^\r\n]*[\r\n])*([^\s#]+)")
_PLAIN, _PACKED = (b"P1", b"P2", b"P3"), (b"P4", b"P5", b"P6")
MAX_SIDE = 1 << 20


def is_pam(data: bytes) -> bool:
    """Whether a file's first bytes are a PAM's."""
    return data.startswith((b"P7\n", b"P7\r"))


def maximum(data: bytes) -> int:
    """Return the value of white in any of the formats; 255 for a PBM, which has no other colors.

    Raises ValueError for a broken header.
    """
    if is_pam(data):
        return read_pam(data)[1]
    if data[:2] in (b"P1", b"P4"):
        return 255
    return _numbers(data, 3)[0][2]


def read_pgm(data: bytes) -> NDArray[np.uint16]:
    """Return a PGM's values as they stand in the file, (H, W), up to 65535.

    Raises ValueError for another format, for values above its maximum and for a truncated file.
    """
    kind = data[:2]
    if kind in (b"P1", b"P4"):
        raise ValueError("a PBM: whether its black or its white is 1 is not said")
    if kind not in (b"P2", b"P5"):
        raise ValueError("it is not a PGM")
    (width, height, top), at = _numbers(data, 3)
    if kind == b"P2":
        lines = (line.partition(b"#")[0] for line in data[at:].splitlines())
        values = np.array(b" ".join(lines).split()[: width * height]).astype(np.int64)
    else:
        values = _packed(data, at + 1, width * height, top).astype(np.int64)
    if len(values) < width * height:
        raise ValueError("the file ends early")
    if values.max(initial=0) > min(top, 65535) or values.min(initial=0) < 0:
        raise ValueError(f"it has values above its maximum, {top}")
    return values.reshape(height, width).astype(np.uint16)


def read_pam(data: bytes) -> tuple[NDArray[np.uint16], int]:
    """Return a PAM's values (H, W, depth), and white, its maximum. Raises ValueError."""
    end = data.find(b"ENDHDR\n")
    if end < 0 or end > 4096:
        raise ValueError("its header has no end")
    lines = [line.split() for line in data[3:end].splitlines() if line.strip()]
    header = {line[0]: line[1] for line in lines if len(line) > 1 and line[0] != b"#"}
    try:
        names = (b"HEIGHT", b"WIDTH", b"DEPTH", b"MAXVAL")
        height, width, depth, top = (int(header[name]) for name in names)
    except (KeyError, ValueError):
        raise ValueError("its header is damaged") from None
    if not (
        0 < height < MAX_SIDE and 0 < width < MAX_SIDE and 0 < depth < 99 and 0 < top < 1 << 16
    ):
        raise ValueError("its header is damaged")
    values = _packed(data, end + len(b"ENDHDR\n"), height * width * depth, top)
    return values.reshape(height, width, depth).astype(np.uint16), top


def _packed(data: bytes, at: int, count: int, top: int) -> NDArray[np.uint16]:
    """Return `count` values of one byte, or of two where the maximum needs them."""
    kind = np.dtype("u1" if top < 256 else ">u2")
    if len(data) < at + count * kind.itemsize:
        raise ValueError("the file ends early")
    return np.frombuffer(data, kind, count, at).astype(np.uint16)


def _numbers(data: bytes, count: int) -> tuple[list[int], int]:
    """Return the numbers of a header, which may have comments, and where they end."""
    numbers, at = [], 2
    for _ in range(count):
        found = _TOKEN.match(data, at)
        if found is None or not found[1].isdigit() or len(found[1]) > 9:
            raise ValueError("its header is damaged")
        numbers.append(int(found[1]))
        at = found.end()
    return numbers, at
