"""The gallery of psp predict: one page beside the results, with all pictures of a folder.

What a record holds are texts, numbers and addresses relative to the page; who fills it knows what
they mean. The page sorts, filters and turns its pages itself, without a network.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from psp.pages.page import render


@dataclass(frozen=True)
class Output:
    """A kind of file that pictures have: FOLDER/ADDRESS SUFFIX, shown as `title`."""

    title: str
    folder: str
    suffix: str


@dataclass(frozen=True)
class GalleryPicture:
    """A picture. `address` is its name in addresses, `photo` where its file is from the page.

    `shown` is whether browsers show that file. With `thumbnail`, gallery/ADDRESS.jpg has the photo
    on the left and the classes' colors on the right. `shares` are (class id, share of the pixels),
    the largest first, `uncertainty` the mean over the pixels, from 0 to 1, None if not known, and
    `outputs` the indices of the kinds of files that it has.
    """

    name: str
    address: str
    photo: str
    shown: bool
    thumbnail: bool
    height: int
    width: int
    shares: Sequence[tuple[int, float]]
    uncertainty: float | None
    outputs: Sequence[int]

    @property
    def packed(self) -> list[Any]:
        """Its values as the page's script reads them."""
        return [
            self.name,
            self.address,
            self.photo,
            2 * self.shown + self.thumbnail,
            self.height,
            self.width,
            [value for index, share in self.shares for value in (index, round(share, 4))],
            self.uncertainty,
            list(self.outputs),
        ]


@dataclass(frozen=True)
class Missing:
    """A file without a result: its name, and why."""

    name: str
    why: str


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """Everything that the page shows. `colors` are #rrggbb, one for each class."""

    how: str  # one line on what predicted them
    notes: Sequence[str]
    classes: Sequence[str]
    colors: Sequence[str]
    outputs: Sequence[Output]
    pictures: Sequence[GalleryPicture]
    failed: Sequence[Missing]
    left_out: Sequence[Missing]
    left_out_text: str  # in one sentence, with what to do


def gallery_page(gallery: Gallery) -> bytes:
    """Return the page as UTF-8."""
    present = {index for picture in gallery.pictures for index, _ in picture.shares}
    data = {
        "classes": gallery.classes,
        "colors": gallery.colors,
        "outputs": [[one.title, one.folder, one.suffix] for one in gallery.outputs],
        "pictures": [picture.packed for picture in gallery.pictures],
    }
    return render("gallery.html.j2", {"gallery": gallery, "data": data, "present": sorted(present)})
