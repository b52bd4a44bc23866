"""How pictures are stored: as they are, shrunk, encoded again, or as arrays."""

from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from psp.data.label_codec import label_codec
from psp.images.encoding import encode_jpeg, encode_png
from psp.images.heif import is_avif, is_heif
from psp.images.jpeg import JPEG

SHRUNKEN_JPEG = 95  # quality of a JPEG that was shrunk and encoded again
_HEIF = "png"  # how HEIC and AVIF are stored, so that reading shards needs no extra
HEIF_AS_PNG = (  # counted, and said at the end
    "HEIC or AVIF pictures were decoded and are stored as PNG: lossless, 8 bits a color; "
    "--reencode jpeg:95 takes less space"
)
# What is counted, and said at the end.
LOST = (
    "pictures lost the last pixels of a class when they were shrunk: a larger --max-side, or none, "
    "keeps them"
)


@dataclass(frozen=True)
class Conversion:
    """How pictures are stored.

    `store` is "encoded" (the original files, labels compressed) or "raw" (arrays). `reencode` is a
    JPEG quality: pictures of lossless formats are compressed with it. Pictures with a side above
    `max_side` pixels are shrunk to it, their labels by nearest neighbor.
    """

    store: str = "encoded"
    reencode: int | None = None
    max_side: int | None = None
    upright: bool = False  # turn photos by their EXIF orientation, and their masks with them

    def to_dict(self) -> dict[str, Any]:
        """Return the choices as JSON can hold them: two of them that are equal store the same."""
        choices = asdict(self)
        if self.upright:
            return {**choices, "heif": _HEIF}
        del choices["upright"]  # as for the official sets
        return choices

    def header(self) -> dict[str, Any]:
        """Return what shards say of it: the choices, and how labels are encoded."""
        return self.to_dict() | ({} if self.store == "raw" else {"labels": label_codec()})

    def remarks(self) -> list[str]:
        """Return notes for the user on pictures that are not stored unchanged."""
        remarks = []
        if self.reencode is not None:
            remarks.append(
                f"pictures of lossless formats are now JPEG {self.reencode}, which is lossy"
            )
        return remarks


def stored_form(
    conversion: Conversion, data: bytes, image: NDArray[np.uint8], label: NDArray[np.uint8] | None
) -> tuple[bytes, NDArray[np.uint8] | None, tuple[int, int], list[str]]:
    """Return the bytes, the label, the size (H, W) to store, and what is to be counted and said.

    `data` is the picture's file, `image` its pixels (H, W, 3), `label` its class ids (H, W).
    """
    jpeg = data.startswith(JPEG)
    png = (is_heif(data) or is_avif(data)) and conversion.reencode is None
    notes = [HEIF_AS_PNG] if png and conversion.store == "encoded" else []
    shrunken = conversion.max_side is not None and max(image.shape[:2]) > conversion.max_side
    if shrunken:
        assert conversion.max_side is not None
        image = _shrink(image, conversion.max_side, cv2.INTER_AREA)
        if label is not None:
            label = _shrink(label, conversion.max_side, cv2.INTER_NEAREST_EXACT)
        notes.append(
            f"pictures with a side above {conversion.max_side} pixels were shrunk to it, with "
            "their labels"
        )
    if conversion.store == "raw":
        data = image.tobytes()
    elif conversion.reencode is not None and not jpeg:
        data = encode_jpeg(image, conversion.reencode)
    elif png:
        data = encode_png(image)
    elif shrunken:
        data = encode_jpeg(image, SHRUNKEN_JPEG) if jpeg else encode_png(image)
    return data, label, (image.shape[0], image.shape[1]), notes


def _shrink(picture: NDArray[np.uint8], side: int, interpolation: int) -> NDArray[np.uint8]:
    height, width = picture.shape[:2]
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(picture, size, interpolation=interpolation), np.uint8)
