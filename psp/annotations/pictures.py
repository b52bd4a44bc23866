"""The pictures of an export: found by the names that annotation files write for them."""

import posixpath
import re
from collections import defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qs, unquote, urlsplit

from psp.annotations.place import Place
from psp.annotations.splits import folder_split
from psp.images.reading import SUFFIXES

PICTURES = tuple(sorted(SUFFIXES | {".heic", ".heif", ".avif"}))


# Label Studio puts eight digits before the names of files that are uploaded to it.
_UPLOADED = re.compile(r"[0-9a-f]{8}-(.+)$")
_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


# Folders in VOC's trees with pictures of classes and of objects: never photos.
_OF_MASKS = re.compile(r"(?:^|/)segmentation(?:class|object)[a-z]*/")


class Pictures:
    """All picture files at a place, found by name, whatever folder the annotation writes."""

    def __init__(self, place: Place, without: Collection[Path] = ()) -> None:
        """Know the pictures of a folder, or of the folder of a file, `without` its masks."""
        if place.given.is_file():
            place = Place(place.root)
        masks = frozenset(without)
        self._place = place
        self._files: set[str] = set()
        self._by_name: dict[str, list[str]] = defaultdict(list)
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        self._by_upload: dict[str, list[str]] = defaultdict(list)
        for name in place.named(*PICTURES):
            if place.path(name) in masks or _OF_MASKS.search(name.lower()):
                continue
            last = PurePosixPath(name.lower())
            self._by_name[last.name].append(name)
            self._by_stem[last.stem].append(name)
            self._by_upload[_as_uploaded(last.name)].append(name)
            self._files.add(name)

    def find(self, wanted: str, near: str = "", split: str = "") -> Path | None:
        """Return the file that is meant by a name or path, or None if none is there.

        `near` is the folder of the annotation file, from where paths count first; then come the
        place itself, and files whose path ends alike. A file of another type counts if none has the
        name itself. Among several, those in a folder named like the split are meant. Raises
        ValueError if still several are left.
        """
        for text in dict.fromkeys((path_of_url(wanted), unquote(path_of_url(wanted)))):
            if found := self._find(text, near, split):
                return found
        return None

    def _find(self, wanted: str, near: str, split: str) -> Path | None:
        parts = path_parts(wanted)
        if not parts:
            return None
        for folder in dict.fromkeys((near, "")):
            exact = posixpath.normpath("/".join((folder or ".", wanted.replace("\\", "/"))))
            if self._is_there(exact):
                return self._place.path(exact)
        last = PurePosixPath(parts[-1].lower())
        stem = last.stem if last.suffix in PICTURES else last.name
        candidates = self._by_name.get(last.name) or self._by_stem.get(stem, [])
        if not candidates and (uploaded := _UPLOADED.match(last.name)):
            own = uploaded[1]
            candidates = self._by_name.get(own) or self._by_upload.get(_as_uploaded(own), [])
        best = _nearest(candidates, parts, near, split)
        if len(best) > 1:
            raise ValueError(f"its picture may be {best[0]} or {best[1]}: give one of them alone")
        return self._place.path(best[0]) if best else None

    def _is_there(self, name: str) -> bool:
        if name in self._files:
            return True
        is_picture = name.startswith("../") and name.lower().endswith(PICTURES)
        return is_picture and self._place.path(name).is_file()


def path_of_url(text: str) -> str:
    """Return the path in a URL, that of Label Studio's local files (`…?d=folder/a.jpg`) too.

    A text that is no URL stays as it is.
    """
    if not _URL.match(text) or len(text) > 10_000:
        return text
    try:
        parts = urlsplit(text)
    except ValueError:
        return text
    return parse_qs(parts.query).get("d", [""])[0] or unquote(parts.path)


def _as_uploaded(name: str) -> str:
    """Return a file's name as web servers keep it: blanks become underscores, signs are lost."""
    return re.sub(r"[^\w.-]", "", name.strip().replace(" ", "_"))


def path_parts(wanted: str) -> list[str]:
    r"""Return the parts of a path as any system writes it: `C:\photos\a.jpg`, `../photos/a.jpg`.

    Of a URL they are those of its path.
    """
    wanted = path_of_url(wanted)
    parts = wanted.replace("\\", "/").split("/")
    return [part for part in parts if part not in ("", ".", "..") and not part.endswith(":")]


def stem_of(wanted: str) -> str:
    """Return a picture's path without its file type, if it has one that pictures have."""
    path = "/".join(path_parts(wanted))
    suffix = PurePosixPath(path).suffix
    return path[: -len(suffix)] if suffix.lower() in PICTURES else path


def _nearest(candidates: Sequence[str], parts: list[str], near: str, split: str) -> Sequence[str]:
    """Return those of some files that agree best with a path, a folder and a split."""
    if len(candidates) < 2:
        return candidates

    def agreement(name: str) -> tuple[bool, int, bool]:
        folders = name.lower().split("/")[:-1]
        tail = 0
        for own, other in zip(reversed(folders), reversed(parts[:-1]), strict=False):
            if own != other.lower():
                break
            tail += 1
        inside = not near or name.startswith(f"{near}/")
        return split in ("", *map(folder_split, folders)), tail, inside

    best = max(agreement(name) for name in candidates)
    return [name for name in candidates if agreement(name) == best]
