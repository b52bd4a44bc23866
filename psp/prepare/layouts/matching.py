"""Which mask belongs to which picture, by their names.

First by the same path below their folders, without file type. Where that leaves pictures without a
mask, one of the other ways in which programs name masks may explain all of them: it is then taken,
and said. A way that explains only some of them is a guess, and is not taken.
"""

import difflib
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from psp.errors import PspError

# What programs add to a picture's name for its mask.
_ADDITIONS = (
    "mask",
    "masks",
    "label",
    "labels",
    "seg",
    "segmentation",
    "gt",
    "annotation",
    "annotations",
    "labelids",
    "labeltrainids",
    "matte",
    "L",
)
_PICTURE_TYPES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")


def match(
    pictures: Mapping[str, Path], masks: Mapping[str, Path]
) -> tuple[dict[str, tuple[Path | None, Path | None]], list[str]]:
    """Return picture and mask of each name, and remarks on how they were matched.

    `pictures` and `masks` are files by their path below their folder, without file type. A file
    without a partner stands alone. Raises PspError where one way gives a picture several masks.
    """
    pairs: dict[str, tuple[Path | None, Path | None]] = {
        name: (pictures[name], masks[name]) for name in pictures.keys() & masks.keys()
    }
    lone = {name: path for name, path in pictures.items() if name not in pairs}
    free = {name: path for name, path in masks.items() if name not in pairs}
    remarks = []
    if lone and free:
        for what, key in _WAYS:
            found = _pairs_by(key, lone, free)
            if found is not None:
                for name, mask in found.items():
                    pairs[name] = (lone.pop(name), free.pop(mask))
                first = next(iter(found))
                shown = f"{pairs[first][0]} with {pairs[first][1]}"
                remarks.append(f"{len(found)} pictures and masks were matched {what}: {shown}, …")
                break
    pairs |= {name: (path, None) for name, path in lone.items()}
    pairs |= {name: (None, path) for name, path in free.items()}
    return dict(sorted(pairs.items())), remarks


def nearest_files(path: Path, existing: Iterable[Path]) -> str:
    """Return " The nearest there: a.png, b.png." for a missing file's name, or ""."""
    names = {other.name: other for other in existing}
    near = difflib.get_close_matches(path.name, names, n=3, cutoff=0.5)
    return f" The nearest there: {', '.join(near)}." if near else ""


def _pairs_by(
    key: Callable[[str], str], lone: Mapping[str, Path], free: Mapping[str, Path]
) -> dict[str, str] | None:
    """Return the mask's name of each lone picture where `key` finds exactly one; else None."""
    by_key: dict[str, list[str]] = {}
    for name in free:
        by_key.setdefault(key(name), []).append(name)
    found: dict[str, str] = {}
    for name in lone:
        candidates = by_key.get(key(name), [])
        if len(candidates) > 1:
            both = " and ".join(str(free[mask]) for mask in sorted(candidates)[:2])
            raise PspError(
                f"{lone[name]}: which mask is its own? {both} both may be. Remove or rename one"
            )
        if not candidates:
            return None
        found[name] = candidates[0]
    one_each = len(set(found.values())) == len(found)
    return found if one_each else None


def _same_letters(name: str) -> str:
    """Composed and decomposed accents look the same."""
    return unicodedata.normalize("NFC", name)


def _same_but_for_case(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _without_addition(name: str) -> str:
    """Take off what is added for a mask, at the end or the beginning: a_mask, mask-a."""
    folder, slash, stem = _same_but_for_case(name).rpartition("/")
    for addition in sorted((word.casefold() for word in _ADDITIONS), key=len, reverse=True):
        for sign in "_-. ":
            stem = stem.removesuffix(sign + addition).removeprefix(addition + sign)
    return folder + slash + stem


def _without_second_type(name: str) -> str:
    """Take off the picture's own type in a mask's name: a.jpg.png."""
    plain = _same_but_for_case(name)
    return next((plain.removesuffix(t) for t in _PICTURE_TYPES if plain.endswith(t)), plain)


_WAYS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("though one spells accents as one character and the other as two", _same_letters),
    ("though capital letters differ", _same_but_for_case),
    ("by the addition in the masks' names", _without_addition),
    ("by the picture's file type in the masks' names", _without_second_type),
)
