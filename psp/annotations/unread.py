"""Tools whose own files are not read: known by words in them, so that a refusal says what to do."""

from dataclasses import dataclass

from psp.annotations.place import Place

_HEAD = 1 << 16  # bytes of a file that are looked at
_MOST = 50  # files that are


@dataclass(frozen=True)
class Unread:
    """A tool's files; all of `words` are in one of its files of this type (`suffix`).

    `spoils_masks` where pictures beside it look like masks of classes, and are none.
    """

    title: str
    suffix: str
    words: tuple[str, ...]
    instead: str
    spoils_masks: bool = False


AS_COCO = "Export as COCO (instances) instead"
UNREAD = (
    Unread(
        "a release of Segments.ai, whose pictures hold numbers of objects",
        ".json",
        ('"task_type"', '"samples"'),
        "Export it as COCO panoptic or as COCO instances (segments-ai: export_dataset)",
        spoils_masks=True,
    ),
    Unread(
        "Datumaro's own JSON",
        ".json",
        ('"categories"', '"items"'),
        "Convert it: datum convert -if datumaro -f coco_instances -- --save-media",
    ),
    Unread("VGG Image Annotator (VIA)", ".json", ('"shape_attributes"',), AS_COCO),
    Unread("VGG Image Annotator (VIA)", ".json", ('"_via_',), AS_COCO),
    Unread("VGG Image Annotator (VIA)", ".csv", ("region_shape_attributes",), AS_COCO),
    Unread("Labelbox", "json", ('"data_row"',), "Convert it to COCO or masks with Labelbox's SDK"),
    Unread("SuperAnnotate", ".json", ('"className"', '"instances"'), AS_COCO),
    Unread("boxes in Pascal VOC's XML", ".xml", ("<bndbox>",), "Boxes are no masks: draw regions"),
    Unread("the XML of MIT's LabelMe", ".xml", ("<polygon>", "<pt>"), "Draw with labelme or CVAT"),
)


def unread(place: Place, *, spoiling: bool = False) -> tuple[Unread, str] | None:
    """Return what a place holds that is not read, and the file that shows it; None if nothing.

    With `spoiling`, only what makes masks beside it another thing than they seem is looked for.
    """
    wanted = [one for one in UNREAD if one.spoils_masks or not spoiling]
    for suffix in dict.fromkeys(one.suffix for one in wanted):
        for name in place.named(suffix)[:_MOST]:
            head = place.head(name, _HEAD)
            for one in wanted:
                if one.suffix == suffix and all(word in head for word in one.words):
                    return one, name
    return None
