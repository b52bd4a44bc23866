"""Files and lists that should be there and are not: the error, and what to do."""

from pathlib import Path

from psp.annotations.matching import nearest_files
from psp.data.card import SplitEntry
from psp.errors import PspError
from psp.lists.read import MissingListError
from psp.prepare.layouts.layout import Layout, Source, SplitPairs

UNPACK = "Unpack the download again"  # for official downloads


class MissingError(PspError):
    """Files of the data set are missing; `files` has all of their paths."""

    def __init__(self, message: str, files: list[str]) -> None:
        super().__init__(message)
        self.files = files


def located(
    layout: Layout, source: Source, root: Path, split: SplitEntry, official: bool
) -> SplitPairs:
    """Return the pairs of a split. Raises PspError for a missing list, with what to do."""
    try:
        return layout.pairs(source, root, split)
    except MissingListError as error:
        remedy = "Write it, or change 'list' in the card"
        raise PspError(f"{error} {UNPACK if official else remedy}") from None


def missing_message(
    raw: Path,
    missing: dict[str, str],
    incomplete: list[str],
    unused: list[str],
    *,
    official: bool,
) -> str:
    """Return an error of missing files (with the line of a list that names them) and what to do.

    `incomplete` says what is wrong with the splits, `unused` which other files there are.
    """
    first = next(iter(missing), "")
    message = f"{first}: missing" if missing else f"{raw}: {incomplete[0]}"
    if missing and missing[first]:
        message += f", named in {missing[first]}"
    if len(missing) > 1:
        message += f" and {len(missing) - 1} more files"
    more = "; ".join([*(incomplete if missing else incomplete[1:]), *unused])
    message += f" ({more})" if more else ""
    if official:
        remedy = f" {UNPACK}, or use"
    elif missing:
        path = Path(first)
        there = path.parent.iterdir() if path.parent.is_dir() else ()
        remedy = f"{nearest_files(path, there)} Rename the files to match, or use"
    else:
        remedy = " Change the card's splits, or use"
    return f"{message}.{remedy} what is there with --allow-incomplete"
