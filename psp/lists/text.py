"""The text of a list file: its encoding, or what the file is instead of a text."""

import codecs
import json
import re

from psp.errors import PspError
from psp.files import placeholder

_MARKS = (  # at the beginning of a file; the longer ones first
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Files of other kinds that are given as lists, by their first bytes.
_OTHERS = (
    (b"PK\x03\x04", "a ZIP archive or a spreadsheet (XLSX, ODS)"),
    (b"\xd0\xcf\x11\xe0", "a spreadsheet or document of an old Office (XLS, DOC)"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ", "an xz archive"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"%PDF", "a PDF"),
    (b"{\\rtf", "a formatted text (RTF)"),
    (b"PAR1", "a Parquet table"),
    (b"SQLite format", "an SQLite database"),
    (b"\x89HDF", "an HDF5 or MATLAB file"),
    (b"MATLAB 5.0", "a MATLAB file"),
    (b"\x93NUMPY", "a numpy array"),
    (b"\x80\x04", "a pickle of Python"),
    (b"\x80\x03", "a pickle of Python"),
    (b"\x80\x02", "a pickle of Python"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"GIF8", "a picture"),
    (b"<?xml", "an XML file"),
    (b"<annotation", "an XML file"),
)
AS_TEXT = "Save the list as text: a picture on each line, and its mask behind a comma"


def decode(data: bytes, where: str, *, names: bool = False) -> str:
    """Return the text of a list, whatever marks of encodings it begins with.

    `names`: bytes that are no text stay as Python writes such file names (surrogate escapes).
    Raises PspError, which starts with `where`, for another encoding and for a file of another kind.
    """
    what = placeholder(data[:100]) or next((w for s, w in _OTHERS if data.startswith(s)), None)
    if what:
        raise PspError(f"{where}: {what}. {AS_TEXT}")
    encoding = _encoding(data)
    try:
        text = data.decode(encoding, "surrogateescape" if names else "strict")
    except UnicodeDecodeError as error:
        line = _line_of(data[: error.start])
        raise PspError(
            f"{where}: line {line} is not {encoding.upper()}. Save the list as UTF-8."
        ) from None
    if _is_json(text):
        raise PspError(f"{where}: a JSON file. {AS_TEXT}")
    return text


def is_wide(data: bytes) -> bool:
    """Whether a text is UTF-16 or UTF-32, in which zero bytes are no ends of names."""
    return _encoding(data).startswith(("utf-16", "utf-32"))


def _encoding(data: bytes) -> str:
    return next((name for mark, name in _MARKS if data.startswith(mark)), _unmarked(data))


def _unmarked(data: bytes) -> str:
    """Return the encoding of a text without a mark: of UTF-16 and 32, by where their zeros are."""
    start = data[:4000]
    if len(start) < 4 or b"\0" not in start:
        return "utf-8"
    zeros = [sum(byte == 0 for byte in start[at::4]) / len(start[at::4]) for at in range(4)]
    empty = "".join("0" if share > 0.7 else "x" for share in zeros)
    kinds = {
        "x000": "utf-32-le",
        "000x": "utf-32-be",
        "x0x0": "utf-16-le",
        "0x0x": "utf-16-be",
    }
    return kinds.get(empty, "utf-8")


def _line_of(before: bytes) -> int:
    return len(re.findall(rb"\r\n|\r|\n", before)) + 1


def _is_json(text: str) -> bool:
    """Whether a text is JSON, or a JSON value on each line."""
    start = text.lstrip()
    if not start.startswith(("{", "[")):
        return False
    for part in (text, start.splitlines()[0]):
        try:
            json.loads(part)
        except (ValueError, RecursionError):
            continue
        return True
    return False
