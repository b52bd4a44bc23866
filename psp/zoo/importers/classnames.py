"""Whether two lists of class names are the same classes, and where each stands.

Programs spell a class in their own way (window, windowpane) and count them in their own order. A
network's channels mean what its own list says; labelled by another list they would be silently
wrong, so a class without a certain counterpart is an error.
"""

import re
from collections.abc import Callable, Sequence

from psp.errors import PspError


def places(theirs: Sequence[str], ours: Sequence[str]) -> tuple[int, ...]:
    """Return for each of `ours` the place of the same class in `theirs`.

    Two names are one class when they are equal but for case, spaces, - and _; then, of those left
    over, when one is the beginning of the other (cloth, clothes) or else its end (table,
    diningtable), and no second pair could be meant. What is still left over is taken as renamed
    where it stands, if no other class has moved and most are known. Raises PspError otherwise.
    """
    if len(theirs) != len(ours):
        raise PspError(f"it names {len(theirs)} classes, not {len(ours)}")
    given, wanted = [_plain(name) for name in theirs], [_plain(name) for name in ours]
    twice = next(
        (name for name, plain in zip(theirs, given, strict=True) if given.count(plain) > 1), None
    )
    if twice is not None:
        raise PspError(f"it names two classes '{twice}'")
    found: dict[int, int] = {}
    for same in (str.__eq__, _begins, _ends):
        found |= _pairs(given, wanted, found, same)
    left = [number for number in range(len(ours)) if number not in found]
    stay = all(place == number for number, place in found.items())
    if left and not (stay and 2 * len(found) > len(ours)):
        number = left[0]
        raise PspError(
            f"its classes cannot be matched with the card's: the card's class {number} is "
            f"'{ours[number]}', the file's '{theirs[number]}'"
        )
    return tuple(found.get(number, number) for number in range(len(ours)))


def _pairs(
    given: Sequence[str],
    wanted: Sequence[str],
    found: dict[int, int],
    same: Callable[[str, str], bool],
) -> dict[int, int]:
    """Return the places of names that have one counterpart among those left over."""
    left = [number for number in range(len(wanted)) if number not in found]
    free = sorted(set(range(len(given))) - set(found.values()))
    meant = {number: [p for p in free if same(given[p], wanted[number])] for number in left}
    taken = [place for candidates in meant.values() for place in candidates]
    return {
        number: candidates[0]
        for number, candidates in meant.items()
        if len(candidates) == 1 and taken.count(candidates[0]) == 1
    }


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name.casefold())


def _begins(one: str, other: str) -> bool:
    return one.startswith(other) or other.startswith(one)


def _ends(one: str, other: str) -> bool:
    return one.endswith(other) or other.endswith(one)


def differences(theirs: Sequence[str], ours: Sequence[str], where: Sequence[int]) -> list[str]:
    """Return what a person should know of `places`: that the order differs, and renamed classes."""
    remarks = []
    moved = sum(place != number for number, place in enumerate(where))
    if moved:
        remarks.append(f"its classes stand in another order than the card's; {moved} were moved")
    pairs = [(theirs[place], name) for place, name in zip(where, ours, strict=True)]
    renamed = [f"{old} → {new}" for old, new in pairs if _plain(old) != _plain(new)]
    if renamed:
        more = f" and {len(renamed) - 4} more" if len(renamed) > 4 else ""
        remarks.append(f"classes the card calls otherwise: {', '.join(renamed[:4])}{more}")
    return remarks
