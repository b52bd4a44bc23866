"""Which mask belongs to which picture, by their names.

First by the same path below their folders, without file type. Where that leaves pictures without a
mask, one of the other ways in which programs name masks may explain all of them, or all masks that
are left: it is then taken, and said. A way that leaves some of both is a guess, and is not taken.
"""

import difflib
import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path

from psp.errors import PspError

# What programs call a mask, and a picture: words at the beginning or the end of a name.
MASK_WORDS = frozenset(
    {
        "ann",
        "anno",
        "annot",
        "annotation",
        "annotations",
        "ground_truth",
        "groundtruth",
        "gt",
        "gtcoarse_labelids",
        "gtfine_labelids",
        "gtfine_labeltrainids",
        "l",
        "label",
        "labelids",
        "labels",
        "labeltrainids",
        "lbl",
        "mask",
        "masks",
        "matte",
        "seg",
        "segmentation",
        "segmentations",
        "target",
    }
)
_PICTURE_WORDS = frozenset(
    {
        "frame",
        "image",
        "images",
        "img",
        "imgs",
        "input",
        "leftimg8bit",
        "orig",
        "original",
        "photo",
        "picture",
        "rgb",
        "sat",
        "x",
    }
)
_PICTURE_TYPES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")

PLAIN_WAYS = 5  # of all: the first, which guess nothing

Key = Callable[[str], str]
Keys = tuple[Key, Key]  # of a picture's name and of a mask's


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
    ways = list(_ways(lone, free)) if lone and free else []
    tries = [(what, keys, _pairs_by) for what, keys in ways]
    tries += [(what, keys, _pairs_of_all_masks) for what, keys in ways[:PLAIN_WAYS]]
    for what, keys, pairs_by in tries:
        found = pairs_by(keys, lone, free)
        if found is not None:
            for name, mask in found.items():
                pairs[name] = (lone.pop(name), free.pop(mask))
            first = min(found)
            shown = f"{pairs[first][0]} with {pairs[first][1]}"
            more = ", …" if len(found) > 1 else ""
            remarks.append(f"{len(found)} pictures and masks were matched {what}: {shown}{more}")
            others = _other_files(free, pictures, pairs)
            if others:
                remarks.append(
                    f"{len(others)} more files of these pictures beside the masks are not used, "
                    f"such as {next(iter(others.values()))}"
                )
                free = {name: path for name, path in free.items() if name not in others}
            break
    pairs |= {name: (path, None) for name, path in lone.items()}
    pairs |= {name: (None, path) for name, path in free.items()}
    return dict(sorted(pairs.items())), remarks


def told_apart(files: Mapping[str, Path]) -> tuple[dict[str, Path], dict[str, Path]] | None:
    """Return the pictures and the masks among files of one folder; None if names do not tell.

    A mask's name is that of a picture with a word for masks added; every file has a partner.
    """
    masks = {}
    by_plain = {_plain(name): name for name in files}
    for name, path in files.items():
        key = _without(MASK_WORDS)(name)
        if key != _plain(name) and by_plain.get(key, name) != name:
            masks[name] = path
    pictures = {name: path for name, path in files.items() if name not in masks}
    return (pictures, masks) if masks and len(masks) == len(pictures) else None


def same_file(name: str, names: Collection[str]) -> str | None:
    """Return the one of `names` that looks like `name`: but for accents' spelling, or capitals."""
    if name in names:
        return name
    for key in (_same_letters, _plain):
        found = [other for other in names if key(other) == key(name)]
        if len(found) == 1:
            return found[0]
    return None


def nearest_files(path: Path, existing: Iterable[Path]) -> str:
    """Return " The nearest there: a.png, b.png." for a missing file's name, or ""."""
    names = [other.name for other in existing]
    alike = [name for name in names if Path(name).stem.startswith(path.stem)][:3]
    near = alike or difflib.get_close_matches(path.name, names[:2000], n=3, cutoff=0.5)
    return f" The nearest there: {', '.join(near)}." if near else ""


def _ways(pictures: Mapping[str, Path], masks: Mapping[str, Path]) -> Iterable[tuple[str, Keys]]:
    """Yield the ways of naming masks, in words and as keys that are equal for a pair."""
    added = "by the addition in the masks' names"
    yield "though one spells accents as one character and the other as two", (_same_letters,) * 2
    yield "though capital letters differ", (_plain, _plain)
    yield added, (_plain, _without(MASK_WORDS))
    yield "by the picture's file type in the masks' names", (_plain, _without_second_type)
    words = (_without(_PICTURE_WORDS), _without(MASK_WORDS))
    yield "by what is left of their names without words such as image and mask", words
    if found := _cores(pictures, masks):
        yield "by the part of their names that differs from file to file", found
    yield "by their numbers without leading zeros", (_numbers(words[0]), _numbers(words[1]))
    yield "by their names without folders", (_file(_plain), _file(_plain))
    yield f"{added}, without folders", (_file(_plain), _file(_without(MASK_WORDS)))
    yield (
        "by what is left of their names without folders and such words",
        (
            _file(words[0]),
            _file(words[1]),
        ),
    )


def _pairs_by(
    keys: Keys, lone: Mapping[str, Path], free: Mapping[str, Path]
) -> dict[str, str] | None:
    """Return the mask's name of each lone picture where the keys find exactly one; else None."""
    by_key: dict[str, list[str]] = {}
    for name in free:
        by_key.setdefault(keys[1](name), []).append(name)
    wanted = {name: keys[0](name) for name in lone}
    if not all(key.rpartition("/")[2] and key in by_key for key in wanted.values()):
        return None
    if len(set(wanted.values())) < len(wanted):
        return None
    for name, key in wanted.items():
        if len(by_key[key]) > 1:
            both = " and ".join(str(free[mask]) for mask in sorted(by_key[key])[:2])
            raise PspError(
                f"{lone[name]}: which mask is its own? {both} both may be. Remove or rename one, "
                "or give the card's [folders] a mask_suffix"
            )
    return {name: by_key[key][0] for name, key in wanted.items()}


def _pairs_of_all_masks(
    keys: Keys, lone: Mapping[str, Path], free: Mapping[str, Path]
) -> dict[str, str] | None:
    """Return the mask's name of pictures if the keys find one picture of each mask; else None.

    The other pictures have no mask yet.
    """
    by_key: dict[str, list[str]] = {}
    for name in lone:
        by_key.setdefault(keys[0](name), []).append(name)
    found: dict[str, str] = {}
    for mask in free:
        candidates = by_key.get(keys[1](mask), [])
        if len(candidates) != 1 or candidates[0] in found:
            return None
        found[candidates[0]] = mask
    return found


def _other_files(
    free: Mapping[str, Path],
    pictures: Mapping[str, Path],
    pairs: Mapping[str, tuple[Path | None, Path | None]],
) -> dict[str, Path]:
    """Return the files beside the masks that are another kind of file of a picture with a mask."""
    of_pair = {mask.stem: name for name, (_, mask) in pairs.items() if mask is not None}
    stems = {_without(MASK_WORDS)(stem) for stem in of_pair}
    stems |= {_without(_PICTURE_WORDS)(Path(name).name) for name in pictures if name in pairs}
    several = re.compile(rf"[_\-. ](?:{'|'.join(MASK_WORDS)})[_\-. ]*\d+$")  # masks of one picture
    found = {}
    for name, path in free.items():
        plain = _plain(path.stem)
        starts = (plain[: sign.start()] for sign in re.finditer(r"[_\-. ]", plain))
        if not several.search(plain) and any(start in stems for start in starts):
            found[name] = path
    return found


def _same_letters(name: str) -> str:
    """Composed and decomposed accents look the same."""
    return unicodedata.normalize("NFC", name)


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _without(words: Collection[str]) -> Key:
    """Return a key that takes off words at the end or the beginning: a_mask, mask-a, label1."""
    longest = sorted(words, key=len, reverse=True)
    any_word = "|".join(map(re.escape, longest))
    ending = re.compile(rf"[_\-. ]+(?:{any_word})$|(?<=\d)(?:{any_word})$")
    beginning = re.compile(rf"^(?:{any_word})(?:[_\-. ]+|(?=\d))")

    def key(name: str) -> str:
        folder, slash, stem = _plain(name).rpartition("/")
        plain = beginning.sub("", ending.sub("", stem))
        return folder + slash + (plain or stem)

    return key


def _without_second_type(name: str) -> str:
    """Take off the picture's own type in a mask's name: a.jpg.png."""
    plain = _plain(name)
    return next((plain.removesuffix(t) for t in _PICTURE_TYPES if plain.endswith(t)), plain)


def _file(key: Key) -> Key:
    return lambda name: key(name.rpartition("/")[2])


def _numbers(key: Key) -> Key:
    return lambda name: re.sub(r"(?<!\d)0+(?=\d)", "", key(name))


def _cores(pictures: Mapping[str, Path], masks: Mapping[str, Path]) -> Keys | None:
    """Return keys that take off what all pictures' names, and all masks', begin and end with.

    Digits are never taken off: 10 of 100 names may begin with the same one.
    """
    keys = []
    for names in (pictures, masks):
        plain = [_plain(name) for name in names]
        if len(plain) < 2:
            return None
        begin = re.sub(r"\d+$", "", _common_start(plain))
        ends = _common_start([name[len(begin) :][::-1] for name in plain])[::-1]
        keys.append(_between(begin, re.sub(r"^\d+", "", ends)))
    return keys[0], keys[1]


def _common_start(texts: Collection[str]) -> str:
    one, two = min(texts), max(texts)  # what these share, all in between share
    alike = (at for at, pair in enumerate(zip(one, two, strict=False)) if pair[0] != pair[1])
    return one[: next(alike, min(len(one), len(two)))]


def _between(begin: str, end: str) -> Key:
    return lambda name: _plain(name).removeprefix(begin).removesuffix(end)
