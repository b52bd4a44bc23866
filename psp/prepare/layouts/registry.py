"""All layouts by name, and what a folder is that is not the download that was asked for."""

from pathlib import Path

from psp.data.card import Card
from psp.errors import PspError
from psp.plugins import load_named
from psp.prepare.layouts.layout import Layout, entries

GROUP = "psp.layouts"  # the entry points of other packages' layouts
LAYOUTS = {
    "ade20k": "psp.prepare.layouts.ade20k:LAYOUT",
    "annotated": "psp.prepare.layouts.annotated:LAYOUT",
    "bdd100k": "psp.prepare.layouts.bdd100k:LAYOUT",
    "camvid": "psp.prepare.layouts.camvid:LAYOUT",
    "cityscapes": "psp.prepare.layouts.cityscapes:LAYOUT",
    "cocostuff": "psp.prepare.layouts.cocostuff:LAYOUT",
    "cocostuff10k": "psp.prepare.layouts.cocostuff10k:LAYOUT",
    "context": "psp.prepare.layouts.context:LAYOUT",
    "folders": "psp.prepare.layouts.folders:LAYOUT",
    "kitti": "psp.prepare.layouts.kitti:LAYOUT",
    "lmo": "psp.prepare.layouts.lmo:LAYOUT",
    "mapillary": "psp.prepare.layouts.mapillary:LAYOUT",
    "voc": "psp.prepare.layouts.voc:LAYOUT",
}
ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar")


def find_layout(card: Card) -> Layout:
    """Return the card's layout. Raises PspError if it is unknown, or the card does not fit it."""
    subject = f"card {card.name}: layout '{card.layout}'"
    layout = load_named(LAYOUTS, GROUP, card.layout, subject)
    if not isinstance(layout, Layout):
        raise PspError(f"{subject}: its entry point in {GROUP} is not a Layout. Report it there")
    if layout.has_folders and card.folders is None:
        raise PspError(f"{subject} needs a table [folders] in the card.")
    if card.folders is not None and not layout.has_folders:
        raise PspError(f"{subject} does not read a table [folders]. Remove it from the card")
    return layout


def find_download(raw: Path, layout: Layout) -> Path:
    """Return the root folder of a layout's files, given the folder `raw` of the user.

    Raises PspError that says what `raw` is instead, if that is recognized.
    """
    root = layout.root(raw) if raw.exists() else None
    if root is not None:
        return root
    if raw.is_file():
        kind = "an archive. Unpack it first, and give" if _is_archive(raw.name) else "a file. Give"
        raise PspError(f"{raw}: {kind} the folder of {layout.description}.")
    if not raw.is_dir():
        raise PspError(
            f"{raw}: no such folder. Give the unpacked download of {layout.description}."
        )
    hint = _recognize(raw, layout) or "Give the folder that the official archive unpacks to."
    raise PspError(f"{raw}: this is not {layout.description}. {hint}")


def _recognize(raw: Path, wanted: Layout) -> str | None:
    """Return a sentence on what a folder is and what to do, or None."""
    mistake = wanted.hint(raw) if wanted.hint else None
    if mistake:
        return mistake
    for name in LAYOUTS:
        other: Layout = load_named(LAYOUTS, GROUP, name, name)
        if other is not wanted and other.card and other.root(raw):
            return f"It looks like {other.description}: psp prepare {other.card} {raw}"
    names = [path.name for path in entries(raw)]
    if not names:
        return "The folder is empty: unpack the download into it."
    archives = [name for name in names if _is_archive(name)]
    if archives:
        return f"There is an archive in it, {archives[0]}: unpack that first."
    return None


def _is_archive(name: str) -> bool:
    return name.lower().endswith(ARCHIVES)
