"""All formats of labeling tools by name, and which of them an export has."""

from psp.annotations.format import Format
from psp.annotations.place import Place
from psp.plugins import load_named

GROUP = "psp.annotations"  # the entry points of other packages' formats
FORMATS: dict[str, str] = {
    "coco": "psp.annotations.coco:COCO",
    "coco-panoptic": "psp.annotations.coco_panoptic:PANOPTIC",
    "labelme": "psp.annotations.labelme:LABELME",
    "masks": "psp.annotations.masks:MASKS",
}
PLAIN = "masks"  # what files are that no labeling tool left its own notes with


def recognize(place: Place) -> dict[str, Format]:
    """Return the formats that the files at `place` may have, by name; usually one, or none.

    Plain masks are asked for last, and only if no tool's own format was found.
    """
    formats = {name: load_named(FORMATS, GROUP, name, f"format '{name}'") for name in FORMATS}
    plain = formats.pop(PLAIN)
    found = {name: format for name, format in formats.items() if format.recognizes(place)}
    return found or ({PLAIN: plain} if plain.recognizes(place) else {})
