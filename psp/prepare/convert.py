"""One pair of files, checked and remapped: only here raw label values become class ids."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from psp.cards import IGNORE, LARGEST_RAW, Card
from psp.errors import PspError
from psp.pictures import decode_image, decode_label, encode_label
from psp.prepare.pairs import Pair
from psp.shards import Sample

UNKNOWN = -1  # in the table: a raw value that the card does not name


def convert(card: Card, table: NDArray[np.int16], pair: Pair) -> Sample:
    """Read, check and remap one pair. Raises PspError that names the file."""
    image_bytes, label_bytes = _read(pair.image), _read(pair.label)
    image = decode_image(image_bytes, str(pair.image))
    raw = decode_label(label_bytes, str(pair.label))
    if raw.shape != image.shape[:2]:
        raise PspError(
            f"{pair.label}: {raw.shape[1]}x{raw.shape[0]} pixels, but {pair.image.name} "
            f"has {image.shape[1]}x{image.shape[0]}. They do not belong together; replace one."
        )
    ids = table[raw]
    if ids.min() == UNKNOWN:
        values = np.unique(raw[ids == UNKNOWN])
        shown = ", ".join(map(str, values[:8])) + (", …" if len(values) > 8 else "")
        raise PspError(
            f"{pair.label}: label values {shown} are unknown to card {card.name} ('from' and "
            "'ignore_from' list those it knows). Is it a label of this data set?"
        )
    label = ids.astype(np.uint8)
    counts = np.bincount(label.ravel(), minlength=IGNORE + 1)
    classes = len(card.classes)
    pixels = np.append(counts[:classes], counts[IGNORE]).astype(np.int64)
    height, width = label.shape
    return Sample(pair.name, image_bytes, encode_label(label), (height, width), pixels)


def raw_to_id_table(card: Card) -> NDArray[np.int16]:
    """Return the lookup table from raw label values to class ids; UNKNOWN where there is none."""
    table = np.full(LARGEST_RAW + 1, UNKNOWN, np.int16)
    for raw, number in card.raw_to_id().items():
        table[raw] = number
    return table


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise PspError(f"{path}: cannot be read: {error.strerror}.") from None
