"""What the pyramid makes of one picture: a page on which its levels are switched on and off."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from psp.device import pick_inference_precision, picture_fits
from psp.events import Progress, Report, ignore
from psp.files import read_bytes, write
from psp.images.encoding import encode_jpeg, encode_label
from psp.images.resize import shrunk, shrunk_labels
from psp.model.choice import Choice
from psp.model.levels import Levels
from psp.model.load import load_sliding_window
from psp.pages.explain import ExplainPage, Level, explain_page
from psp.predict.photos import decode_photo

SHOWN = 960  # pixels of the long side on the page, at most

Labels = NDArray[np.uint8]


@dataclass(frozen=True)
class LevelEffect:
    """What one level does. `changed`: the share of the picture whose class is another without it.

    The largest change is from `with_it` to `without_it`, class names, `most` of the picture; both
    are empty where nothing changes. `alone`: the share that has its class with this level alone.
    """

    bin: int
    changed: float
    with_it: str
    without_it: str
    most: float
    alone: float

    @property
    def title(self) -> str:
        """The level's name: by its grid."""
        return f"{self.bin}x{self.bin} bins" if self.bin > 1 else "1x1, the whole window"

    @property
    def in_words(self) -> str:
        """What the level does, in one sentence."""
        text = f"without it, {self.changed:.1%} of the picture is another class"
        if self.changed:
            text += f", most of it {self.with_it} → {self.without_it} ({self.most:.1%})"
        return f"{text}; with it alone, {self.alone:.1%} is as with all levels"


@dataclass(frozen=True)
class Samples:
    """Pictures that the levels' means are taken of, uint8 (H, W, 3) RGB, and what they are."""

    pictures: Iterable[NDArray[np.uint8]]
    count: int
    title: str


def explain(
    picture: Path,
    weights: Path,
    out: Path,
    samples: Samples,
    choice: Choice,
    device: torch.device,
    *,
    precision: str = "auto",
    title: str = "",
    report: Report = ignore,
) -> list[LevelEffect]:
    """Write the page of a picture to `out`, and return what each level of the pyramid does.

    `title` is the model's on the page. Raises PspError for a picture that cannot be read, and for a
    network without a pyramid.
    """
    notes: list[str] = []
    image = decode_photo(read_bytes(picture), str(picture), notes)
    model, header = load_sliding_window(
        weights, device, pick_inference_precision(precision, device)
    )
    procedure = choice(header)
    levels = Levels(model, procedure)
    means = levels.means(_counted(samples, report))
    with picture_fits(str(picture), image.shape[:2], procedure.windows_text, device):
        maps = levels.label_maps(image, means)
    effects = _effects(maps, levels.bins, header.classes)
    page = ExplainPage(
        name=picture.name,
        how=f"{title or weights} · {procedure.description}",
        samples=samples.title,
        levels=[Level(effect.title, f"{effect.in_words}.") for effect in effects],
        classes=header.classes,
        colors=["#{:02x}{:02x}{:02x}".format(*color) for color in header.palette],
        notes=notes,
        photo=encode_jpeg(shrunk(image, SHOWN), 85),
        maps=[encode_label(shrunk_labels(labels, SHOWN)) for labels in maps],
    )
    write(out, explain_page(page))
    return effects


def _counted(samples: Samples, report: Report) -> Iterator[NDArray[np.uint8]]:
    """Yield the pictures, and report each that is done."""
    for done, picture in enumerate(samples.pictures):
        report(Progress(done, samples.count, "pictures"))
        yield picture


def _effects(
    maps: Sequence[Labels], bins: Sequence[int], classes: Sequence[str]
) -> list[LevelEffect]:
    """Compare the map of all levels with those without, and with, one of them."""
    whole, effects = maps[-1], []
    for place, size in enumerate(bins):
        without, alone = maps[len(maps) - 1 - (1 << place)], maps[1 << place]
        pairs = np.bincount(
            whole.ravel().astype(np.int64) * len(classes) + without.ravel(),
            minlength=len(classes) ** 2,
        ).reshape(len(classes), len(classes))
        np.fill_diagonal(pairs, 0)
        before, after = divmod(int(pairs.argmax()), len(classes))
        changed = int(pairs.sum())
        effects.append(
            LevelEffect(
                bin=size,
                changed=changed / whole.size,
                with_it=classes[before] if changed else "",
                without_it=classes[after] if changed else "",
                most=int(pairs[before, after]) / whole.size,
                alone=float((alone == whole).mean()),
            )
        )
    return effects
