"""Picture files in groups: those of one folder whose names end alike, and what kind they are."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from psp.annotations.looks import CONTRAST, Kind, kind_of
from psp.annotations.naming import OTHER_WORDS, ending_of, role_of, words_of
from psp.annotations.pictures import PICTURES
from psp.annotations.place import Place


@dataclass(frozen=True)
class Group:
    """Files of one folder (path below the root) whose names end alike."""

    folder: str
    ending: str
    files: tuple[str, ...]
    kind: Kind

    @property
    def shown(self) -> str:
        """The group for people, with its whole folder."""
        return f"{self.folder or '.'}/*{self.ending}"

    @property
    def pattern(self) -> str:
        """What tells these files from others in any split: labels/*.png."""
        return f"{PurePosixPath(self.folder).name or '.'}/*{self.ending}"

    @property
    def is_jpeg(self) -> bool:
        """Whether these are JPEGs, which photos more often are than masks."""
        return self.ending.endswith(".jpg")


def pictures_of(place: Place) -> tuple[str, ...]:
    """Return all picture files, of photos and of masks."""
    return place.named(*PICTURES)


def groups_of(place: Place) -> list[Group]:
    """Group the picture files by their folder, addition and type."""
    members: dict[tuple[str, str], list[str]] = {}
    for file in pictures_of(place):
        path = PurePosixPath(file)
        folder = "" if path.parent.as_posix() == "." else path.parent.as_posix()
        members.setdefault((folder, ending_of(path.name)), []).append(file)
    return [
        Group(folder, ending, tuple(files), kind_of([place.path(file) for file in files]))
        for (folder, ending), files in members.items()
    ]


def by_names(groups: Sequence[Group]) -> list[Group]:
    """Return the groups whose folder or ending says masks, if others say photos.

    It is asked where pixels alone leave a doubt: drawn pictures, masks with the noise of JPEG.
    """
    masks = [
        g
        for g in groups
        if role_of(PurePosixPath(g.folder).name) == "mask"
        or role_of(PurePosixPath(g.folder).parent.name) == "mask"
        or len(words_of(g.ending)) > 1
    ]
    return masks if 0 < len(masks) < len(groups) else []


def by_contrast(groups: Sequence[Group]) -> list[Group]:
    """Return the masks where all groups have few colors: of JPEGs and others not the JPEGs.

    Drawn pictures have many times the colors of their masks.
    """
    if not all(group.kind.are_masks for group in groups):
        return []
    lossless = [group for group in groups if not group.is_jpeg]
    if len(lossless) < len(groups):
        return lossless
    few = min((group.kind.colors for group in groups), default=0)
    masks = [group for group in groups if group.kind.colors < CONTRAST * few]
    return masks if len(masks) < len(groups) else []


def without_others(groups: list[Group]) -> list[Group]:
    """Leave out pictures of objects and previews, where something else is left."""
    kept = [
        group
        for group in groups
        if not ({word for part in group.folder.split("/") for word in words_of(part)} & OTHER_WORDS)
        and not (set(words_of(group.ending)) & OTHER_WORDS)
    ]
    return kept or groups
