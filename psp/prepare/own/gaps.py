"""How much of the pictures is undrawn: a class of its own, or only gaps between the shapes?"""

from collections.abc import Sequence

import numpy as np

from psp.annotations.paint import paint_shapes
from psp.annotations.records import UNDRAWN, AnnotatedPicture, Export, MaskFile
from psp.errors import PspError

FEW = 0.15  # of the pixels: who draws objects on a background leaves more undrawn
_SAMPLES = 4  # pictures that are painted to see it


def about_gaps(exports: Sequence[Export]) -> str:
    """Return what to say if little is undrawn in pictures with shapes, else ""."""
    samples = [
        (picture, export)
        for export in exports
        if not export.covered
        for picture in export.pictures
        if picture.size and picture.drawn and not isinstance(picture.drawn, MaskFile)
    ]
    step = max(1, len(samples) // _SAMPLES)
    shares = [_undrawn(picture, export) for picture, export in samples[::step][:_SAMPLES]]
    known = [share for share in shares if share is not None]
    share = float(np.mean(known)) if known else 1.0
    if not 0 < share < FEW:
        return ""
    return (
        f"nothing is drawn on {100 * share:.0f}% of the pixels: if that is gaps between shapes, "
        "and no class, leave them out with --undrawn ignore"
    )


def _undrawn(picture: AnnotatedPicture, export: Export) -> float | None:
    """Return the share of a picture's pixels that nothing covers; None if it cannot be painted."""
    assert picture.size and not isinstance(picture.drawn, MaskFile)
    width, height = picture.size
    try:
        painted = paint_shapes(picture, picture.drawn, height, width, export.classes, export.order)
    except PspError:  # its error is reported when it is converted
        return None
    return float((painted == UNDRAWN).mean())
