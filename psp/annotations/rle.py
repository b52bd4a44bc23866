"""Run lengths: four ways to write a mask, each read into a region that decodes only its own part.

COCO counts down the columns of the whole picture, as a list or packed into a text. CVAT counts
along the rows of a box. Label Studio packs RGBA values into bits; Darwin writes value and run.
Every sum is checked against the picture's size before a mask is made.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from psp.annotations.numbers import short, size

Counts = NDArray[np.int64]  # run lengths: not drawn, drawn, not drawn, …
_NOTHING = (0, 0, np.zeros((0, 0), bool))


@dataclass(frozen=True, slots=True, eq=False)
class ColumnRuns:
    """COCO's mask: runs down the columns of a picture of this size; packed ones are a text."""

    height: int
    width: int
    counts: Counts | str

    def cover(self, height: int, width: int) -> tuple[int, int, NDArray[np.bool_]]:
        """See `Region`. Raises ValueError for another size and for runs that do not fit it."""
        _check_size(self.width, self.height, width, height)
        counts = unpack(self.counts) if isinstance(self.counts, str) else self.counts
        left, mask = _lines(counts, self.height, self.width)
        return _trimmed(0, left, mask.T)


@dataclass(frozen=True, slots=True, eq=False)
class BoxRuns:
    """Runs along the rows of a box whose first pixel is (left, top): CVAT's mask, Darwin's too."""

    left: int
    top: int
    width: int
    height: int
    counts: Counts

    def cover(self, height: int, width: int) -> tuple[int, int, NDArray[np.bool_]]:
        """See `Region`. Raises ValueError for runs that do not fit, or a box without its place."""
        if self.width > 2 * width or self.height > 2 * height:
            raise ValueError(
                f"its mask is {self.width}x{self.height}, larger than the picture, which has "
                f"{width}x{height}"
            )
        first, mask = _lines(self.counts, self.width, self.height)
        return clip(self.top + first, self.left, mask, height, width)


@dataclass(frozen=True, slots=True, eq=False)
class BrushBits:
    """Label Studio's brush: RGBA values of a picture, packed into bits by rows.

    The sides are 0 where the size is not stated: it is then the picture's.

    The bits are: 32 for the number of values, 5 for the bits of a value - 1, four times 4 for the
    sizes of a run length - 1; then, again and again, 1 for a run or single values, 2 that choose
    the size, a length - 1 in so many bits, and one value or `length` values.
    """

    height: int
    width: int
    data: bytes

    def cover(self, height: int, width: int) -> tuple[int, int, NDArray[np.bool_]]:
        """See `Region`: opaque by half or more is drawn. Raises ValueError for bits that end."""
        if self.width:
            _check_size(self.width, self.height, width, height)
        return _trimmed(0, 0, _alpha(self.data, height * width).reshape(height, width))


def coco_region(segmentation: dict[str, Any]) -> ColumnRuns:
    """Return the region of COCO's {"size": [height, width], "counts": […] or "…"}.

    Raises ValueError if it is none.
    """
    given = segmentation.get("size")
    sides = size(given[1], given[0], "its RLE") if isinstance(given, list) and given[1:] else None
    if sides is None:
        raise ValueError(f"its RLE has no size [height, width] ({short(given)})")
    width, height = sides
    counts = segmentation.get("counts")
    return ColumnRuns(height, width, counts if isinstance(counts, str) else runs(counts))


def runs(values: object) -> Counts:
    """Return a list of run lengths as an array. Raises ValueError if it is none."""
    try:
        array = np.asarray(values) if isinstance(values, list | tuple) else None
    except (ValueError, OverflowError):
        array = None
    if array is None or array.ndim != 1 or (array.size and array.dtype.kind not in "iuf"):
        raise ValueError("its run lengths are no list of numbers")
    lengths: Counts
    with np.errstate(invalid="ignore"):
        lengths = array.astype(np.int64)
        if (lengths != array).any() or (lengths < 0).any():
            raise ValueError("a run length is no whole number from 0 up")
    return lengths


def unpack(text: str) -> Counts:
    """Return the run lengths in COCO's packed text. Raises ValueError if it is none.

    A character is 48 more than six bits: five of a number, lowest first, and 32 if more follow;
    the last one's 16 is the sign. From the fourth on, a number is a difference to the run two
    before.
    """
    try:
        chars = np.frombuffer(text.encode("ascii"), np.uint8).astype(np.int64) - 48
    except UnicodeEncodeError:
        raise ValueError("its packed run lengths hold characters that never occur") from None
    if not len(chars):
        return np.zeros(0, np.int64)
    if chars.min() < 0 or chars.max() > 63:
        raise ValueError("its packed run lengths hold characters that never occur")
    last = (chars & 32) == 0
    ends = np.flatnonzero(last)
    if not last[-1]:
        raise ValueError("its packed run lengths end in the middle of a number")
    starts = np.concatenate(([0], ends[:-1] + 1))
    if (ends - starts).max() > 9:  # 50 bits: more than any picture needs
        raise ValueError("a packed run length is too large for any picture")
    place = np.arange(len(chars)) - np.repeat(starts, ends - starts + 1)
    lengths = np.add.reduceat((chars & 31) << (5 * place), starts)
    lengths -= np.where(chars[ends] & 16, np.int64(1) << (5 * (ends - starts + 1)), 0)
    lengths[1::2] = np.cumsum(lengths[1::2])
    lengths[2::2] = np.cumsum(lengths[2::2])
    if lengths.min() < 0:
        raise ValueError("a packed run length is negative")
    return lengths


def pack(counts: Sequence[int] | Counts) -> str:
    """Return run lengths as COCO's packed text, which `unpack` reads."""
    text = []
    for position, count in enumerate(counts):
        rest = int(count) - (int(counts[position - 2]) if position > 2 else 0)
        more = True
        while more:
            bits = rest & 31
            rest >>= 5
            more = rest != (-1 if bits & 16 else 0)
            text.append(chr(48 + (bits | 32 if more else bits)))
    return "".join(text)


def mask_runs(mask: NDArray[np.bool_]) -> Counts:
    """Return the run lengths of a mask, row by row; of its transpose they go down the columns."""
    flat = np.concatenate(([False], mask.ravel()))
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    return np.diff(changes, prepend=0, append=mask.size).astype(np.int64)


def value_runs(values: object, wanted: int) -> Counts:
    """Return where Darwin's [value, run, value, run, …] has a value, as run lengths.

    Raises ValueError if they come in no pairs.
    """
    pairs = runs(values)
    if len(pairs) % 2:
        raise ValueError("its dense_rle has a value without a run")
    drawn = np.concatenate(([False], pairs[::2] == wanted, [True]))
    ends = np.concatenate(([0], np.cumsum(pairs[1::2])))
    changes = np.flatnonzero(drawn[1:-1] != drawn[:-2])
    return np.diff(ends[changes], prepend=0, append=ends[-1]).astype(np.int64)


def clip(
    top: int, left: int, mask: NDArray[np.bool_], height: int, width: int
) -> tuple[int, int, NDArray[np.bool_]]:
    """Return the part of a mask laid at (top, left) that is inside of a picture.

    Raises ValueError if the mask has pixels and none of them is.
    """
    rows = slice(max(0, -top), max(0, min(mask.shape[0], height - top)))
    columns = slice(max(0, -left), max(0, min(mask.shape[1], width - left)))
    inside = mask[rows, columns]
    if mask.size and not inside.size:
        raise ValueError(f"it lies outside of the picture ({width}x{height})")
    return max(0, top), max(0, left), inside


def _check_size(width: int, height: int, picture_width: int, picture_height: int) -> None:
    if (width, height) != (picture_width, picture_height):
        raise ValueError(
            f"its mask is {width}x{height}, but the picture has {picture_width}x{picture_height}"
        )


def _lines(counts: Counts, length: int, lines: int) -> tuple[int, NDArray[np.bool_]]:
    """Return the first line with something drawn, and all lines from there to the last such.

    Raises ValueError if the runs are not those of `lines` lines of this length.
    """
    total = length * lines
    if len(counts) and int(counts.max()) > total:
        raise ValueError(f"a run of {int(counts.max())} pixels, where the mask has {total}")
    ends = np.cumsum(counts)
    covered = int(ends[-1]) if len(ends) else 0
    if covered != total:
        raise ValueError(f"its runs have {covered} pixels in total, where the mask has {total}")
    drawn = np.flatnonzero(counts[1::2]) * 2 + 1
    if not len(drawn):
        return 0, np.zeros((0, length), bool)
    first = int(ends[drawn[0] - 1]) // length
    last = (int(ends[drawn[-1]]) - 1) // length
    part = np.clip(ends - first * length, 0, (last + 1 - first) * length)
    is_drawn = np.arange(len(counts)) % 2 == 1
    return first, np.repeat(is_drawn, np.diff(part, prepend=0)).reshape(-1, length)


def _trimmed(top: int, left: int, mask: NDArray[np.bool_]) -> tuple[int, int, NDArray[np.bool_]]:
    """Return a mask without empty rows and columns at its rim."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return _NOTHING
    part = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return top + int(rows[0]), left + int(columns[0]), part


class _Bits:
    """Reads whole numbers from bytes, highest bit first. Raises ValueError where they end."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.place = 0

    def number(self, bits: int) -> int:
        """Return the next number of so many bits."""
        end = self.skip(bits)
        part = self.data[(end - bits) // 8 : (end + 7) // 8]
        return (int.from_bytes(part, "big") >> (-end % 8)) & ((1 << bits) - 1)

    def numbers(self, count: int, bits: int) -> NDArray[np.int64]:
        """Return the next numbers of so many bits each."""
        end = self.skip(count * bits)
        start = end - count * bits
        part = np.frombuffer(self.data[start // 8 : (end + 7) // 8], np.uint8)
        single = np.unpackbits(part)[start % 8 :][: count * bits].reshape(count, bits)
        return single @ (np.int64(1) << np.arange(bits - 1, -1, -1))

    def skip(self, bits: int) -> int:
        """Go on by so many bits and return the place."""
        self.place += bits
        if self.place > 8 * len(self.data):
            raise ValueError("its brush data end too early")
        return self.place


def _alpha(data: bytes, pixels: int) -> NDArray[np.bool_]:
    """Return which pixels the brush data make opaque, (pixels,)."""
    bits = _Bits(data)
    if bits.number(32) != 4 * pixels:
        raise ValueError(f"its brush data are for another picture than one of {pixels} pixels")
    word = bits.number(5) + 1
    sizes = [bits.number(4) + 1 for _ in range(4)]
    half = 1 << (word - 1)
    drawn = np.zeros(pixels, bool)
    at = 0
    while at < 4 * pixels:
        is_run = bits.number(1)
        length = bits.number(sizes[bits.number(2)]) + 1
        if at + length > 4 * pixels:
            raise ValueError("its brush data have more values than the picture")
        if is_run:  # value number 4 i + 3 is the alpha of pixel i
            drawn[at // 4 : (at + length) // 4] = bits.number(word) >= half
        else:
            values = bits.numbers(length, word)
            drawn[at // 4 : (at + length) // 4] = values[(3 - at) % 4 :: 4] >= half
        at += length
    return drawn
