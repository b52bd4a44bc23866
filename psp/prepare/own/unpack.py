"""Unpack a zip of strangers: regular files only, below one folder only, and no more than fits."""

import os
import shutil
import stat
import time
import zipfile
from pathlib import Path, PurePosixPath

from psp.errors import PspError

MOST_FILES = 2_000_000
# Larger than this and packed more tightly than pictures or annotations can be: made to fill disks.
BOMB_BYTES, BOMB_RATIO = 1 << 31, 500
_PIECE = 1 << 20  # bytes that are written at a time
_ENCRYPTED = 1  # bit of an entry's flags


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a zip file into a new folder; the files keep the times that the zip states.

    Raises PspError, naming the archive and the entry, for a broken or encrypted zip, an entry that
    would lie outside of the folder, a link, and more than the disk has room for.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            entries = opened.infolist()
            _check(archive, entries, folder)
            for entry in entries:
                if not entry.is_dir():
                    _extract(opened, entry, folder)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, ValueError) as error:
        raise PspError(f"{archive}: not a readable zip file ({error}). Export it again") from None
    except OSError as error:
        raise PspError(f"{archive}: cannot be unpacked: {error.strerror or error}") from None


def _check(archive: Path, entries: list[zipfile.ZipInfo], folder: Path) -> None:
    if len(entries) > MOST_FILES:
        raise PspError(f"{archive}: has {len(entries)} entries; at most {MOST_FILES} are unpacked")
    for entry in entries:
        where = f"{archive}: entry '{entry.filename}'"
        parts = PurePosixPath(entry.filename.replace("\\", "/")).parts
        if ".." in parts or parts[:1] == ("/",) or any(":" in part for part in parts[:1]):
            raise PspError(f"{where} would lie outside of the archive's folder. Do not trust it")
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise PspError(f"{where} is a link. Unpack the archive yourself, and give the folder")
        if entry.flag_bits & _ENCRYPTED:
            raise PspError(f"{where} is encrypted. Unpack the archive yourself, give the folder")
    needed = sum(entry.file_size for entry in entries)
    if needed > BOMB_BYTES and needed > BOMB_RATIO * archive.stat().st_size:
        raise PspError(
            f"{archive}: {archive.stat().st_size / 1e6:.1f} MB that unpack to {needed / 1e9:.1f} "
            "GB, as no export does. If you trust it, unpack it yourself, and give the folder"
        )
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if needed > free:
        raise PspError(
            f"{archive}: unpacked it would take {needed / 1e9:.1f} GB, and {existing} has "
            f"{free / 1e9:.1f} GB free"
        )


def _extract(opened: zipfile.ZipFile, entry: zipfile.ZipInfo, folder: Path) -> None:
    path = folder / entry.filename.replace("\\", "/")
    path.parent.mkdir(parents=True, exist_ok=True)
    with opened.open(entry) as source, path.open("wb") as target:
        while piece := source.read(_PIECE):  # never more than the size that was checked
            target.write(piece)
    try:
        seconds = time.mktime((*entry.date_time, 0, 0, -1))
    except (OverflowError, ValueError):
        return  # no date
    os.utime(path, (seconds, seconds))
