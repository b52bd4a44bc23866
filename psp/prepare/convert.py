"""Check and convert one pair of files. Only here raw label values are mapped to class ids."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from psp.annotations.records import AnnotatedPicture, MaskFile, Shape
from psp.data.card import IGNORE, Card
from psp.data.label_codec import encode_ids
from psp.data.staging import Sample, Staged, stage
from psp.errors import PspError
from psp.files import read_bytes
from psp.images.heif import is_avif, is_heif
from psp.images.labels import (
    decode_color_label,
    decode_label,
    histogram,
)
from psp.images.orientation import UPRIGHT, swaps_sides
from psp.images.pictures import check_image, decode_image
from psp.prepare.annotated import AnnotatedLabels
from psp.prepare.conversion import LOST, Conversion, stored_form
from psp.prepare.layouts.layout import Pair
from psp.prepare.palettes import labels_by_palette
from psp.prepare.turning import TURNED, upright_mask

UNKNOWN = -1  # in the lookup table: a raw value that is not in the card


class BadPairError(PspError):
    """A pair that cannot be converted; `problems` has one line for each thing that is wrong."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems

    def __reduce__(self) -> tuple[type, tuple[list[str]]]:
        return BadPairError, (self.problems,)  # pickled between processes


class Converter:
    """Converts pairs of files into samples and appends them to a staging file in `folder`."""

    def __init__(self, card: Card, conversion: Conversion, folder: Path) -> None:
        self.card, self.conversion, self.folder = card, conversion, folder
        self.table = raw_to_id_table(card)
        colors = [(r << 16) | (g << 8) | b for r, g, b in card.palette]
        self.color_to_ids = {
            color: [index for index, other in enumerate(colors) if other == color]
            for color in colors
        }
        self.byte_table = self.table[:256].astype(np.uint8)  # UNKNOWN is refused separately
        self.keeps_files = replace(conversion, upright=False) == Conversion()
        self.annotated = AnnotatedLabels(card.exports) if card.exports else None
        cv2.setNumThreads(1)  # each core has a process

    def __call__(self, task: tuple[str, Pair]) -> Staged | BadPairError:
        """Convert a (shard name, pair); return where its sample is, or what is wrong with it.

        An error is returned, not raised, so that the other pairs are still converted.
        """
        shard, pair = task
        sample = self._sample(pair)
        return sample if isinstance(sample, BadPairError) else stage(self.folder, shard, sample)

    def _sample(self, pair: Pair) -> Sample | BadPairError:
        if pair.drawn is not None and pair.drawn.problem:
            return BadPairError([pair.drawn.problem])
        problems: list[str] = []
        notes: list[str] = []
        orientation, turn = UPRIGHT, self.conversion.upright
        data = image = size = raw = None
        try:
            data = _picture_bytes(pair)
            boxed = is_heif(data) or is_avif(data)  # which are upright when they are decoded
            if (self.keeps_files or turn) and not boxed:
                height, width, tag = check_image(data, str(pair.image), notes)
                orientation = tag if turn else UPRIGHT
                size = (width, height) if swaps_sides(orientation) else (height, width)
            if not self.keeps_files or boxed:
                asked = None if size else notes
                image = decode_image(data, str(pair.image), turn=turn, notes=asked)
                size = (image.shape[0], image.shape[1])
        except PspError as error:
            problems.append(str(error))
        if pair.drawn is not None and isinstance(pair.drawn.drawn, tuple):
            try:
                if size is not None:
                    raw = self._painted(pair.drawn, pair.drawn.drawn, size, orientation, notes)
            except PspError as error:
                problems.append(str(error))
        elif pair.label is not None:
            try:
                stored_label = read_bytes(pair.label)
                raw = self._raw_label(pair, pair.label, stored_label)
                if size is not None and turn and pair.label.suffix != ".mat":
                    raw = upright_mask(raw, stored_label, str(pair.label), orientation, size, notes)
            except PspError as error:
                problems.append(str(error))
        if raw is not None and size is not None and raw.shape != size:
            problems.append(
                f"{pair.label}: {raw.shape[1]}x{raw.shape[0]} pixels, but {pair.image.name} "
                f"has {size[1]}x{size[0]}. They do not belong together: replace one of them."
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
            data, label, size, said = stored_form(self.conversion, data, image, label)
            before, counts = counts, counts if label is None else histogram(label)
            notes += [*said, LOST] if ((before > 0) & (counts == 0)).any() else said
        stored = b""
        if label is not None:
            stored = label.tobytes() if self.conversion.store == "raw" else encode_ids(label)
        pixels = np.append(counts[: len(self.card.classes)], counts[IGNORE])
        return Sample(pair.name, data, stored, size, pixels, tuple(notes))

    def _painted(
        self,
        picture: AnnotatedPicture,
        shapes: tuple[Shape, ...],
        size: tuple[int, int],
        orientation: int,
        notes: list[str],
    ) -> NDArray[np.uint8]:
        """Return the class ids of what was drawn on a photo, which is of this size when upright."""
        assert self.annotated is not None
        stored = size[::-1] if swaps_sides(orientation) else size
        ids, turned = self.annotated.painted(picture, shapes, stored, orientation)
        if turned:
            notes.append(TURNED)
        return ids

    def _raw_label(self, pair: Pair, path: Path, data: bytes) -> NDArray[Any]:
        if pair.drawn is not None and isinstance(pair.drawn.drawn, MaskFile):
            assert self.annotated is not None
            return self.annotated.read(pair.drawn.drawn, data)
        if path.suffix == ".mat":
            # Loading scipy takes 0.1 s in every process, and few data sets need it.
            from psp.prepare.matlab import read_label

            if pair.names:
                self._check_names(data, pair.names, str(path))
            return read_label(data, pair.variable, str(path))
        if self.card.labels == "colors":
            return decode_color_label(data, str(path))
        raw = decode_label(data, str(path))
        names = self.card.names
        return labels_by_palette(raw, data, str(path), self.table, self.color_to_ids, names)

    def _check_names(self, data: bytes, variable: str, where: str) -> None:
        """Raise PspError if a MATLAB file's names, counted from 1, are not the card's.

        Names of raw values that the card ignores may be there, too.
        """
        from psp.prepare.matlab import read_names

        names = read_names(data, variable, where)
        if names is None:
            return
        plain = [name.strip().lower() for name in names]
        wanted = {raw: entry.name for entry in self.card.classes for raw in entry.raw}
        if any(plain[raw - 1 : raw] != [name] for raw, name in wanted.items()):
            raise PspError(
                f"{where}: its class names are not those of card {self.card.name}: "
                f"{', '.join(names[:4])}, … Is this file from this data set?"
            )

    def _ids(self, raw: NDArray[Any], pair: Pair) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Return the class ids (H, W) of raw values, and how often each id occurs, (256,).

        Raises PspError for values that are not in the card.
        """
        if pair.drawn is not None:  # these are class ids
            return raw.astype(np.uint8), histogram(raw.astype(np.uint8))
        counts = np.zeros(256, np.int64)
        if raw.dtype == np.uint8:
            # Faster for bytes: one histogram, then a lookup by OpenCV.
            raw_counts = histogram(raw)
            values = np.flatnonzero(raw_counts)
            ids = self.table[values]
            unknown = values[ids == UNKNOWN]
            for index, count in zip(ids.tolist(), raw_counts[values].tolist(), strict=True):
                counts[index] += count
            label = np.asarray(cv2.LUT(raw, self.byte_table), np.uint8)
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
        """Return what the unknown values are, and where they may come from."""
        if self.card.labels == "colors":
            shown = ", ".join(f"#{value:06x}" for value in values[:8])
            return (
                f"colors {shown}{', …' if len(values) > 8 else ''} are not in card "
                f"{self.card.name}. Add them to a class or to ignore_from, or correct the file."
            )
        shown = ", ".join(map(str, values[:8])) + (", …" if len(values) > 8 else "")
        text = (
            f"label values {shown} are not in card {self.card.name} (its values are those in "
            "'from' and 'ignore_from')."
        )
        if {int(value) for value in values} <= self._gray_levels():
            return (
                f"{text} They are gray levels of its classes' colors: were the masks converted to "
                "grayscale? Take the official files"
            )
        return f"{text} Is this label from this data set?"

    def _gray_levels(self) -> set[int]:
        """Return the gray levels of the palette's colors: a palette PNG that was read as gray."""
        colors = np.array([*self.card.palette, (224, 224, 192)], np.uint8)  # and VOC's void
        gray = cv2.cvtColor(colors[None], cv2.COLOR_RGB2GRAY)
        return {int(value) for value in gray.ravel()}


def _picture_bytes(pair: Pair) -> bytes:
    """Return the picture's file, or the picture that an annotation file or a video has in it."""
    if pair.drawn is not None and pair.drawn.frame is not None:
        from psp.annotations.video import read_frame

        return read_frame(pair.image, pair.drawn.frame)
    if pair.drawn is not None and pair.drawn.embedded:
        from psp.annotations.labelme import embedded_picture

        return embedded_picture(pair.image)
    return read_bytes(pair.image)


def raw_to_id_table(card: Card) -> NDArray[np.int16]:
    """Return the lookup table from raw label values to class ids, UNKNOWN for other values."""
    size = 1 << 24 if card.labels == "colors" else 1 << 16
    table = np.full(size, UNKNOWN, np.int16)
    for raw, index in card.raw_to_id().items():
        table[raw] = index
    return table
