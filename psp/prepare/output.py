"""The output folder: only folders of shards are ever replaced, and a new one appears complete.

Everything is written to OUT.partial, which is renamed to OUT at the end. A shard there is
`train-00000.h5`, `train-00000.json` its note (writing.py), and `train-00000.PID.tmp` a staging file
of the worker process PID.
"""

import contextlib
import json
import re
import shutil
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from psp.data.manifest import MANIFEST, ShardError, read_manifest
from psp.errors import PspError
from psp.events import Notice, Report, ignore
from psp.files import make_folder, numbered_names, write_json
from psp.locks import one_at_a_time

AUDIT = "audit.json"
MARK = "plan.json"  # shows that psp wrote the folder, until it has a manifest
NOTE = re.compile(r"\w+-\d{5}\.json")
SHARD = re.compile(r"\w+-\d{5}\.h5")
STAGING = re.compile(r"\w+-\d{5}\.\d+")  # without .tmp


@dataclass(frozen=True)
class Prepared:
    """A folder of shards, its manifest, and the title of the data set.

    There is no manifest while shares of the folder are missing.
    """

    folder: Path
    manifest: dict[str, Any] | None
    title: str


class OccupiedError(PspError):
    """The output folder exists and was not made from the same input."""


def check_output(out: Path, inputs: Iterable[Path]) -> Path:
    """Return the folder to write, links resolved. Raises PspError if it must not be replaced."""
    if out.is_symlink():
        out = out.resolve()  # replace the folder that the link points to, never the link
    if out.resolve() == Path.cwd():
        raise PspError(f"{out}: the current folder cannot be replaced. Choose another -o")
    for raw in inputs:
        if out.resolve() in (raw.resolve(), *raw.resolve().parents):
            raise PspError(f"{out}: the raw data are in this folder. Choose another -o")
    return out


def partial_of(out: Path) -> Path:
    """Return the folder that the shards of `out` are in until all are finished."""
    return out.with_name(f"{out.name}.partial")


def is_occupied(out: Path) -> bool:
    """Whether `out` is a file, or a folder that is not empty."""
    return out.exists() and any(out.iterdir() if out.is_dir() else [out])


def is_shard_folder(folder: Path) -> bool:
    """Whether psp made this folder, and it has nothing in it but files of psp."""
    if not folder.is_dir():
        return False
    names = {path.name.removesuffix(".tmp") for path in folder.iterdir()}
    shards = {
        name for name in names if any(kind.fullmatch(name) for kind in (SHARD, NOTE, STAGING))
    }
    return names - shards <= {MANIFEST, MARK, AUDIT} and (bool(names - shards) or not names)


def read_existing(out: Path, source: str, newest: int) -> dict[str, Any]:
    """Return the manifest of `out` if it was made from the same input.

    Raises OccupiedError for anything else. `newest` is the latest change of an input file, in ns.
    """
    try:
        manifest = read_manifest(out)
    except ShardError as error:
        raise OccupiedError(
            f"{out}: exists, but is not a finished folder of shards ({error}). Choose another -o"
        ) from None
    if manifest["source"] != source or (out / MANIFEST).stat().st_mtime_ns < newest:
        raise OccupiedError(
            f"{out}: {manifest['dataset']} made from other input or with other options, or before "
            "the input changed. Choose another -o, or replace it with --overwrite"
        )
    for entry in (shard for split in manifest["splits"].values() for shard in split["shards"]):
        path = out / entry["file"]
        if not path.is_file() or path.stat().st_size != entry["bytes"]:
            raise OccupiedError(f"{path}: missing or damaged. Make it again with --overwrite")
    return manifest


def first_unoccupied(
    default: Path, convert: Callable[[Path], dict[str, Any] | None], report: Report = ignore
) -> tuple[Path, dict[str, Any] | None]:
    """Convert into the default folder; if it is taken, into the same name with a number.

    `convert` is `prepare` with everything but the folder. Returns the first of data/CARD,
    data/CARD-2, … that is free or was made from this input, and its manifest.
    """
    for folder in numbered_names(default):
        try:
            return folder, convert(folder)
        except OccupiedError as error:
            report(Notice(str(error).partition(". ")[0]))
    raise AssertionError("there is always another number")


def check_disk_space(out: Path, required: int) -> None:
    """Raise PspError if the shards do not fit on the disk (HDF5 aborts when a disk is full)."""
    folder = out.absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < required:
        raise PspError(
            f"{out}: needs about {required / 1e6:.0f} MB, {free / 1e6:.0f} MB are free there. "
            "Free some space, or choose another -o"
        )


def begin(out: Path) -> Path:
    """Make the folder OUT.partial, or continue in the one that an earlier run left."""
    partial = partial_of(out)
    if partial.exists() and not is_shard_folder(partial):
        raise _foreign(partial)
    make_folder(partial)
    write_json(partial / MARK, {"out": out.name})
    remove_temporary(partial)
    return partial


def join(out: Path, mark: Mapping[str, Any]) -> Path:
    """Make the folder OUT.partial for a share of its shards, or go on in the one that is there.

    `mark` has what all shares must have in common: the number of `parts`, `options` and `names`.
    Raises PspError if the folder was begun with others.
    """
    partial = partial_of(out)
    make_folder(partial)
    with one_at_a_time(partial):
        if not is_shard_folder(partial):
            raise _foreign(partial)
        try:
            there = json.loads((partial / MARK).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            there = {}
        if "parts" not in there:  # new, or of one process that was to do all
            write_json(partial / MARK, {"out": out.name, **mark})
        elif other := next((key for key in mark if there.get(key) != mark[key]), None):
            what = {
                "parts": f"in {there['parts']} parts, not {mark['parts']}. Give all that number",
                "options": "by a part with another card or other options. Give all the same",
                "names": "by a part with other pictures. Give all the same",
            }[other]
            raise PspError(f"{partial}: begun {what}, or remove the folder to begin again")
    return partial


def _foreign(partial: Path) -> PspError:
    return PspError(
        f"{partial}: exists and was not made by psp. Move it away, or choose another -o"
    )


def remove_temporary(partial: Path, stems: Collection[str] = ()) -> None:
    """Remove staging files, and files that were not completely written.

    With `stems`, only those of these shards.
    """
    for path in partial.glob("*.tmp"):
        if not stems or path.name.partition(".")[0] in stems:
            path.unlink(missing_ok=True)


def keep_finished(partial: Path) -> None:
    """After a failure, keep finished shards and the audit; remove the folder if it has neither."""
    remove_temporary(partial)
    names = {path.name for path in partial.iterdir()}
    if not any(name == AUDIT or SHARD.fullmatch(name) for name in names):
        for name in names:
            if name in (MANIFEST, MARK) or NOTE.fullmatch(name):
                (partial / name).unlink()
        with contextlib.suppress(OSError):  # someone else's file is in it
            partial.rmdir()


def read_complete(
    partial: Path, source: str, newest: int, *, some_skipped: bool = False
) -> dict[str, Any] | None:
    """Return the manifest of `partial` if only `finish` is missing there; None otherwise.

    Its input must be the same, and unless `some_skipped`, nothing left out: bad files may have been
    repaired.
    """
    if (partial / MARK).exists() or not is_shard_folder(partial):
        return None
    try:
        manifest = read_existing(partial, source, newest)
    except OccupiedError:
        return None
    skipped = any(split["skipped"] for split in manifest["splits"].values())
    return manifest if some_skipped or not skipped else None


def finish(partial: Path, out: Path, shards: set[str]) -> None:
    """Rename `partial` to `out`. Shards in it that are not in `shards` are of an earlier run.

    Without the mark, `partial` is complete: after a kill, another run only does this again. What
    does not belong into `out` goes before the rename, after which nothing needs to be done.
    """
    (partial / MARK).unlink(missing_ok=True)
    remove_temporary(partial)
    for path in partial.iterdir():
        of_earlier_run = SHARD.fullmatch(path.name) and path.name not in shards
        if of_earlier_run or NOTE.fullmatch(path.name):
            path.unlink()
    try:
        if out.exists():
            _remove(out)
        partial.rename(out)
    except OSError as error:
        raise PspError(
            f"{partial}: cannot be renamed to {out} ({error.strerror}); the finished shards are "
            "in it. Rename it yourself"
        ) from None


def _remove(folder: Path) -> None:
    """Remove a folder of shards.

    If this is killed, what remains has no manifest, so that it is not taken for complete, and has
    the mark, so that another run may replace it.
    """
    if not is_shard_folder(folder):  # files may have come while its shards were made
        raise OccupiedError(
            f"{folder}: other files than shards have come into it, so it is not replaced. The new "
            f"shards are in {partial_of(folder)}. Move these files away, and run the command again"
        )
    mark = folder / MARK
    if (folder / MANIFEST).exists():
        (folder / MANIFEST).replace(mark)
    for path in folder.iterdir():
        if path != mark:
            path.unlink()
    mark.unlink(missing_ok=True)
    folder.rmdir()
