"""The output folder: nothing of others is ever replaced, and a whole one appears in one rename.

Everything is written to OUT.partial. A shard there is `train-00000.h5`; beside it, written after
it, `train-00000.json` has the digest of its input and the problems found in it, so that another run
can tell whether the shard is finished and still holds. `train-00000.PID.tmp` is a spool of it.
"""

import json
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from psp.data.manifest import MANIFEST, ShardError, read_manifest
from psp.errors import PspError
from psp.files import make_folder, write_json

AUDIT = "audit.json"
MARK = "plan.json"  # says that a folder is psp's while it has no manifest
NOTE = re.compile(r"\w+-\d{5}\.json")
SHARD = re.compile(r"\w+-\d{5}\.h5")
SPOOL = re.compile(r"\w+-\d{5}\.\d+")  # without .tmp


class OccupiedError(PspError):
    """The output folder holds something else."""


def check_output(out: Path, inputs: Iterable[Path]) -> Path:
    """Return where to write. Raises PspError for a folder that cannot be replaced."""
    if out.is_symlink():
        out = out.resolve()  # what stands behind a link is replaced, never the link
    if out.resolve() == Path.cwd():
        raise PspError(f"{out}: the current folder cannot be replaced. Choose another -o")
    for raw in inputs:
        if out.resolve() in (raw.resolve(), *raw.resolve().parents):
            raise PspError(f"{out}: the raw data lie in this folder. Choose another -o")
    return out


def is_occupied(out: Path) -> bool:
    """Whether there is anything at `out`."""
    return out.exists() and any(out.iterdir() if out.is_dir() else [out])


def is_ours(folder: Path) -> bool:
    """Whether a folder holds nothing but what `prepare` writes, and the mark of one."""
    if not folder.is_dir():
        return False
    names = {path.name.removesuffix(".tmp") for path in folder.iterdir()}
    shards = {name for name in names if any(kind.fullmatch(name) for kind in (SHARD, NOTE, SPOOL))}
    return names - shards <= {MANIFEST, MARK, AUDIT} and (bool(names - shards) or not names)


def read_existing(out: Path, source: str, newest: int) -> dict[str, Any]:
    """Return the manifest of an `out` made from the same input; refuse any other."""
    try:
        manifest = read_manifest(out)
    except ShardError as error:
        raise OccupiedError(
            f"{out}: exists, but holds no finished shards ({error}). Choose another -o"
        ) from None
    if manifest["source"] != source or (out / MANIFEST).stat().st_mtime_ns < newest:
        raise OccupiedError(
            f"{out}: holds {manifest['dataset']} made from other input or with other options, or "
            "before it changed. Choose another -o, or replace it with --overwrite"
        )
    for entry in (shard for split in manifest["splits"].values() for shard in split["shards"]):
        path = out / entry["file"]
        if not path.is_file() or path.stat().st_size != entry["bytes"]:
            raise OccupiedError(f"{path}: missing or damaged. Make it anew with --overwrite")
    return manifest


def check_room(out: Path, need: int) -> None:
    """Raise PspError when the disk cannot hold the shards (HDF5 itself dies of a full disk)."""
    folder = out.absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < need:
        raise PspError(
            f"{out}: needs about {need / 1e6:.0f} MB, {free / 1e6:.0f} MB are free there. "
            "Choose another -o"
        )


def begin(out: Path) -> Path:
    """Make the folder to write to, or take up the one that an earlier run left."""
    partial = out.with_name(f"{out.name}.partial")
    if partial.exists() and not is_ours(partial):
        raise PspError(f"{partial}: exists and is not psp's. Move it away, or choose another -o")
    make_folder(partial)
    write_json(partial / MARK, {"out": out.name})
    _remove_torn(partial)
    return partial


def _remove_torn(partial: Path) -> None:
    """Remove spools, and files that were not written to their end."""
    for path in partial.glob("*.tmp"):
        path.unlink()


def note_of(shard: Path) -> Path:
    """Return where a shard's digest and problems are noted."""
    return shard.with_suffix(".json")


def read_note(shard: Path, digest: str) -> list[dict[str, str]] | None:
    """Return the problems of a finished shard; None if there is none from the same input."""
    try:
        note = json.loads(note_of(shard).read_text(encoding="utf-8"))
        problems = note["problems"] if note["digest"] == digest else None
    except (OSError, ValueError, LookupError, TypeError):
        return None  # torn or missing: it is made again
    # A shard whose pairs are all bad has no file.
    whole = shard.is_file() or note["empty"]
    # Bad files are looked at again: a mended one may have the size and time of the broken one.
    return [] if whole and problems == [] else None


def leave(partial: Path) -> None:
    """After a failure: keep what another run can use, remove what is of no use to anyone."""
    _remove_torn(partial)
    if not any(path.name == AUDIT or SHARD.fullmatch(path.name) for path in partial.iterdir()):
        shutil.rmtree(partial)


def finish(partial: Path, out: Path, shards: set[str]) -> None:
    """Put the finished folder in its place: `shards` are its own, others are of earlier runs."""
    _remove_torn(partial)
    for path in partial.iterdir():
        if SHARD.fullmatch(path.name) and path.name not in shards:
            path.unlink()
    try:
        if out.exists():
            _remove(out)
        partial.rename(out)
    except OSError as error:
        raise PspError(
            f"{out}: cannot be put in place ({error.strerror}); the shards are in {partial}"
        ) from None
    for path in out.iterdir():
        if NOTE.fullmatch(path.name) or path.name == MARK:
            path.unlink()


def _remove(folder: Path) -> None:
    """Remove a folder of ours so that a kill leaves neither a whole one nor a foreign one."""
    mark = folder / MARK
    if (folder / MANIFEST).exists():
        (folder / MANIFEST).replace(mark)
    for path in folder.iterdir():
        if path != mark:
            path.unlink()
    mark.unlink(missing_ok=True)
    folder.rmdir()
