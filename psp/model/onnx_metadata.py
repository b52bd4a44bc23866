"""What an ONNX file says of itself: its metadata, read without any library for ONNX.

The file is a protocol buffer, whose fields each begin with a number and a kind. Only the entries of
`metadata_props` are read; the graph, which is nearly all of the file, is skipped.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from psp.errors import PspError

SUFFIX = ".onnx"
METADATA = 14  # number of the field metadata_props of ModelProto
LONGEST = 64 << 20  # bytes of an entry, as of any header
_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5


def is_onnx(path: Path) -> bool:
    """Whether a file is named as ONNX files are."""
    return path.suffix.lower() == SUFFIX


def read_metadata(path: Path) -> dict[str, str]:
    """Return the metadata of an ONNX file, key to text.

    Raises PspError for a file that is not there, is no ONNX file, or is cut off.
    """
    metadata = {}
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            for number, kind, value in _fields(file, size):
                if number == METADATA and kind == _BYTES:
                    file.seek(-value, 1)
                    key, text = _entry(file, value)
                    metadata[key] = text
    except FileNotFoundError:
        raise PspError(f"{path}: no such file.") from None
    except OSError as error:
        raise PspError(f"{path}: cannot be read: {error.strerror or error}.") from None
    except ValueError:
        raise PspError(
            f"{path}: not an ONNX file, or one that was cut off or damaged. Get it again, or write "
            "it again with: psp export MODEL OUT.onnx"
        ) from None
    return metadata


def _entry(file: BinaryIO, size: int) -> tuple[str, str]:
    """Return the key and the value of an entry, which the file is at."""
    if size > LONGEST:
        raise ValueError
    end, texts = file.tell() + size, {1: "", 2: ""}
    for number, kind, length in _fields(file, end):
        if kind == _BYTES and number in texts:
            file.seek(-length, 1)
            texts[number] = file.read(length).decode()
    return texts[1], texts[2]


def _fields(file: BinaryIO, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield number, kind and value of each field up to a position; of bytes, their length.

    The file is behind the field then. Raises ValueError for what is none.
    """
    if file.tell() == end:
        raise ValueError  # an empty message has no name and no graph
    while file.tell() < end:
        tag = _varint(file)
        number, kind = tag >> 3, tag & 7
        value = {_EIGHT: 8, _FOUR: 4}.get(kind, 0)
        if kind in (_VARINT, _BYTES):
            value = _varint(file)
        elif not value:
            raise ValueError
        if kind != _VARINT and file.seek(value, 1) > end:
            raise ValueError
        yield number, kind, value


def _varint(file: BinaryIO) -> int:
    value = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            break
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    raise ValueError
