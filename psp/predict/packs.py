"""Results in tar files: one for each writer and share, in place of a file for each picture.

    labels.tar               members labels/NAME.png; of a share labels-3-of-64.tar

A picture's record says in which tar its files are, where their bytes begin, and how many there are.
So one can be read without the tar's other members, and what a killed call wrote without a record is
cut off. A picture that is done again is appended again: the last member of a name counts, for tar,
for Python's tarfile, and for the records.
"""

import os
import tarfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING

from psp.errors import PspError
from psp.ranks import Share

if TYPE_CHECKING:
    from psp.predict.writers.writer import Writer

KINDS = ("tar",)
SYNC = 2.0  # seconds after which what was appended is forced to the disk, and recorded
_BLOCK = tarfile.BLOCKSIZE
_END = bytes(2 * _BLOCK)  # of a tar

Place = tuple[str, int, int]  # name of the tar, position of the first byte in it, bytes


class Packs:
    """The tar files that one share appends to, and those of other shares to look into."""

    def __init__(self, out: Path, share: Share, writers: Iterable["Writer"]) -> None:
        self.out = out
        self.writers = {writer.name: writer for writer in writers if writer.write}
        self.files = {name: pack_name(w.folder, share) for name, w in self.writers.items()}
        self._ends: dict[str, int] = {}  # of the tars that are open
        self._open: dict[str, IO[bytes]] = {}
        self._synced = time.monotonic()

    def holds(self, place: Place, writer: str, name: str, time_ns: int) -> bool:
        """Whether a picture's file is in a tar, as its record says."""
        file, start, size = place
        path = self.out / file
        header = _header(self.member(writer, name), size, time_ns)
        try:
            with path.open("rb", buffering=0) as tar:
                whole = os.fstat(tar.fileno()).st_size >= start + size
                return whole and os.pread(tar.fileno(), _BLOCK, start - _BLOCK) == header[-_BLOCK:]
        except OSError:
            return False

    def member(self, writer: str, name: str) -> str:
        """Return the path of a picture's file, in a tar as in a folder of results."""
        return f"{self.writers[writer].folder}/{name}{self.writers[writer].suffix}"

    def open(self, ends: Mapping[str, int]) -> None:
        """Get ready to append. Raises PspError if a tar cannot be written.

        `ends` has for each tar where the last recorded member ends; the rest is cut off.
        """
        for file in self.files.values():
            path = self.out / file
            try:
                tar = path.open("ab")
                tar.truncate(ends.get(file, 0))
            except OSError as error:
                raise _unwritable(path, error) from None
            self._open[file], self._ends[file] = tar, ends.get(file, 0)

    def add(self, name: str, time_ns: int, files: Mapping[str, bytes]) -> dict[str, Place]:
        """Append a picture's files, by their writers; return where they are. Raises PspError."""
        places = {}
        for writer, data in files.items():
            file = self.files[writer]
            header = _header(self.member(writer, name), len(data), time_ns)
            start = self._ends[file] + len(header)
            padding = bytes(-len(data) % _BLOCK)
            try:
                self._open[file].write(b"".join((header, data, padding)))
            except OSError as error:
                raise _unwritable(self.out / file, error) from None
            places[writer] = (file, start, len(data))
            self._ends[file] = start + len(data) + len(padding)
        return places

    @property
    def due(self) -> bool:
        """Whether it is time to `sync`."""
        return time.monotonic() > self._synced + SYNC

    def sync(self) -> None:
        """Force to the disk what was appended. Raises PspError."""
        for file, tar in self._open.items():
            try:
                tar.flush()
                os.fdatasync(tar.fileno())
            except OSError as error:
                raise _unwritable(self.out / file, error) from None
        self._synced = time.monotonic()

    def close(self) -> None:
        """End the tars as tar files end, without what was not appended as a whole."""
        for file, tar in self._open.items():
            try:
                with tar:
                    tar.flush()
                    tar.truncate(self._ends[file])
                    tar.write(_END)
            except OSError as error:
                raise _unwritable(self.out / file, error) from None
        self._open = {}


def pack_name(folder: str, share: Share) -> str:
    """Return the name of the tar that has a share of the files of a folder."""
    return f"{folder}-{share}.tar" if share.total > 1 else f"{folder}.tar"


def end_of(place: Place) -> int:
    """Return where a member ends in its tar."""
    _, start, size = place
    return start + size + -size % _BLOCK


def read_packed(out: Path, place: Place) -> bytes:
    """Return the contents of a picture's file in a tar of a folder of results."""
    file, start, size = place
    with (out / file).open("rb") as tar:
        tar.seek(start)
        return tar.read(size)


def _header(member: str, size: int, time_ns: int) -> bytes:
    """Return what stands before a member's bytes; the last block of it has its name and size."""
    info = tarfile.TarInfo(member)
    info.size, info.mtime = size, max(0, time_ns // 10**9)
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


def _unwritable(path: Path, error: OSError) -> PspError:
    return PspError(f"{path}: cannot be written: {error.strerror or error}.")
