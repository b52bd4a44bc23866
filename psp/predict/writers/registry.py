"""The writers by name. To add one, write its file and add its line here."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from psp.errors import PspError
from psp.plugins import known_names, load_named

if TYPE_CHECKING:
    from psp.predict.writers.writer import Writer

WRITERS = {
    "labels": "psp.predict.writers.labels:LABELS",
    "overlays": "psp.predict.writers.overlays:OVERLAYS",
    "probabilities": "psp.predict.writers.probabilities:PROBABILITIES",
    "npy": "psp.predict.writers.npy:NPY",
    "coco": "psp.predict.writers.coco:COCO",
    "labelme": "psp.predict.writers.labelme:LABELME",
    "uncertain": "psp.predict.writers.uncertain:UNCERTAIN",
    "shares": "psp.predict.writers.shares:SHARES",
    "gallery": "psp.predict.writers.gallery:GALLERY",
}
DEFAULT = ("labels", "overlays")
GROUP = "psp.writers"  # of entry points


def find_writers(names: Iterable[str] = DEFAULT) -> tuple["Writer", ...]:
    """Return the writers of these names, each once, in this order.

    Raises PspError for an unknown name, for one of another package that is no writer, and for none.
    """
    writers = tuple(_find_writer(name) for name in dict.fromkeys(names))
    if not writers:
        raise PspError(f"--write: name at least one of {', '.join(known_names(WRITERS, GROUP))}")
    return writers


def _find_writer(name: str) -> "Writer":
    from psp.predict.writers.writer import Writer  # here, so that --help loads no numpy

    writer = load_named(WRITERS, GROUP, name, f"--write {name}")
    if not isinstance(writer, Writer) or writer.name != name:
        raise PspError(
            f"--write {name}: the entry point of that name is no Writer, or one of another name. "
            "Update or uninstall its package"
        )
    return writer
