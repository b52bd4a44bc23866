"""What is worth saying of picture files that are read: to be counted, and said with the number."""

import numpy as np
from PIL import Image

from psp.images.headers import is_webp, lacks_png_end
from psp.images.jpeg import jpeg_lacks_end
from psp.images.tiff import counted_pages

NO_END = "pictures lack the end mark of their file, but no pixel"
SEVERAL = "files have several pictures or frames, of which the first is used"
TRANSPARENT = "pictures have transparent pixels: the colors under them are used"


def remarks(picture: Image.Image, data: bytes) -> list[str]:
    """Return what is worth saying of a loaded picture and its file."""
    found = []
    if jpeg_lacks_end(data) or lacks_png_end(data) or _lacks_webp_end(data):
        found.append(NO_END)
    # The second picture of a phone's JPEG (MPO) is a map of light or depth.
    if picture.format != "MPO" and picture_count(picture, data) > 1:
        found.append(SEVERAL)
    if _is_transparent(picture):
        found.append(TRANSPARENT)
    return found


def picture_count(picture: Image.Image, data: bytes) -> int:
    """Return how many pictures a file has."""
    if picture.format == "TIFF":
        return counted_pages(data)
    return int(getattr(picture, "n_frames", 1))


def _lacks_webp_end(data: bytes) -> bool:
    return is_webp(data) and len(data) < 8 + int.from_bytes(data[4:8], "little")


def _is_transparent(picture: Image.Image) -> bool:
    """Whether a pixel of a loaded picture is not opaque."""
    if not picture.has_transparency_data:
        return False
    if picture.mode not in ("RGBA", "LA"):
        picture = picture.convert("RGBA")
    return bool(np.asarray(picture.getchannel("A")).min() < 255)
