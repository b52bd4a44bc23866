"""Whether two lists of class names are the same classes, and the positions in the other list.

Programs list the classes of a data set in different orders, and spell some names differently. The
channels of a network belong to its own list; under another list they would be silently wrong. So
nothing is guessed: two names are the same class if they are spelled alike, or if `SPELLINGS` has
them, and any other list is an error.
"""

import re
from collections.abc import Sequence

from psp.errors import PspError

Color = tuple[int, int, int]
# Names in published files that are other spellings of a card's: (theirs, the card's).
SPELLINGS = frozenset(
    {
        # mmsegmentation, mmseg/datasets/pascal_context.py; the card has those of the data set's
        # own labels.txt.
        ("bedclothes", "bedcloth"),
        ("cloth", "clothes"),
        ("table", "diningtable"),
    }
)


def class_positions(theirs: Sequence[str], ours: Sequence[str]) -> tuple[int, ...]:
    """Return for each class of `ours` its position in `theirs`.

    Two names are the same class if they are equal but for case, blanks, - and _, or, of those then
    left over, if `SPELLINGS` says so. Names still left over are taken as renamed, but only if every
    other class has the same position in both lists and these are more than half of all: then the
    list is evidently the same one with a few names changed. Raises PspError otherwise.
    """
    if len(theirs) != len(ours):
        raise PspError(f"it names {len(theirs)} classes, not {len(ours)}")
    given = [_plain(name) for name in theirs]
    repeated = next(
        (name for name, plain in zip(theirs, given, strict=True) if given.count(plain) > 1), None
    )
    if repeated is not None:
        raise PspError(f"it names two classes '{repeated}'")
    index_of = {name: index for index, name in enumerate(given)}
    names = [_plain(name) for name in ours]
    positions = {i: index_of[name] for i, name in enumerate(names) if name in index_of}
    free = {given[index] for index in set(range(len(given))) - set(positions.values())}
    positions |= {
        i: index_of[other]
        for i, name in enumerate(names)
        if i not in positions
        for other in free
        if (other, name) in SPELLINGS
    }
    unknown = [index for index in range(len(ours)) if index not in positions]
    same_order = all(position == index for index, position in positions.items())
    if unknown and not (same_order and 2 * len(positions) > len(ours)):
        index = unknown[0]
        raise PspError(
            f"its classes do not match the card's: class {index} of the card is '{ours[index]}', "
            f"of the file '{theirs[index]}'"
        )
    return tuple(positions.get(index, index) for index in range(len(ours)))


def remarks(theirs: Sequence[str], ours: Sequence[str], positions: Sequence[int]) -> list[str]:
    """Return what the user should know about `positions`: another order, and other names."""
    sentences = []
    moved = sum(position != index for index, position in enumerate(positions))
    if moved:
        sentences.append(
            f"its classes are in another order than the card's; {moved} were put into the card's"
        )
    pairs = [(theirs[position], name) for position, name in zip(positions, ours, strict=True)]
    renamed = [f"{old} → {new}" for old, new in pairs if _plain(old) != _plain(new)]
    if renamed:
        more = f" and {len(renamed) - 4} more" if len(renamed) > 4 else ""
        sentences.append(f"classes with another name in the card: {', '.join(renamed[:4])}{more}")
    return sentences


def color_remarks(
    theirs: Sequence[Color] | None, ours: Sequence[Color], positions: Sequence[int] | None
) -> list[str]:
    """Return a remark where a file's colors are not the card's; `positions` as above, if known.

    Raises PspError where the positions are not known, and the colors are the card's in another
    order: then the classes are, too.
    """
    if theirs is None or len(theirs) != len(ours):
        return []
    if positions is None:
        if list(theirs) != list(ours) and sorted(theirs) == sorted(ours):
            raise PspError("it names no classes, and its colors are the card's in another order")
        positions = range(len(ours))
    other = sum(theirs[position] != ours[i] for i, position in enumerate(positions))
    return [f"its colors of {other} classes are not the card's, which are kept"] if other else []


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name.casefold())
