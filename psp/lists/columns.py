"""Which column of a list has the pictures, which the masks, which the split, and which are unused.

A header row says it by its words; without one, file types, names of folders, and numbers do.
"""

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from psp.errors import PspError
from psp.lists.rows import SPLITS, Row, is_number, suffix

# Words of header rows, the clearest first.
_PICTURES = (
    frozenset({"image", "images", "img", "imgs", "picture", "pictures", "photo", "photos", "rgb"}),
    frozenset({"file", "files", "filename", "filenames", "path", "paths", "filepath", "imagepath"}),
    frozenset({"imagename", "imagefile", "name", "names", "frame", "input", "source", "sample"}),
    frozenset({"id", "ids", "imageid", "x"}),
)
_MASKS = frozenset(
    {
        "ann",
        "annotation",
        "annotations",
        "anns",
        "groundtruth",
        "gt",
        "label",
        "labelpath",
        "labels",
        "lbl",
        "mask",
        "maskname",
        "maskpath",
        "masks",
        "output",
        "seg",
        "segmentation",
        "segmentations",
        "target",
        "targets",
        "truth",
        "y",
    }
)
_SPLIT_TITLES = frozenset({"split", "subset", "set", "partition", "phase", "usage", "stage"})
_MASK_PLACES = _MASKS | {
    "segmentationclass",
    "segmentationclassaug",
    "gtfine",
    "annot",
    "indexlabel",
}
_PHOTO_TYPES = frozenset({".jpg", ".jpeg", ".webp"})  # of lossy formats: never a mask's


@dataclass(frozen=True)
class Columns:
    """The columns' places from 0; `titles` are those of a header row, () if there is none."""

    picture: int
    mask: int | None
    split: int | None
    unused: tuple[int, ...]
    titles: tuple[str, ...] = ()

    def title(self, at: int) -> str:
        """Return what to call a column in a message."""
        named = at < len(self.titles) and self.titles[at]
        return f"'{self.titles[at]}'" if named else str(at + 1)


def find_columns(
    rows: list[Row], where: str, exists: Callable[[str], bool]
) -> tuple[Columns, list[Row]]:
    """Return the columns, and the rows without the header. Raises PspError if they are unclear.

    `exists` tells whether a cell names a picture that is there.
    """
    head = rows[0]
    body = [row for row in rows[1:] if not row.whole]
    titles = _header(head, rows[1:], exists)
    if len(rows) == 1 and _has_both_words(head.cells):
        raise PspError(f"{where}: the list is empty: its only line names the columns.")
    table = body if titles else [row for row in rows if not row.whole]
    width = max((len(row.cells) for row in table), default=1)
    contents = [[row.cells[at] for row in table if at < len(row.cells)] for at in range(width)]
    contents = [[cell for cell in cells if cell] for cells in contents]
    split = _split_column(contents, titles)
    named = [at for at in range(width) if contents[at] and at != split]
    free = [at for at in named if not all(map(is_number, contents[at]))]
    if not any(contents):  # all lines are names that are there
        return Columns(0, None, None, (), titles), rows[1:] if titles else rows
    if titles:
        columns = _by_titles(titles, contents, free or named, where, head.line)
    else:
        columns = _by_contents(contents, free, named, exists)
    picture, mask = columns
    rest = tuple(at for at in named if at not in (picture, mask))
    found = Columns(picture, mask, split, rest, titles)
    if not titles:
        _refuse_words(found, table, where)
    return found, rows[1:] if titles else rows


def _header(head: Row, body: Sequence[Row], exists: Callable[[str], bool]) -> tuple[str, ...]:
    """Return the titles if a row is a header: by its words, or only others have file types."""
    cells = head.cells
    if head.whole or any(suffix(cell) or is_number(cell) for cell in cells) or not body:
        return ()
    typed = [any(suffix(cell) for cell in row.cells) for row in body]
    words = [_words(cell) for cell in cells]
    pictures = any(w & known for w in words for known in _PICTURES)
    if len(cells) == 1:  # one column: a name, unless it says that it is none
        single = words[0] <= frozenset().union(*_PICTURES) and (
            all(typed) or exists(body[0].cells[0])
        )
        return cells if single and not exists(cells[0]) else ()
    masks = any(w & _MASKS for w in words)
    if body[0].whole:
        return ()
    others = any(w & _SPLIT_TITLES for w in words) or not all(cells)
    return cells if (pictures and (masks or others)) or all(typed) else ()


def _has_both_words(cells: Sequence[str]) -> bool:
    words = [_words(cell) for cell in cells if not suffix(cell)]
    pictures = any(w & known for w in words for known in _PICTURES)
    return len(cells) > 1 and pictures and any(w & _MASKS for w in words)


def _words(title: str) -> frozenset[str]:
    """Return the words of a title such as image_path, ImagePath or "mask file"."""
    apart = re.sub(r"([a-z])([A-Z])", r"\1 \2", title)
    words = re.findall(r"[a-z]+", apart.lower())
    return frozenset([*words, "".join(words)])


def _split_column(contents: list[list[str]], titles: tuple[str, ...]) -> int | None:
    for at, cells in enumerate(contents):
        values = {cell.lower() for cell in cells}
        if not values or any(map(suffix, values)) or all(map(is_number, values)):
            continue
        titled = at < len(titles) and bool(_words(titles[at]) & _SPLIT_TITLES)
        if (values & SPLITS.keys()) if titled else (values <= SPLITS.keys() and len(contents) > 1):
            return at
    return None


def _by_titles(
    titles: tuple[str, ...], contents: list[list[str]], free: list[int], where: str, line: int
) -> tuple[int, int | None]:
    """Return the columns of pictures and masks that the titles name, or the contents show."""
    words = {at: _words(title) for at, title in enumerate(titles)}
    free = [at for at in free if at in words]
    masks = [at for at in free if words[at] & _MASKS]

    def rank(at: int) -> tuple[int, int, int]:
        kind = next((k for k, known in enumerate(_PICTURES) if words[at] & known), len(_PICTURES))
        return (not any(map(suffix, contents[at][:1])), kind, at)

    pictures = [at for at in free if at not in masks and any(words[at] & k for k in _PICTURES)]
    if not pictures:  # one of numbers, or an empty one
        every = [at for at in range(len(titles)) if at not in masks]
        pictures = [at for at in every if any(_words(titles[at]) & k for k in _PICTURES)][:1]
    if not pictures:
        rest = [at for at in free if at not in masks]
        pictures = [at for at in rest if suffix(contents[at][0])] or rest
    typed = [at for at in masks if suffix(contents[at][0])]
    masks = typed or masks
    if len(masks) > 1:
        plain = [at for at in masks if words[at] <= _MASKS]
        masks = plain if len(plain) == 1 else masks
    if len(masks) > 1:
        both = " and ".join(f"'{titles[at]}'" for at in masks[:2])
        raise PspError(
            f"{where}: line {line}: {both} both may be the column of the masks. Leave one out"
        )
    if not pictures and masks and suffix(contents[masks[0]][0]):
        pictures, masks = masks, []
    if not pictures:
        shown = ", ".join(title or "(empty)" for title in titles)
        raise PspError(
            f"{where}: line {line}: which column has the pictures? Its columns are {shown}. Name "
            "it 'image', and that of the masks 'mask'"
        )
    known = any(words[at] & k for at in pictures for k in _PICTURES)
    picture = min(pictures, key=rank)
    if not masks and not known:  # titles in no known words: by what is in the columns
        masks = [at for at in free if at != picture and suffix(contents[at][0])][:1]
    return picture, masks[0] if masks else None


def _by_contents(
    contents: list[list[str]], free: list[int], named: list[int], exists: Callable[[str], bool]
) -> tuple[int, int | None]:
    """Return the columns of pictures and masks by file types, else the first and none."""
    typed = [at for at in free if all(map(suffix, contents[at]))]
    if not typed:
        typed = [at for at in free if any(map(suffix, contents[at]))]
    if not typed:
        counted = named and named[0] not in free and len(free) > 0 and _is_index(contents[named[0]])
        first = free[0] if counted else named[0] if named else 0
        there = [at for at in named if exists(contents[at][0])]
        return (there[0] if there and first not in there else first), None
    untyped = [at for at in free if at < typed[0] and at not in typed]
    if len(typed) == 1 and untyped:  # a name without file type, and its mask
        return untyped[0], typed[0]
    if len(typed) == 1:
        return typed[0], None
    first, second = typed[:2]
    return (second, first) if _is_mask_first(contents[first], contents[second]) else (first, second)


def _is_index(cells: Collection[str]) -> bool:
    numbers = [float(cell) for cell in cells]
    return numbers == [numbers[0] + step for step in range(len(numbers))]


def _is_mask_first(first: list[str], second: list[str]) -> bool:
    """Whether the first of two columns has the masks: by file types, or words in the paths."""
    lossy = [{suffix(cell) for cell in cells} & _PHOTO_TYPES for cells in (first, second)]
    if bool(lossy[0]) != bool(lossy[1]):
        return bool(lossy[1])
    return _in_mask_place(first[0]) and not _in_mask_place(second[0])


def _in_mask_place(cell: str) -> bool:
    path = PurePosixPath(cell.replace("\\", "/"))
    return any(_words(part) & _MASK_PLACES for part in (*path.parts[:-1], path.stem))


def _refuse_words(columns: Columns, table: Sequence[Row], where: str) -> None:
    """Raise PspError for a cell behind the pictures and masks that is no number, without titles."""
    for at in columns.unused:
        for row in table:
            cell = row.cells[at] if at < len(row.cells) else ""
            if cell and not is_number(cell):
                raise PspError(
                    f"{where}: line {row.line} has more than a picture and its mask: '{cell}'. "
                    "Leave that column out, or name the columns in a first line: image,mask"
                )
