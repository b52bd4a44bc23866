"""Masks of photos that a camera turned: upright as their photos, by their own tag or their size."""

from typing import Any

from numpy.typing import NDArray

from psp.images.labels import label_orientation
from psp.images.orientation import UPRIGHT, swaps_sides, upright
from psp.images.tiff import tiff_orientation

# What is counted, and said at the end.
TURNED = "masks were turned with their photos (EXIF), as their sizes say"
HALF_TURN = (
    "photos are turned by their EXIF orientation; whether their masks were drawn on the upright "
    "photo cannot be seen from the sizes: taken as upright"
)
# What stands in a PNG or WebP that may have a tag: without it the file is not opened again.
_SIGNS = (b"eXIf", b"Raw profile type exif", b"EXIF", b"tiff:Orientation")


def upright_mask(
    raw: NDArray[Any],
    data: bytes,
    where: str,
    orientation: int,
    size: tuple[int, int],
    notes: list[str],
) -> NDArray[Any]:
    """Return a mask (H, W), turned as its photo of `size` is: by its own tag, or as its size says.

    `data` is the mask's file, `orientation` the photo's. A mask without a tag is taken to be drawn
    on the upright photo; only a quarter turn shows in its size. `notes` gets what was assumed.
    Raises PictureError for a file that is no picture.
    """
    if tiff_orientation(data) != UPRIGHT:
        return raw  # it was turned when it was read
    if any(sign in data for sign in _SIGNS):  # seldom
        own = label_orientation(data, where)
        if own != UPRIGHT:
            return upright(raw, own)
    if orientation == UPRIGHT:
        return raw
    if swaps_sides(orientation) and raw.shape != size and raw.shape[::-1] == size:
        notes.append(TURNED)
        return upright(raw, orientation)
    if not swaps_sides(orientation) or size[0] == size[1]:
        notes.append(HALF_TURN)
    return raw
