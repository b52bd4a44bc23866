"""What the pyramid makes of one picture, as one HTML file: its levels are switched on and off."""

from collections.abc import Sequence
from dataclasses import dataclass

from psp.pages.page import JPEG, PNG, data_uri, render


@dataclass(frozen=True)
class Level:
    """A level of the pyramid: what it is called, and what it does to this picture, in words."""

    title: str
    effect: str


@dataclass(frozen=True, kw_only=True)
class ExplainPage:
    """Everything that the page shows. `colors` are #rrggbb, one for each class.

    `photo` is a JPEG. `maps` are gray PNGs of class ids, of the photo's size: in place i that of
    the levels whose bit is set in i, the first level's being the lowest.
    """

    name: str
    how: str  # one line on what predicted it
    samples: str  # which pictures the means are of
    notes: Sequence[str]
    levels: Sequence[Level]
    classes: Sequence[str]
    colors: Sequence[str]
    photo: bytes
    maps: Sequence[bytes]


def explain_page(page: ExplainPage) -> bytes:
    """Return the page as UTF-8."""
    data = {
        "classes": page.classes,
        "colors": page.colors,
        "maps": [data_uri(one, PNG) for one in page.maps],
    }
    return render(
        "explain.html.j2", {"page": page, "photo": data_uri(page.photo, JPEG), "data": data}
    )
