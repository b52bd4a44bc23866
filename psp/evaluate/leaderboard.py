"""Label files as a benchmark's server wants them: class ids back to the official raw values.

VOC 2012 takes palette PNGs in results/VOC2012/Segmentation, ADE20K gray PNGs that count from 1,
Cityscapes PNGs of its label ids. Which value means a class is the card's to say; it can, where a
class was made of one raw value.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from psp.data.card import Card
from psp.data.shards import ShardSplit
from psp.errors import PspError
from psp.files import write
from psp.images import encode_color, encode_label, encode_palette


class Leaderboard:
    """Writes the label files of a split. Raises PspError where card or shards cannot give them."""

    def __init__(self, folder: Path, shards: ShardSplit) -> None:
        side = shards.conversion["max_side"]
        if side is not None:
            raise PspError(
                f"--save-labels: the pictures in {shards.folder} were shrunk to {side} pixels, a "
                "benchmark wants label files of the full size. Prepare them without --max-side"
            )
        self.folder, self.card, self.split = folder, shards.card, shards.stored_split
        self._raw = _raw_values(shards.card)

    def write(self, name: str, label: NDArray[np.uint8]) -> None:
        """Write the file of one picture, uint8 (H, W) of class ids."""
        path = Path(f"{name}.png")
        if self.card.layout == "voc":
            # comp6: trained on any data, as a network that starts from ImageNet is.
            path = Path(f"results/VOC2012/Segmentation/comp6_{self.split}_cls") / path
            data = encode_palette(label, self.card.palette)
        elif self.card.labels == "colors":
            data = encode_color(self._raw[label])
        else:
            raw = self._raw[label]
            wide = self._raw.max() > np.iinfo(np.uint8).max
            data = encode_label(raw.astype(np.uint16) if wide else raw.astype(np.uint8))
        write(self.folder / path, data)


def _raw_values(card: Card) -> NDArray[np.int64]:
    """Return the one raw value of each class, (classes,)."""
    for number, entry in enumerate(card.classes):
        if len(entry.raw) != 1:
            raise PspError(
                f"--save-labels: card {card.name}: class {number} '{entry.name}' stands for "
                f"{len(entry.raw)} raw values, and which of them a pixel has cannot be said."
            )
        if card.layout == "voc" and entry.raw != (number,):
            raise PspError(
                f"--save-labels: card {card.name}: class {number} '{entry.name}' has the raw value "
                f"{entry.raw[0]}; files for VOC hold the official ids. Take the card voc2012"
            )
    return np.array([entry.raw[0] for entry in card.classes], np.int64)
