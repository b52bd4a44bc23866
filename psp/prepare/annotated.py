"""From an export's record of a picture to class ids: painted, turned with its photo, looked up."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from psp.annotations.paint import paint_shapes, read_mask
from psp.annotations.records import IGNORED, UNDRAWN, AnnotatedPicture, MaskFile, Shape
from psp.data.card import IGNORE, Exports
from psp.errors import PspError
from psp.images.orientation import swaps_sides, upright

Size = tuple[int, int]  # height, width


class AnnotatedLabels:
    """Makes label maps from records, as the card's table [exports] says."""

    def __init__(self, table: Exports) -> None:
        self.table = table
        self.names = tuple(table.labels)
        # Looked up with the negative values, too: they count from the end.
        values = [*table.labels.values(), *([IGNORE] * -IGNORED)]
        values[UNDRAWN] = table.undrawn
        values[IGNORED] = IGNORE
        self.ids = np.array(values, np.uint8)

    def painted(
        self, picture: AnnotatedPicture, shapes: tuple[Shape, ...], stored: Size, orientation: int
    ) -> tuple[NDArray[np.uint8], bool]:
        """Return class ids (H, W) of a photo that is turned upright, and whether they were turned.

        `stored` is the photo's size before the turn. Shapes are drawn on the upright photo, unless
        the size that their file states is the stored one. Raises PspError if it is neither, naming
        the file: drawn on a smaller copy, or on another picture.
        """
        turned_size = stored[::-1] if swaps_sides(orientation) else stored
        drawn_on = turned_size
        if picture.size is not None:
            drawn_on = (picture.size[1], picture.size[0])
        if drawn_on not in (turned_size, stored):
            raise PspError(
                f"{picture.source}: '{picture.wanted}' was {drawn_on[1]}x{drawn_on[0]} pixels when "
                f"it was drawn on, and is {turned_size[1]}x{turned_size[0]}. Give the folder of "
                "the pictures that were labeled: --images DIR"
            )
        height, width = drawn_on
        painted = paint_shapes(picture, shapes, height, width, self.names, self.table.order)
        ids = self.ids[painted]
        if drawn_on != turned_size:
            return upright(ids, orientation), True
        return ids, False

    def read(self, mask: MaskFile, data: bytes) -> NDArray[np.uint8]:
        """Return class ids (H, W) of a mask file's content, as it is stored. Raises PspError."""
        return self.ids[read_mask(mask, data, self.names)]


def check_sizes(label: NDArray[Any], size: Size, where: str, image: str) -> None:
    """Raise PspError, naming both files, if a label is not of its picture's size (H, W)."""
    if label.shape != size:
        raise PspError(
            f"{where}: {label.shape[1]}x{label.shape[0]} pixels, but {image} "
            f"has {size[1]}x{size[0]}. They do not belong together: replace one of them."
        )
