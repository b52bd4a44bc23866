"""The walk over a raw data set: find the pairs, check every one, write shards, then the manifest.

Everything is written to OUT.partial, which becomes OUT in one rename when it is complete. A walk
that was killed finds its finished shards there and goes on.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from psp.cards import Card, SplitEntry
from psp.errors import PspError, nearest
from psp.files import make_folder, write_json
from psp.prepare import camvid, scenes, voc
from psp.prepare.convert import convert, raw_to_id_table
from psp.prepare.pairs import Pair
from psp.shards import (
    FORMAT,
    MANIFEST,
    VERSION,
    Sample,
    ShardError,
    read_manifest,
    shard_entry,
    write_shard,
)

LAYOUTS: dict[str, Callable[[Path, SplitEntry], list[Pair]]] = {
    "camvid": camvid.pairs,
    "scenes": scenes.pairs,
    "voc": voc.pairs,
}
SHARD_BYTES = 256 << 20  # of images; a shard holds at least one
PLAN = "plan.json"


@dataclass(frozen=True)
class Planned:
    """What the walk will do: images a split, and remarks on what is missing."""

    images: dict[str, int]
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class Done:
    """So many pairs are in their shards."""

    done: int
    total: int


class OccupiedError(PspError):
    """The output folder holds something else."""


def prepare(
    card: Card,
    raw: Path,
    out: Path,
    allow_incomplete: bool = False,
    overwrite: bool = False,
    report: Callable[[Planned | Done], None] = lambda event: None,
) -> dict[str, Any]:
    """Convert the official files under `raw` into shards in the folder `out`; return the manifest.

    An `out` that was made from the same input is left as it is; `overwrite` makes it anew. Raises
    PspError for anything in the input that is missing, broken or unknown to the card, and for an
    `out` that holds anything but shards; then nothing is changed at `out`.
    """
    splits, remarks = _find(card, raw, allow_incomplete)
    source = _source(card, splits)
    if out.is_symlink():
        out = out.resolve()  # what stands behind a link is replaced, never the link
    if out.resolve() == Path.cwd():
        raise PspError(f"{out}: the current folder cannot be replaced. Choose another -o")
    if out.resolve() in (raw.resolve(), *raw.resolve().parents):
        raise PspError(f"{out}: the raw data lie in this folder. Choose another -o")
    if out.exists() and any(out.iterdir() if out.is_dir() else [out]):
        if not overwrite:
            return _existing(out, source, _newest(splits))
        if not _is_ours(out):
            raise OccupiedError(f"{out}: holds other things than shards. Choose another -o")
    _check_room(out, splits)
    report(Planned({name: len(pairs) for name, pairs in splits.items()}, tuple(remarks)))
    partial = out.with_name(f"{out.name}.partial")
    _begin(partial, {"source": source, "times": _times(splits)})
    try:
        manifest = _convert(card, splits, partial, source, report)
    except BaseException:
        if not any(partial.glob("*.h5")):
            shutil.rmtree(partial)
        raise
    try:
        if out.exists():
            _remove(out)
        partial.rename(out)
    except OSError as error:
        raise PspError(
            f"{out}: cannot be put in place ({error.strerror}); the shards are in {partial}"
        ) from None
    (out / PLAN).unlink()
    return manifest


def _find(card: Card, raw: Path, allow_incomplete: bool) -> tuple[dict[str, list[Pair]], list[str]]:
    """Return the pairs of each split that are there, and remarks on what is not."""
    if card.layout not in LAYOUTS:
        raise PspError(
            f"card {card.name}: layout '{card.layout}' is unknown (known: {', '.join(LAYOUTS)})."
            f"{nearest(card.layout, LAYOUTS)}"
        )
    splits, remarks = {}, []
    for split in card.splits:
        pairs = LAYOUTS[card.layout](raw, split)
        absent = [p for pair in pairs for p in (pair.image, pair.label) if not p.is_file()]
        if absent and not allow_incomplete:
            more = f" and {len(absent) - 1} more files" if len(absent) > 1 else ""
            raise PspError(
                f"{absent[0]}: missing{more} (split '{split.name}'). "
                "Unpack the download again, or take what is there with --allow-incomplete"
            )
        lost = set(absent)
        pairs = [pair for pair in pairs if not {pair.image, pair.label} & lost]
        if absent:
            found = (
                f"split '{split.name}': {len(absent)} files are missing, {len(pairs)} pairs taken"
            )
            remarks.append(found)
        promised = split.images
        if promised is not None and len(pairs) != promised:
            found = f"split '{split.name}' has {len(pairs)} of the {promised} images of {card.name}"
            if not allow_incomplete:
                raise PspError(
                    f"{raw}: {found}. Unpack the download again, or take what is there with "
                    "--allow-incomplete"
                )
            remarks.append(found)
        elif not pairs:
            found = f"split '{split.name}' of {card.name} has no pictures"
            if not allow_incomplete:
                raise PspError(
                    f"{raw}: {found}. Take the split out of the card, or leave it out with "
                    "--allow-incomplete"
                )
            remarks.append(found)
        if pairs:
            splits[split.name] = pairs
    if not splits:
        raise PspError(f"{raw}: no pictures of {card.name} found. Give the unpacked download.")
    return splits, remarks


def _source(card: Card, splits: dict[str, list[Pair]]) -> str:
    """Return a digest of the card and of every input file's name and size."""
    digest = hashlib.sha256(card.to_json().encode())
    for split, pairs in splits.items():
        for pair in pairs:
            sizes = pair.image.stat().st_size, pair.label.stat().st_size
            digest.update(json.dumps([split, pair.name, *sizes]).encode())
    return digest.hexdigest()


def _times(splits: dict[str, list[Pair]]) -> str:
    """Return a digest of the input files' times: if they changed, finished shards do not hold."""
    digest = hashlib.sha256()
    for pairs in splits.values():
        for pair in pairs:
            times = pair.image.stat().st_mtime_ns, pair.label.stat().st_mtime_ns
            digest.update(json.dumps(times).encode())
    return digest.hexdigest()


def _newest(splits: dict[str, list[Pair]]) -> int:
    """Return when the youngest input file was changed, in nanoseconds."""
    files = (
        path for pairs in splits.values() for pair in pairs for path in (pair.image, pair.label)
    )
    return max(path.stat().st_mtime_ns for path in files)


def _is_ours(folder: Path) -> bool:
    """Whether a folder holds nothing but what a walk writes, and the mark of one."""
    if not folder.is_dir():
        return False
    names = {path.name.removesuffix(".tmp") for path in folder.iterdir()}
    shards = {name for name in names if re.fullmatch(r"\w+-\d{5}\.h5", name)}
    return names - shards <= {MANIFEST, PLAN} and (bool(names - shards) or not names)


def _remove(folder: Path) -> None:
    """Remove a folder of ours so that a kill leaves neither a whole one nor a foreign one."""
    mark = folder / PLAN
    if (folder / MANIFEST).exists():
        (folder / MANIFEST).replace(mark)
    for path in folder.iterdir():
        if path != mark:
            path.unlink()
    mark.unlink(missing_ok=True)
    folder.rmdir()


def _check_room(out: Path, splits: dict[str, list[Pair]]) -> None:
    """Raise PspError when the disk cannot hold the shards (HDF5 itself dies of a full disk)."""
    folder = out.absolute()
    while not folder.exists():
        folder = folder.parent
    pairs = [pair for group in splits.values() for pair in group]
    need = sum(pair.image.stat().st_size + pair.label.stat().st_size for pair in pairs)
    free = shutil.disk_usage(folder).free
    if free < need:
        raise PspError(
            f"{out}: needs about {need / 1e6:.0f} MB, {free / 1e6:.0f} MB are free there. "
            "Choose another -o"
        )


def _existing(out: Path, source: str, newest: int) -> dict[str, Any]:
    """Return the manifest of an `out` made from the same input; refuse any other."""
    try:
        manifest = read_manifest(out)
    except ShardError as error:
        raise OccupiedError(
            f"{out}: exists, but holds no finished shards ({error}). Choose another -o"
        ) from None
    if manifest["source"] != source or (out / MANIFEST).stat().st_mtime_ns < newest:
        raise OccupiedError(
            f"{out}: holds {manifest['dataset']} made from other input, or before it changed. "
            "Choose another -o, or replace it with --overwrite"
        )
    for entry in (shard for split in manifest["splits"].values() for shard in split["shards"]):
        path = out / entry["file"]
        if not path.is_file() or path.stat().st_size != entry["bytes"]:
            raise OccupiedError(f"{path}: missing or damaged. Make it anew with --overwrite")
    return manifest


def _begin(partial: Path, plan: dict[str, str]) -> None:
    """Make the folder to write to; keep its finished shards only if they follow the same plan."""
    path = partial / PLAN
    if partial.exists():
        if not _is_ours(partial):
            raise PspError(
                f"{partial}: exists and is not psp's. Move it away, or choose another -o"
            )
        if _read_plan(path) != plan:
            shutil.rmtree(partial)
    make_folder(partial)
    write_json(path, plan)


def _read_plan(path: Path) -> object:
    """Return what an earlier walk planned; None if that cannot be told, so that it starts over."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _convert(
    card: Card,
    splits: dict[str, list[Pair]],
    partial: Path,
    source: str,
    report: Callable[[Planned | Done], None],
) -> dict[str, Any]:
    table = raw_to_id_table(card)
    entries: dict[str, Any] = {}
    total, finished = sum(map(len, splits.values())), 0

    def one(pair: Pair) -> Sample:
        nonlocal finished
        sample = convert(card, table, pair)
        finished += 1
        report(Done(finished, total))
        return sample

    for split, pairs in splits.items():
        shards = []
        for number, group in enumerate(_groups(pairs)):
            path = partial / f"{split}-{number:05d}.h5"
            if path.exists():  # finished before the walk was killed
                shards.append(shard_entry(path))
                finished += len(group)
                report(Done(finished, total))
                continue
            size = sum(pair.image.stat().st_size for pair in group)
            shards.append(write_shard(path, split, card, size, map(one, group)))
        entries[split] = {"images": len(pairs), "shards": shards}
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "dataset": card.name,
        "card": json.loads(card.to_json()),
        "source": source,
        "splits": entries,
    }
    write_json(partial / MANIFEST, manifest)
    return manifest


def _groups(pairs: list[Pair]) -> Iterator[list[Pair]]:
    """Cut the sorted pairs into shards by the images' sizes, before anything is read."""
    group: list[Pair] = []
    total = 0
    for pair in pairs:
        size = pair.image.stat().st_size
        if group and total + size > SHARD_BYTES:
            yield group
            group, total = [], 0
        group.append(pair)
        total += size
    yield group
