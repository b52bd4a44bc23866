"""All formats of labeling tools by name, and which of them an export has."""

from psp.annotations.format import Format
from psp.annotations.place import Place
from psp.plugins import known_names, load_named

GROUP = "psp.annotations"  # the entry points of other packages' formats
FORMATS: dict[str, str] = {
    "coco": "psp.annotations.coco:COCO",
    "coco-panoptic": "psp.annotations.coco_panoptic:PANOPTIC",
    "cvat": "psp.annotations.cvat:CVAT",
    "darwin": "psp.annotations.darwin:DARWIN",
    "datumaro": "psp.annotations.datumaro:DATUMARO",
    "labelme": "psp.annotations.labelme:LABELME",
    "label-studio": "psp.annotations.label_studio:LABEL_STUDIO",
    "ultralytics": "psp.annotations.ultralytics:ULTRALYTICS",
    "cityscapes": "psp.annotations.cityscapes:CITYSCAPES",
    "supervisely": "psp.annotations.supervisely:SUPERVISELY",
    "roboflow-masks": "psp.annotations.roboflow_masks:ROBOFLOW_MASKS",
    "voc": "psp.annotations.voc:VOC",
    "masks": "psp.annotations.masks:MASKS",
}
# Trees of masks are also made from a tool's own files: asked for, in this order, without those.
MASKS = ("voc", "masks")


def recognize(place: Place) -> dict[str, Format]:
    """Return the formats that the files at `place` may have, by name; usually one, or none.

    Masks are what is left where no labeling tool's own files are found.
    """
    formats = _loaded()
    masks = {name: formats.pop(name) for name in MASKS}
    found = {name: format for name, format in formats.items() if format.recognizes(place)}
    for name, format in masks.items():
        if not found and format.recognizes(place):
            found[name] = format
    return found


def titles() -> dict[str, str]:
    """Return the title of each format, by name."""
    return {name: format.title for name, format in _loaded().items()}


def _loaded() -> dict[str, Format]:
    names = known_names(FORMATS, GROUP)
    return {name: load_named(FORMATS, GROUP, name, f"format '{name}'") for name in names}
