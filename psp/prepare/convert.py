"""One pair of files, checked and remapped: only here raw label values become class ids."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from psp.cards import IGNORE, Card
from psp.errors import PspError
from psp.pictures import (
    decode_color_label,
    decode_image,
    decode_label,
    encode_jpeg,
    encode_label,
    encode_png,
)
from psp.prepare.matlab import read_label, read_names
from psp.prepare.pairs import Pair
from psp.shards import Sample

UNKNOWN = -1  # in the table: a raw value that the card does not name
JPEG = b"\xff\xd8\xff"
SHRUNKEN_JPEG = 95  # quality of a JPEG that had to be encoded again


@dataclass(frozen=True)
class Conversion:
    """How pictures are stored.

    `store` is "encoded" (the original files; labels as PNG) or "raw" (decoded arrays).
    `reencode` is a JPEG quality that pictures of lossless formats are compressed to. Pictures with
    a side above `max_side` pixels are shrunk to it, their labels by nearest neighbor.
    """

    store: str = "encoded"
    reencode: int | None = None
    max_side: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the choices as JSON can hold them."""
        return asdict(self)

    def remarks(self) -> list[str]:
        """Return what a user should know of pictures that are not stored as they came."""
        remarks = []
        if self.reencode is not None:
            remarks.append(f"pictures of lossless formats became JPEG {self.reencode}: lossy")
        if self.max_side is not None:
            remarks.append(
                f"pictures with a side above {self.max_side} pixels were shrunk to it, with their "
                "labels"
            )
        return remarks


class BadPairError(PspError):
    """A pair that cannot become a sample; `problems` has a line for each thing that is wrong."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems

    def __reduce__(self) -> tuple[type, tuple[list[str]]]:
        return BadPairError, (self.problems,)  # it travels between processes


class Converter:
    """Turns pairs of files into samples, by one card and one way of storing."""

    def __init__(self, card: Card, conversion: Conversion) -> None:
        self.card, self.conversion = card, conversion
        self.table = raw_to_id_table(card)
        self.narrow = self.table[:256].astype(np.uint8)  # UNKNOWN is refused before it is used
        cv2.setNumThreads(1)  # there is a process for every core

    def __call__(self, pair: Pair) -> Sample | BadPairError:
        """Return the sample, or what is wrong with its files (returned, so that others go on)."""
        problems: list[str] = []
        data = image = raw = None
        try:
            data = _read(pair.image)
            image = decode_image(data, str(pair.image))
        except PspError as error:
            problems.append(str(error))
        if pair.label is not None:
            try:
                raw = self._raw_label(pair, pair.label)
            except PspError as error:
                problems.append(str(error))
        if raw is not None and image is not None and raw.shape != image.shape[:2]:
            problems.append(
                f"{pair.label}: {raw.shape[1]}x{raw.shape[0]} pixels, but {pair.image.name} "
                f"has {image.shape[1]}x{image.shape[0]}. They do not belong together; replace one."
            )
        label = pixels = None
        if raw is not None:
            try:
                label, pixels = self._ids(raw, pair)
            except PspError as error:
                problems.append(str(error))
        if problems:
            return BadPairError(problems)
        assert data is not None and image is not None
        return self._sample(pair, data, image, label, pixels)

    def _raw_label(self, pair: Pair, path: Path) -> NDArray[Any]:
        data = _read(path)
        if path.suffix == ".mat":
            self._check_names(data, str(path))
            return read_label(data, pair.variable, str(path))
        if self.card.labels == "colors":
            return decode_color_label(data, str(path))
        return decode_label(data, str(path))

    def _check_names(self, data: bytes, where: str) -> None:
        """LMO's files carry the class names: they must be the card's, in its order."""
        if self.card.layout != "lmo":
            return
        names = read_names(data, "names", where)
        if names is not None and [n.strip().lower() for n in names] != list(self.card.names):
            raise PspError(
                f"{where}: its class names are not those of card {self.card.name}: "
                f"{', '.join(names[:4])}, … Is it a file of this data set?"
            )

    def _ids(self, raw: NDArray[Any], pair: Pair) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Return the class ids of raw values, and how many pixels each class has.

        Raises PspError for values that the card does not know.
        """
        if raw.dtype == np.uint8:
            # Bytes have a short way: counted once, looked up by OpenCV.
            counts = np.bincount(raw.ravel(), minlength=256)
            values = np.flatnonzero(counts)
            ids = self.table[values]
            unknown = values[ids == UNKNOWN]
            label = cv2.LUT(raw, self.narrow)
            pixels = np.zeros(IGNORE + 1, np.int64)
            np.add.at(pixels, ids.clip(0), counts[values])
        else:
            outside = (raw < 0) | (raw >= len(self.table))
            wide = self.table[np.where(outside, 0, raw)]
            unknown = np.unique(raw[outside | (wide == UNKNOWN)])
            label = wide.astype(np.uint8)
            pixels = np.bincount(label.ravel(), minlength=IGNORE + 1)
        if len(unknown):
            raise PspError(f"{pair.label}: {self._explain(unknown)}")
        return np.asarray(label, np.uint8), self._columns(pixels)

    def _columns(self, pixels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return a histogram of ids with those of no class in the last place: (classes + 1,)."""
        return np.append(pixels[: len(self.card.classes)], pixels[IGNORE]).astype(np.int64)

    def _explain(self, values: NDArray[Any]) -> str:
        """Say of unknown values what they are, and what they might have been."""
        if self.card.labels == "colors":
            shown = ", ".join(f"#{value:06x}" for value in values[:8])
            return (
                f"colors {shown}{', …' if len(values) > 8 else ''} are unknown to card "
                f"{self.card.name}. Add them to a class or to ignore_from, or repaint them."
            )
        shown = ", ".join(map(str, values[:8])) + (", …" if len(values) > 8 else "")
        text = (
            f"label values {shown} are unknown to card {self.card.name} ('from' and 'ignore_from' "
            "list those it knows)."
        )
        if {int(value) for value in values} <= self._grays():
            return (
                f"{text} They are gray levels of its classes' colors: were the masks read as "
                "pictures and saved again? Take the official files"
            )
        return f"{text} Is it a label of this data set?"

    def _grays(self) -> set[int]:
        """Return what is left of the palette where a palette PNG was read as gray."""
        colors = np.array([*self.card.palette, (224, 224, 192)], np.uint8)  # and VOC's void
        gray = cv2.cvtColor(colors[None], cv2.COLOR_RGB2GRAY)
        return {int(value) for value in gray.ravel()}

    def _sample(
        self,
        pair: Pair,
        data: bytes,
        image: NDArray[np.uint8],
        label: NDArray[np.uint8] | None,
        pixels: NDArray[np.int64] | None,
    ) -> Sample:
        how = self.conversion
        jpeg = data.startswith(JPEG)
        shrunken = how.max_side is not None and max(image.shape[:2]) > how.max_side
        if shrunken:
            assert how.max_side is not None
            image = _shrink(image, how.max_side, cv2.INTER_AREA)
            if label is not None:
                label = _shrink(label, how.max_side, cv2.INTER_NEAREST_EXACT)
                pixels = self._columns(np.bincount(label.ravel(), minlength=IGNORE + 1))
        if how.store == "raw":
            data = image.tobytes()
        elif how.reencode is not None and not jpeg:
            data = encode_jpeg(image, how.reencode)
        elif shrunken:
            data = encode_jpeg(image, SHRUNKEN_JPEG) if jpeg else encode_png(image)
        stored = b""
        if label is not None:
            stored = label.tobytes() if how.store == "raw" else encode_label(label)
        if pixels is None:
            pixels = np.zeros(len(self.card.classes) + 1, np.int64)
        return Sample(pair.name, data, stored, (image.shape[0], image.shape[1]), pixels)


def raw_to_id_table(card: Card) -> NDArray[np.int16]:
    """Return the lookup table from raw label values to class ids; UNKNOWN where there is none."""
    size = 1 << 24 if card.labels == "colors" else 1 << 16
    table = np.full(size, UNKNOWN, np.int16)
    for raw, number in card.raw_to_id().items():
        table[raw] = number
    return table


def _shrink(picture: NDArray[np.uint8], side: int, interpolation: int) -> NDArray[np.uint8]:
    height, width = picture.shape[:2]
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(picture, size, interpolation=interpolation), np.uint8)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise PspError(f"{path}: cannot be read: {error.strerror}.") from None
