"""Label files for a benchmark's server: class ids mapped back to the official raw values.

VOC 2012 takes palette PNGs in results/VOC2012/Segmentation, in one archive, ADE20K gray PNGs whose
classes count from 1, Cityscapes PNGs of its label ids, both in a zip file. The card has the raw
value of each class, so this works for cards whose classes were each made from a single raw value.
Names and kinds of files that differ from NAME.png and gray are in its table [leaderboard].
"""

import contextlib
import os
import shutil
import tarfile
import zipfile
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from psp.data.card import Card, LeaderboardFiles
from psp.data.cardfile import with_facts
from psp.data.shards import ShardSplit
from psp.errors import PspError
from psp.files import write, writing
from psp.images.encoding import encode_color, encode_label, encode_palette

TARS: dict[str, Literal["w", "w:gz"]] = {".tar": "w", ".tgz": "w:gz", ".tar.gz": "w:gz"}


class Leaderboard:
    """Writes the label files of a split.

    Raises PspError if the card has no single raw value for a class, or the shards have pictures
    that were shrunk.
    """

    def __init__(self, folder: Path, shards: ShardSplit) -> None:
        side = shards.conversion["max_side"]
        if side is not None:
            raise PspError(
                f"--save-labels: the pictures in {shards.folder} were shrunk to {side} pixels, but "
                "a benchmark wants label files of the full size. Prepare them without --max-side"
            )
        self.folder, self.card, self.split = folder, shards.card, shards.stored_split
        self.files = _files(shards.card)
        self._shards = shards
        self._raw = raw_values(shards.card)

    def clear(self) -> None:
        """Remove the files of an interrupted call. Raises PspError if there are others."""
        if not self.folder.is_dir():
            return
        for name in self._shards.names:
            path = self._path(name)
            for file in (path, path.with_name(f"{path.name}.tmp")):
                file.unlink(missing_ok=True)
        for folder, _, _ in os.walk(self.folder, topdown=False):
            with contextlib.suppress(OSError):  # it is not empty
                Path(folder).rmdir()
        if self.folder.exists():
            raise PspError(
                f"{self.folder}: label files are collected there first, but it has other files in "
                "it. Move it away, or name another folder with --save-labels"
            )

    def put_in_place(self, target: Path) -> None:
        """Give the finished folder its name, or pack it if `target` is the name of an archive.

        The archive has the paths below the folder, as servers want them. Raises PspError if it
        cannot be written; the folder is then still there.
        """
        name = target.name.lower()
        mode = next((mode for suffix, mode in TARS.items() if name.endswith(suffix)), None)
        if mode is None and not name.endswith(".zip"):
            self.folder.rename(target)
            return
        files = sorted(path for path in self.folder.rglob("*") if path.is_file())
        with writing(target) as temporary:
            if mode is None:
                with zipfile.ZipFile(temporary, "w") as packed:  # PNGs are compressed already
                    for path in files:
                        packed.write(path, path.relative_to(self.folder))
            else:
                with tarfile.open(temporary, mode) as archive:
                    for path in files:
                        archive.add(path, path.relative_to(self.folder))
        shutil.rmtree(self.folder)

    def _path(self, name: str) -> Path:
        return self.folder / self.files.path.replace("{split}", self.split).replace("{name}", name)

    def write(self, name: str, label: NDArray[np.uint8]) -> None:
        """Write the file of one picture, uint8 (H, W) of class ids."""
        if self.card.labels == "colors":
            data = encode_color(self._raw[label])
        elif self.files.kind == "palette":
            data = encode_palette(label, self.card.palette)
        else:
            raw = self._raw[label]
            wide = self._raw.max() > np.iinfo(np.uint8).max
            data = encode_label(raw.astype(np.uint16) if wide else raw.astype(np.uint8))
        write(self._path(name), data)


def raw_values(card: Card) -> NDArray[np.int64]:
    """Return the raw value of each class, (classes,).

    Raises PspError if a class has several, or if the benchmark wants the card's class ids to be the
    official ones and they are not.
    """
    official = _files(card).official_ids
    for index, entry in enumerate(card.classes):
        if len(entry.raw) != 1:
            raise PspError(
                f"--save-labels: card {card.name}: class {index} '{entry.name}' was made from "
                f"{len(entry.raw)} raw values, so a pixel's raw value is unknown. Use a card whose "
                "classes have one raw value each"
            )
        if official and entry.raw != (index,):
            raise PspError(
                f"--save-labels: card {card.name}: class {index} '{entry.name}' has the raw value "
                f"{entry.raw[0]}; the benchmark's files hold the official ids. Use a card whose "
                "class ids are the raw values"
            )
    return np.array([entry.raw[0] for entry in card.classes], np.int64)


def _files(card: Card) -> LeaderboardFiles:
    return with_facts(card).leaderboard or LeaderboardFiles()
