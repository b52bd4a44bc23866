"""One pair of files, checked and remapped: only here raw label values become class ids."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from psp.data.card import IGNORE, Card
from psp.data.staging import Sample, Staged, spool
from psp.errors import PspError
from psp.files import read_bytes
from psp.images import (
    check_image,
    decode_color_label,
    decode_image,
    decode_label,
    encode_jpeg,
    encode_label,
    encode_png,
    histogram,
    label_palette,
)
from psp.prepare.layouts.layout import Pair

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
    """Turns pairs of files into samples, by one card and one way of storing, and spools them."""

    def __init__(self, card: Card, conversion: Conversion, folder: Path) -> None:
        self.card, self.conversion, self.folder = card, conversion, folder
        self.table = raw_to_id_table(card)
        colors = ((r << 16) | (g << 8) | b for r, g, b in card.palette)
        self.painted = {color: number for number, color in enumerate(colors)}
        self.narrow = self.table[:256].astype(np.uint8)  # UNKNOWN is refused before it is used
        self.keeps_files = conversion == Conversion()
        cv2.setNumThreads(1)  # there is a process for every core

    def __call__(self, task: tuple[str, Pair]) -> Staged | BadPairError:
        """Convert a pair for the shard of a name; return where its sample lies, or what is wrong.

        That is returned, not raised, so that others go on.
        """
        shard, pair = task
        sample = self._sample(pair)
        return sample if isinstance(sample, BadPairError) else spool(self.folder, shard, sample)

    def _sample(self, pair: Pair) -> Sample | BadPairError:
        problems: list[str] = []
        data = image = size = raw = None
        try:
            data = read_bytes(pair.image)
            if self.keeps_files:
                size = check_image(data, str(pair.image))
            else:
                image = decode_image(data, str(pair.image))
                size = (image.shape[0], image.shape[1])
        except PspError as error:
            problems.append(str(error))
        if pair.label is not None:
            try:
                raw = self._raw_label(pair, pair.label)
            except PspError as error:
                problems.append(str(error))
        if raw is not None and size is not None and raw.shape != size:
            problems.append(
                f"{pair.label}: {raw.shape[1]}x{raw.shape[0]} pixels, but {pair.image.name} "
                f"has {size[1]}x{size[0]}. They do not belong together; replace one."
            )
        label, counts = None, np.zeros(256, np.int64)
        if raw is not None:
            try:
                label, counts = self._ids(raw, pair)
            except PspError as error:
                problems.append(str(error))
        if problems:
            return BadPairError(problems)
        assert data is not None and size is not None
        if image is not None:
            data, label, size = self._restored(data, image, label)
            counts = counts if label is None else histogram(label)
        stored = b""
        if label is not None:
            stored = label.tobytes() if self.conversion.store == "raw" else encode_label(label)
        pixels = np.append(counts[: len(self.card.classes)], counts[IGNORE])
        return Sample(pair.name, data, stored, size, pixels)

    def _raw_label(self, pair: Pair, path: Path) -> NDArray[Any]:
        data = read_bytes(path)
        if path.suffix == ".mat":
            # scipy takes a tenth of a second to load, in every process; few sets need it.
            from psp.prepare.matlab import read_label

            self._check_names(data, str(path))
            return read_label(data, pair.variable, str(path))
        if self.card.labels == "colors":
            return decode_color_label(data, str(path))
        raw = decode_label(data, str(path))
        self._check_palette(raw, data, str(path))
        return raw

    def _check_palette(self, raw: NDArray[Any], data: bytes, where: str) -> None:
        """Refuse a palette file that paints a class in the color of another.

        A program that opens a palette file as colors and saves it as a palette file again numbers
        the colors anew: every value is still known, and wrong.
        """
        contradicted = {
            value: self.painted[color]
            for value, color in label_palette(data).items()
            if color in self.painted
            and int(self.table[value]) not in (self.painted[color], UNKNOWN, IGNORE)
        }
        if not contradicted:
            return
        for value in np.flatnonzero(histogram(raw)).tolist():
            if value in contradicted:
                names = self.card.names
                raise PspError(
                    f"{where}: its palette paints value {value} in the color of "
                    f"'{names[contradicted[value]]}', but the value means "
                    f"'{names[self.table[value]]}'. Was it saved again with another palette? (If "
                    "it is right so, change the card's colors)"
                )

    def _check_names(self, data: bytes, where: str) -> None:
        """LMO's files carry the class names: they must be the card's, in its order."""
        if self.card.layout != "lmo":
            return
        from psp.prepare.matlab import read_names

        names = read_names(data, "names", where)
        if names is not None and [n.strip().lower() for n in names] != list(self.card.names):
            raise PspError(
                f"{where}: its class names are not those of card {self.card.name}: "
                f"{', '.join(names[:4])}, … Is it a file of this data set?"
            )

    def _ids(self, raw: NDArray[Any], pair: Pair) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Return the class ids of raw values, and how often each id occurs, (256,).

        Raises PspError for values that the card does not know.
        """
        counts = np.zeros(256, np.int64)
        if raw.dtype == np.uint8:
            # Bytes have a short way: counted once, looked up by OpenCV.
            found = histogram(raw)
            values = np.flatnonzero(found)
            ids = self.table[values]
            unknown = values[ids == UNKNOWN]
            for number, count in zip(ids.tolist(), found[values].tolist(), strict=True):
                counts[number] += count
            label = np.asarray(cv2.LUT(raw, self.narrow), np.uint8)
        else:
            outside = (raw < 0) | (raw >= len(self.table))
            wide = self.table[np.where(outside, 0, raw)]
            unknown = np.unique(raw[outside | (wide == UNKNOWN)])
            label = wide.astype(np.uint8)
            counts = histogram(label)
        if len(unknown):
            raise PspError(f"{pair.label}: {self._explain(unknown)}")
        return label, counts

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

    def _restored(
        self, data: bytes, image: NDArray[np.uint8], label: NDArray[np.uint8] | None
    ) -> tuple[bytes, NDArray[np.uint8] | None, tuple[int, int]]:
        """Return what is stored of a picture that is not kept as it came, its label and size."""
        how = self.conversion
        jpeg = data.startswith(JPEG)
        shrunken = how.max_side is not None and max(image.shape[:2]) > how.max_side
        if shrunken:
            assert how.max_side is not None
            image = _shrink(image, how.max_side, cv2.INTER_AREA)
            if label is not None:
                label = _shrink(label, how.max_side, cv2.INTER_NEAREST_EXACT)
        if how.store == "raw":
            data = image.tobytes()
        elif how.reencode is not None and not jpeg:
            data = encode_jpeg(image, how.reencode)
        elif shrunken:
            data = encode_jpeg(image, SHRUNKEN_JPEG) if jpeg else encode_png(image)
        return data, label, (image.shape[0], image.shape[1])


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
