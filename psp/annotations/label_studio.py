"""Label Studio's JSON: tasks with annotations, its short form (JSON_MIN), or bare predictions.

Coordinates are percent of the picture's size; brush strokes are packed RGBA (rle.py). A later
result lies on top. Of several annotations of a task the one that is marked as ground truth counts,
else the last; cancelled ones never do. Classes come from the labeling configuration, if it lies
beside the export, else they are the labels seen, sorted.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

from psp.annotations.format import Format, ReadOptions
from psp.annotations.label_config import read_config
from psp.annotations.label_studio_results import shapes_of
from psp.annotations.numbers import short
from psp.annotations.pictures import PICTURES, Pictures, path_of_url, path_parts, stem_of
from psp.annotations.place import Place
from psp.annotations.records import AnnotatedPicture, Export
from psp.annotations.remarks import Remarks
from psp.errors import PspError

_HEADS = (
    '"result"', '"was_cancelled"', '"from_name"', '"original_width"', '"file_upload"', '"rle"',
    '"annotation_id"', '"annotator"', '"predictions"', '"completions"',
)  # fmt: skip
_UPLOADED = re.compile(r"^data/upload/(\d+/)?")


@dataclass(frozen=True)
class _Annotation:
    """The results for one picture; `item` names the task."""

    item: str
    task: object
    wanted: str
    results: Any
    is_cancelled: bool = False
    is_truth: bool = False


def recognizes(place: Place) -> bool:
    """Whether a JSON file has tasks or results, or begins so and is broken."""
    return any(_is_likely(place, n) and _is_export(place, n) for n in place.named(".json"))


def read(place: Place, options: ReadOptions) -> Export:
    """Return the export.

    Raises PspError for broken JSON, a broken configuration, and two files about the same pictures.
    """
    files, remarks = Pictures(place), Remarks()
    pictures: list[AnnotatedPicture] = []
    for name in (n for n in place.named(".json") if _is_likely(place, n)):
        value = place.json(name)
        if _is_export_value(value):
            annotations = list(_annotations(value, name, remarks))
            pictures += _pictures(place.path(name), annotations, files, remarks)
    _mark_doubles(pictures)
    pictures = _with_short_names(pictures)
    seen = sorted({s.label for p in pictures if isinstance(p.drawn, tuple) for s in p.drawn})
    config = read_config(place)
    return Export(
        format="Label Studio",
        classes=tuple(dict.fromkeys((*config.classes, *seen))),
        pictures=tuple(pictures),
        colors=config.colors,
        remarks=remarks.lines(),
    )


def _is_likely(place: Place, name: str) -> bool:
    head = place.head(name)
    return any(key in head for key in _HEADS) and '"shapes"' not in head


def _is_export(place: Place, name: str) -> bool:
    try:
        return _is_export_value(place.json(name))
    except PspError:
        head = place.head(name)
        return sum(key in head for key in _HEADS) > 1


def _is_export_value(value: object) -> bool:
    items = value if isinstance(value, list) else [value]
    return any(isinstance(item, dict) and _kind(item) for item in items[:1000])


def _kind(item: Mapping[str, Any]) -> str:
    """Return "task", "results" or "short" (JSON_MIN), or "" for something else."""
    if "images" in item or "item" in item:
        return ""
    is_task = {"annotations", "completions", "predictions"} & item.keys()
    if is_task and isinstance(item.get("data"), dict):
        return "task"
    if "result" in item:
        return "results"
    return "short" if {"annotation_id", "annotator"} & item.keys() else ""


def _annotations(value: Any, name: str, remarks: Remarks) -> Iterator[_Annotation]:
    """Yield what was drawn by whom, for each task of a file."""
    for position, item in enumerate(value if isinstance(value, list) else [value]):
        kind = _kind(item) if isinstance(item, dict) else ""
        if not kind:
            remarks.add("{n} item{s} left out: no task", f"{name}: [{position}]")
            continue
        task = item.get("task", item.get("id")) if kind == "results" else item.get("id")
        where = f"task {short(task)}" if isinstance(task, int | str) else f"[{position}]"
        key = task if isinstance(task, int | str) else f"#{position}"
        if kind == "short":
            yield _Annotation(where, key, _wanted(item, ""), _short_results(item))
            continue
        wanted = _wanted(item.get("data"), item.get("file_upload"))
        drawn = item.get("annotations", item.get("completions"))
        drawn = [item] if kind == "results" else drawn
        if not drawn:
            only = " but with predictions" if item.get("predictions") else ""
            remarks.add(f"{{n}} task{{s}} without annotations{only} left out", f"{name}: {where}")
            continue
        for one in drawn if isinstance(drawn, list) else [drawn]:
            if not isinstance(one, dict):
                yield _Annotation(where, key, wanted, one)
                continue
            is_cancelled = bool(one.get("was_cancelled") or one.get("skipped"))
            is_truth = one.get("ground_truth") is True
            yield _Annotation(where, key, wanted, one.get("result"), is_cancelled, is_truth)


def _short_results(item: Mapping[str, Any]) -> list[Any]:
    """Return JSON_MIN's results: lists of values under the names of the configuration's tags."""
    values = (value for value in item.values() if isinstance(value, list))
    return [one for value in values for one in value if isinstance(one, dict)]


def _wanted(data: object, upload: object) -> str:
    """Return the path of a task's picture, or "" if it names none, or several."""
    items = data if isinstance(data, dict) else {}
    keys = [key for key in items if key != "image" and "thumb" not in key.lower()]
    image = items.get("image")
    if isinstance(image, list) and len(image) == 1:
        image = image[0]
    texts = [image, upload, *(items[key] for key in keys)]
    paths = [path for path in (_path(text) for text in texts if isinstance(text, str)) if path]
    return next((p for p in paths if p.lower().endswith(PICTURES)), paths[0] if paths else "")


def _path(text: str) -> str:
    """Return the path in a URL or path, without what Label Studio puts before uploads."""
    if len(text) > 10_000:
        return ""
    local = parse_qs(text.partition("?")[2]).get("d", [""])[0]
    path = local or path_of_url(text)
    if path == text:
        path = unquote(text.partition("?")[0])
    return _UPLOADED.sub("", "/".join(path_parts(path)))


def _pictures(
    path: Path, annotations: Iterable[_Annotation], files: Pictures, remarks: Remarks
) -> Iterator[AnnotatedPicture]:
    """Yield one picture a task, with the annotation that counts."""
    tasks: defaultdict[object, list[_Annotation]] = defaultdict(list)
    for annotation in annotations:
        tasks[annotation.task].append(annotation)
    for several in tasks.values():
        where = f"{path.name}: {several[0].item}"
        valid = [annotation for annotation in several if not annotation.is_cancelled]
        if not valid:
            remarks.add("{n} task{s} left out: skipped (cancelled) when labeling", where)
            continue
        if len(valid) > 1:
            text = "{n} task{s} with several annotations: the one that is marked as ground truth "
            remarks.add(f"{text}counts, else the last", where)
        chosen = next((one for one in reversed(valid) if one.is_truth), valid[-1])
        yield _picture(path, chosen, files, remarks)


def _picture(
    path: Path, annotation: _Annotation, files: Pictures, remarks: Remarks
) -> AnnotatedPicture:
    wanted = annotation.wanted
    name = stem_of(wanted) or annotation.item
    picture = AnnotatedPicture(name=name, source=path, wanted=wanted, image=None)
    try:
        if not wanted:
            raise ValueError("no picture, or several, in its data")
        picture = replace(picture, image=files.find(wanted))
        shapes, stated = shapes_of(annotation.results, annotation.item, path.name, remarks)
    except ValueError as error:
        return replace(picture, problem=f"{path}: {annotation.item}: {error}")
    return replace(picture, drawn=shapes, size=stated)


def _mark_doubles(pictures: list[AnnotatedPicture]) -> None:
    """Give the pictures of several tasks a problem. Raises PspError if they are of two files."""
    places: defaultdict[str, list[int]] = defaultdict(list)
    for position, picture in enumerate(pictures):
        if picture.wanted:
            places[str(picture.image or picture.wanted)].append(position)
    for positions in places.values():
        sources = dict.fromkeys(pictures[position].source for position in positions)
        if len(sources) > 1:
            one, other = list(sources)[:2]
            raise PspError(
                f"{one} and {other.name} are about the same pictures. Give one of the two alone"
            )
        for position in positions if len(positions) > 1 else ():
            picture = pictures[position]
            reason = f"{picture.wanted} is the picture of {len(positions)} tasks. Remove the others"
            if not picture.problem:
                pictures[position] = replace(picture, problem=f"{picture.source}: {reason}")


def _with_short_names(pictures: list[AnnotatedPicture]) -> list[AnnotatedPicture]:
    """Name pictures without the folders of their addresses, where that stays unique."""
    short_names = [picture.name.rpartition("/")[2] for picture in pictures]
    if len(set(short_names)) < len(pictures):
        return pictures
    return [replace(p, name=name) for p, name in zip(pictures, short_names, strict=True)]


LABEL_STUDIO = Format("Label Studio JSON", recognizes, read)
