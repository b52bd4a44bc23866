"""psp demo: paint a small data set and run the four main commands on it."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from psp.data.card import Card
from psp.data.cardfile import find_card
from psp.data.contact_sheet import most_varied
from psp.data.scenes import paint_set
from psp.files import atomic_write
from psp.images.encoding import encode_jpeg
from psp.images.labels import decode_label
from psp.images.pictures import decode_image
from psp.render import legend, overlay, sheet

SHEET_ROWS = 5


@dataclass(frozen=True)
class Demo:
    """The demo's folder, with everything that it makes."""

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
    def predicted(self) -> Path:
        """The label maps and overlays of the validation pictures."""
        return self.folder / "predicted"

    @property
    def sheet(self) -> Path:
        """The picture with scenes, labels and predictions side by side."""
        return self.folder / "sheet.jpg"

    @property
    def report(self) -> Path:
        """The page that evaluate writes."""
        return self.run / "report.html"

    @property
    def scenes(self) -> int:
        """The number of scenes in the data set."""
        return sum(self._counts().values())

    def _counts(self) -> dict[str, int]:
        return {split.name: split.images or 0 for split in find_card("scenes").splits}

    def paint(self) -> Iterator[Path]:
        """Paint the data set of the card `scenes`; yield each picture's path."""
        return paint_set(self.raw, self._counts())

    def commands(self) -> list[list[str]]:
        """Return the arguments of `psp` for the four commands."""
        data = self.folder / "data"
        pictures = self.raw / "images" / "val"
        return [
            ["prepare", "scenes", str(self.raw), "-o", str(data)],
            ["train", str(data), "-o", str(self.run)],
            ["evaluate", str(self.run)],
            ["predict", str(pictures), "-m", str(self.run), "-o", str(self.predicted)],
        ]

    def evaluation(self) -> dict[str, Any]:
        """Return what `psp evaluate` has stored."""
        (path,) = (self.run / "evaluations").glob("*.json")
        stored: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return stored

    def to_dict(self) -> dict[str, Any]:
        """Return where the results are, and the main scores, as plain JSON types."""
        stored = self.evaluation()
        scores = {key: stored[key] for key in ("miou", "mean_accuracy", "pixel_accuracy")}
        folders = {"out": self.folder, "run": self.run, "sheet": self.sheet, "report": self.report}
        return {key: str(path) for key, path in folders.items()} | scores | {"scenes": self.scenes}

    def scores(self) -> str:
        """Return the scores of `psp evaluate`, as a sentence."""
        scores = self.evaluation()
        return (
            f"mIoU {100 * scores['miou']:.2f}, mean accuracy {100 * scores['mean_accuracy']:.2f}, "
            f"pixel accuracy {100 * scores['pixel_accuracy']:.2f} on {scores['images']} scenes "
            "that the network was not trained on"
        )

    def draw_sheet(self) -> None:
        """Draw validation scenes beside their labels and the network's predictions."""
        card = find_card("scenes")
        names = _varied_scenes(self.raw, card)
        rows = []
        for name in names:
            image = decode_image((self.raw / "images/val" / name).read_bytes(), name)
            target, prediction = (
                decode_label((folder / name).read_bytes(), name).astype(np.uint8)
                for folder in (self.raw / "labels/val", self.predicted / "labels")
            )
            overlays = [overlay(image, label, card.palette) for label in (target, prediction)]
            rows.append([image, *overlays])
        key = legend(card.names, card.palette, width=700)
        page = sheet(rows, ["scene", "label", "psp"], 170, key)
        with atomic_write(self.sheet) as temporary:
            temporary.write_bytes(encode_jpeg(page))


def _varied_scenes(raw: Path, card: Card) -> Sequence[str]:
    """Return the names of validation scenes that together show as many classes as possible."""
    paths = sorted((raw / "labels/val").iterdir())
    labels = [decode_label(path.read_bytes(), path.name) for path in paths]
    shown = [set(np.unique(label).tolist()) & set(range(len(card.classes))) for label in labels]
    return [paths[index].name for index in most_varied(shown, SHEET_ROWS)]
