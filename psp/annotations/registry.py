"""All formats of labeling tools by name, and which of them an export has."""

from psp.annotations.format import Format
from psp.annotations.place import Place
from psp.plugins import load_named

GROUP = "psp.annotations"  # the entry points of other packages' formats
FORMATS: dict[str, str] = {
    "coco": "psp.annotations.coco:COCO",
    "coco-panoptic": "psp.annotations.coco_panoptic:PANOPTIC",
    "labelme": "psp.annotations.labelme:LABELME",
}


def recognize(place: Place) -> dict[str, Format]:
    """Return the formats that the files at `place` may have, by name; usually one, or none."""
    formats = {name: load_named(FORMATS, GROUP, name, f"format '{name}'") for name in FORMATS}
    return {name: format for name, format in formats.items() if format.recognizes(place)}
