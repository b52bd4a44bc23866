"""psp demo: a painted data set and the four commands a user would type on it."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from psp.data.card import Card
from psp.data.cardfile import find_card
from psp.data.contact_sheet import most_varied
from psp.data.scenes import paint_set
from psp.files import atomic_write
from psp.images import decode_image, decode_label, encode_jpeg
from psp.render import legend, overlay, sheet

SHEET_ROWS = 5


@dataclass(frozen=True)
class Demo:
    """The demo's folder. Everything it makes lies in there."""

    folder: Path

    @property
    def raw(self) -> Path:
        """The painted data set."""
        return self.folder / "raw"

    @property
    def run(self) -> Path:
        """The trained run."""
        return self.folder / "run"

    @property
    def parsed(self) -> Path:
        """The label maps and overlays of the validation pictures."""
        return self.folder / "parsed"

    @property
    def sheet(self) -> Path:
        """The picture to look at: scenes, truth and result side by side."""
        return self.folder / "sheet.jpg"

    @property
    def scenes(self) -> int:
        """How many scenes are painted."""
        return sum(self._counts().values())

    def _counts(self) -> dict[str, int]:
        return {split.name: split.images or 0 for split in find_card("scenes").splits}

    def paint(self) -> Iterator[Path]:
        """Paint the data set that the card `scenes` promises; yield each picture's path."""
        return paint_set(self.raw, self._counts())

    def commands(self) -> list[list[str]]:
        """Return the four commands, as arguments of `psp`."""
        data = self.folder / "data"
        photos = self.raw / "images" / "val"
        return [
            ["prepare", "scenes", str(self.raw), "-o", str(data)],
            ["train", str(data), "-o", str(self.run)],
            ["evaluate", str(self.run)],
            ["predict", str(photos), "-m", str(self.run), "-o", str(self.parsed)],
        ]

    def scores(self) -> str:
        """Return the scores that the third command found, as a sentence."""
        (path,) = (self.run / "evaluations").glob("*.json")
        found = json.loads(path.read_text(encoding="utf-8"))
        return (
            f"mIoU {100 * found['miou']:.2f}, mean accuracy {100 * found['mean_accuracy']:.2f}, "
            f"pixel accuracy {100 * found['pixel_accuracy']:.2f} on {found['images']} scenes that "
            "the network was not trained on"
        )

    def draw_sheet(self) -> None:
        """Draw validation scenes beside their labels and what the network made of them."""
        card = find_card("scenes")
        names = _varied(self.raw, card)
        rows = []
        for name in names:
            image = decode_image((self.raw / "images/val" / name).read_bytes(), name)
            truth, found = (
                decode_label((folder / name).read_bytes(), name).astype(np.uint8)
                for folder in (self.raw / "labels/val", self.parsed / "labels")
            )
            rows.append(
                [image, overlay(image, truth, card.palette), overlay(image, found, card.palette)]
            )
        key = legend(card.names, card.palette, width=700)
        page = sheet(rows, ["scene", "label", "psp"], 170, key)
        with atomic_write(self.sheet) as temporary:
            temporary.write_bytes(encode_jpeg(page))


def _varied(raw: Path, card: Card) -> Sequence[str]:
    """Return names of validation scenes that between them show as many classes as possible."""
    paths = sorted((raw / "labels/val").iterdir())
    labels = [decode_label(path.read_bytes(), path.name) for path in paths]
    shown = [set(np.unique(label).tolist()) & set(range(len(card.classes))) for label in labels]
    return [paths[index].name for index in most_varied(shown, SHEET_ROWS)]
