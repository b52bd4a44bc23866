"""The gallery: index.html, a page to look through all pictures of a folder of results.

Each picture has a thumbnail in gallery/: one JPEG with the photo on the left and the classes'
colors on the right. A picture is finished without it, so that folders of calls with --no-gallery or
--part go on; what is missing is made from the picture and its label map when the page is.
"""

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import quote

import cv2
import numpy as np
from numpy.typing import NDArray

from psp.errors import PspError
from psp.files import read_bytes, write
from psp.images.encoding import encode_jpeg
from psp.images.labels import decode_label
from psp.pages.gallery import Gallery, GalleryPicture, Missing, Output, gallery_page
from psp.plugins import load_named
from psp.predict.photos import decode_photo
from psp.predict.settings import read_settings
from psp.predict.writers.labels import LABELS
from psp.predict.writers.writer import Prediction, Results, Writer
from psp.render import Palette, colors
from psp.workers import cores, prefetch_map

FOLDER, SUFFIX, PAGE = "gallery", ".jpg", "index.html"
MOST = 5000  # pictures on the page
SIDE = 480  # pixels, the longer one of a thumbnail
BLOCK = 16  # JPEG's: the photo ends where one does, so that no color gets into it
SHOWN = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".avif"})  # by browsers


def thumbnail(prediction: Prediction) -> bytes:
    """Return a JPEG with the photo and the classes' colors, each `SIDE` pixels long at most."""
    return _thumbnail(prediction.image, prediction.labels, prediction.palette)


def _thumbnail(image: NDArray[np.uint8], labels: NDArray[np.uint8], palette: Palette) -> bytes:
    height, width = labels.shape
    scale = min(1.0, SIDE / max(height, width))
    size = max(BLOCK, round(width * scale / BLOCK) * BLOCK), max(1, round(height * scale))
    photo = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    small = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST)
    both = np.concatenate([photo, colors(np.asarray(small, np.uint8), palette)], axis=1)
    return encode_jpeg(np.asarray(both, np.uint8), 82)


def page(results: Results) -> bytes:
    """Return the page; thumbnails that are not there are written first, where they can be."""
    records = list(islice(results, MOST))
    threads = min(4, cores())
    there = prefetch_map(lambda record: _has_thumbnail(results, record), records, threads)
    outputs = _outputs(results)
    pictures = [
        _picture(results, record, outputs, has) for record, has in zip(records, there, strict=True)
    ]
    settings = read_settings(results.out) or {}
    total = sum(1 for _ in results)
    return gallery_page(
        Gallery(
            how=f"Predicted with {settings.get('weights', 'a network')}",
            notes=_notes(total),
            classes=results.classes,
            colors=["#{:02x}{:02x}{:02x}".format(*color) for color in results.palette],
            outputs=outputs,
            pictures=pictures,
            failed=[Missing(r["name"], r["error"]) for r in islice(results.failed(), MOST)],
            left_out=[Missing(str(path), kind) for path, kind in results.left_out.examples],
            left_out_text=str(results.left_out),
        )
    )


def _notes(total: int) -> list[str]:
    if total <= MOST:
        return []
    return [f"These are the first {MOST:,} of {total:,} pictures, by name."]


def _has_thumbnail(results: Results, record: dict[str, Any]) -> bool:
    """Whether a picture has a thumbnail. If not, it is made from the label map, if there is one."""
    path = results.out / FOLDER / f"{record['name']}{SUFFIX}"
    labels = results.out / LABELS.folder / f"{record['name']}{LABELS.suffix}"
    source = Path(record["source"])
    try:
        if path.is_file() and (FOLDER in record["written"] or not _is_newer(labels, path)):
            return True
        if not labels.is_file() or not source.is_file():
            return False
        ids = decode_label(read_bytes(labels), str(labels))
        image = decode_photo(read_bytes(source), str(source))
        if ids.shape != image.shape[:2]:
            return False  # the picture has changed
        write(path, _thumbnail(image, np.asarray(ids, np.uint8), results.palette))
    except (PspError, OSError):
        return False  # the page shows the picture's name and shares all the same
    return True


def _is_newer(path: Path, other: Path) -> bool:
    return path.is_file() and path.stat().st_mtime_ns > other.stat().st_mtime_ns


def _outputs(results: Results) -> list[Output]:
    """Return the kinds of files that a picture may have: psp's own, and those of this call."""
    from psp.predict.writers.registry import GROUP, WRITERS

    own = [load_named(WRITERS, GROUP, name, name) for name in WRITERS if name != FOLDER]
    writers = {writer.name: writer for writer in (*own, *results.writers) if writer.write}
    return [
        Output(writer.name, writer.folder, writer.suffix)
        for name, writer in writers.items()
        if name != FOLDER
    ]


def _picture(
    results: Results, record: dict[str, Any], outputs: list[Output], thumbnail: bool
) -> GalleryPicture:
    source = PurePath(record["source"])
    ids = {name: index for index, name in enumerate(results.classes)}
    return GalleryPicture(
        name=record["name"],
        address=_address(record["name"]),
        photo=_address(os.path.relpath(source, os.path.abspath(results.out))),
        shown=source.suffix.lower() in SHOWN,
        thumbnail=thumbnail,
        height=record["height"],
        width=record["width"],
        shares=[(ids[name], share) for name, share in record["shares"].items() if name in ids],
        uncertainty=record.get("uncertainty"),
        outputs=list(_written(record, outputs)),
    )


def _written(record: dict[str, Any], outputs: list[Output]) -> Iterator[int]:
    names = set(record.get("written", ())) - record.get("packed", {}).keys()
    return (index for index, output in enumerate(outputs) if output.title in names)


def _address(path: str) -> str:
    """Return a path as an address relative to the page; bytes that are no UTF-8 stay what they are.

    A first part with a colon would be taken for a protocol, but `quote` escapes it.
    """
    return quote(os.fsencode(path))


GALLERY = Writer(
    name=FOLDER,
    folder=FOLDER,
    suffix=SUFFIX,
    write=thumbnail,
    confidence=True,
    optional=True,
    file=PAGE,
    collect=page,
)
