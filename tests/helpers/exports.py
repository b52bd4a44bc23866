"""Reading an export as prepare does, and painting all of its pictures."""

from pathlib import Path

import numpy as np
from PIL import Image

from psp.annotations.format import ReadOptions
from psp.annotations.paint import paint_shapes, read_mask
from psp.annotations.place import Place
from psp.annotations.records import IGNORED, UNDRAWN, MaskFile
from psp.annotations.registry import recognize
from psp.errors import PspError
from psp.files import read_bytes


def read_export(path, name):
    """Read an export that is recognized as this format and no other."""
    place = Place(Path(path))
    found = recognize(place)
    assert list(found) == [name]
    return found[name].read(place, ReadOptions())


def picture_named(export, name):
    return next(p for p in export.pictures if p.name.rsplit("/", 1)[-1] == name)


def paint(picture, height, width, names, order):
    """Paint a picture from its shapes or its mask file."""
    if isinstance(picture.drawn, MaskFile):
        return read_mask(picture.drawn, read_bytes(picture.drawn.path), names)
    return paint_shapes(picture, picture.drawn, height, width, names, order)


def painted(export, name, height, width, ids, **options):
    """Paint the picture of this name with the ids of an answer."""
    return painted_picture(export, picture_named(export, name), height, width, ids, **options)


def painted_picture(export, picture, height, width, ids, order=None, undrawn=0, ignored=255):
    """Paint a picture with the ids of an answer."""
    assert not picture.problem
    result = paint(picture, height, width, export.classes, order or export.order)
    table = np.array([ids.get(name, -9) for name in export.classes] + [ignored, undrawn])
    assert (IGNORED, UNDRAWN) == (-2, -1)
    label = table[result]
    assert (label >= 0).all()
    return label


def compare(export, folder, *, only_picture=False, **options):
    """Yield the name, the painted picture and the answer, for each answer in a folder."""
    lines = (Path(folder) / "classes.txt").read_text(encoding="utf-8").splitlines()
    pairs = (line.split("\t")[0].split(" ", 1) for line in lines)
    ids = {name: int(number) for number, name in pairs}
    for path in sorted(Path(folder).glob("*.png")):
        answer = np.array(Image.open(path))
        picture = export.pictures[0] if only_picture else picture_named(export, path.stem)
        label = painted_picture(export, picture, *answer.shape, ids, **options)
        yield path.stem, label, answer


def first_problem(export, height=40, width=60):
    """Return the first line that reading or painting an export says is wrong, or ""."""
    for picture in export.pictures:
        try:
            if picture.problem:
                raise PspError(picture.problem)
            paint(picture, height, width, export.classes, export.order)
        except PspError as error:
            assert "\n" not in str(error)
            return str(error)
    return ""
