"""Pickles of strangers, looked through before torch reads them: what they may take is bounded.

torch's restricted unpickler runs no code. But a few bytes may still ask it for a bytearray of any
length, double a text again and again, or build tuples of tuples that take for ever to hash; and a
zip file may hold records that unpack to more than any memory. None of that is in a file of weights.
"""

import pickletools
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from torch import Tensor

from psp.errors import PspError
from psp.files import open_regular

PICKLES = 5  # in a file of torch before 1.6, before the raw values
LARGEST = 50_000_000  # values that a pickle builds, those in several places counted at each
FORBIDDEN = {"builtins bytearray", "__builtin__ bytearray", "bytearray"}
GROWING = ("hex", "base64", "base_64", "uu", "quopri", "quoted", "bz2", "zip", "zlib")  # codecs


def check_pickles(path: Path) -> None:
    """Raise PspError if the file of torch.save is no regular file, or would take endless memory."""
    try:
        with open_regular(path) as file:
            if not zipfile.is_zipfile(file):
                file.seek(0)
                for _ in range(PICKLES):
                    _check(file)
                return
            size = file.seek(0, 2)
            with zipfile.ZipFile(file) as archive:
                records = archive.infolist()
                packed = any(record.compress_type != zipfile.ZIP_STORED for record in records)
                if packed or sum(record.file_size for record in records) > size:
                    raise PspError(f"{path}: damaged: its records are larger than the file.")
                for record in records:
                    if record.filename.endswith(".pkl"):
                        with archive.open(record) as pickle:
                            _check(pickle)
    except _BombError as error:
        raise PspError(f"{path}: refused: {error}. No file of weights does that.") from None
    except OSError as error:
        raise PspError(f"{path}: cannot be read: {error.strerror or error}.") from None
    except (
        ValueError,
        zipfile.BadZipFile,
        KeyError,
        IndexError,
        RuntimeError,
        NotImplementedError,
    ):
        return  # no pickle: torch says what is wrong with it


class _BombError(Exception):
    """What a pickle would do."""


def _check(file: IO[bytes]) -> None:
    """Follow a pickle's stack with sizes in place of values."""
    stack: list[list[int] | None] = []  # None: a mark
    memo: dict[int, list[int]] = {}
    texts: set[str] = set()
    encodes = False
    argument: Any
    for code, argument, _ in pickletools.genops(file):
        name = code.name
        if isinstance(argument, str):
            if argument in FORBIDDEN:
                raise _BombError("it makes a bytearray of any length")
            encodes = encodes or argument in ("_codecs encode", "_codecs")
            if len(argument) < 20:
                texts.add(argument.lower().replace("-", "_"))
        if name in ("PUT", "BINPUT", "LONG_BINPUT"):
            memo[int(argument)] = _box(stack[-1])
        elif name == "MEMOIZE":
            memo[len(memo)] = _box(stack[-1])
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memo[int(argument)])
        elif name == "DUP":
            stack.append(stack[-1])
        elif name == "MARK":
            stack.append(None)
        elif name == "POP_MARK":
            list(_to_mark(stack))
        else:
            _apply(code, stack)
    if encodes and any(text.startswith(GROWING) for text in texts):
        raise _BombError("it encodes texts as bytes that grow")


def _box(item: list[int] | None) -> list[int]:
    if item is None:
        raise ValueError
    return item


def _to_mark(stack: list[list[int] | None]) -> Iterator[list[int]]:
    while (item := stack.pop()) is not None:
        yield item


def _apply(code: Any, stack: list[list[int] | None]) -> None:
    """Do what an operation does to the stack; a container that grows stays the same box."""
    size = 1
    grows = code.name in GROWS
    for kind in reversed(code.stack_before[1 if grows else 0 :]):
        if kind is pickletools.stackslice:
            size += sum(item[0] for item in _to_mark(stack))
        elif kind is not pickletools.markobject:
            size += _box(stack.pop())[0]
    if size > LARGEST:
        raise _BombError("it builds too many values")
    if grows:
        box = _box(stack[-1])
        box[0] += size
        if box[0] > LARGEST:
            raise _BombError("it builds too many values")
    else:
        stack.extend([size] for _ in code.stack_after)


GROWS = {"APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS", "BUILD"}


def check_tensors(values: Mapping[str, Any], path: Path) -> None:
    """Raise PspError for a tensor that is larger than its file, or whose values are not in it."""
    size = path.stat().st_size
    for name, tensor in values.items():
        if not isinstance(tensor, Tensor):
            continue
        if tensor.is_meta or str(tensor.layout) != "torch.strided" or tensor.is_quantized:
            raise PspError(f"{path}: its tensor '{name}' is not an array of plain values.")
        if tensor.nelement() * tensor.element_size() > size:
            raise PspError(f"{path}: damaged: its tensor '{name}' is larger than the file.")
