"""A contact sheet: pictures of a split beside their labels, to check the data by eye."""

from collections.abc import Iterator, Sequence

import numpy as np

from psp.data.shards import ShardSplit
from psp.render import Picture, legend, overlay, sheet

COLUMNS = 3
HEIGHT = 170


def contact_sheet(shards: ShardSplit, count: int = 12) -> Picture:
    """Return a picture with up to `count` samples, with overlays of their labels, and a legend.

    The samples are chosen to show as many classes as possible. A split without labels is shown
    without overlays. Raises ShardError if a sample is damaged.
    """
    chosen = most_varied(list(_shown(shards)), count)
    pictures: list[list[Picture]] = []
    for index in chosen:
        image = shards.image(index)
        pictures.append([image])
        if shards.labeled:
            pictures[-1].append(overlay(image, shards.label(index), shards.card.palette))
    columns = min(COLUMNS, len(pictures))
    rows = [pictures[start : start + columns] for start in range(0, len(pictures), columns)]
    titles = [shards.split, "label"][: len(pictures[0])] * columns
    key = legend(shards.card.names, shards.card.palette, width=900)
    return sheet([[p for pair in row for p in pair] for row in rows], titles, HEIGHT, key)


def _shown(shards: ShardSplit) -> Iterator[set[int]]:
    """Yield the classes in each picture; pictures with the same ones share a set."""
    known: dict[bytes, set[int]] = {}
    for table in shards.histograms():
        for row in table[:, :-1] > 0:
            key = row.tobytes()
            if key not in known:
                known[key] = set(np.flatnonzero(row).tolist())
            yield known[key]


def most_varied(shown: Sequence[set[int]], count: int) -> list[int]:
    """Return the indices of `count` pictures that together show as many classes as possible.

    `shown` has the classes in each picture. Once all classes are shown, it starts over with the
    remaining pictures.
    """
    chosen: list[int] = []
    left = dict.fromkeys(range(len(shown)))  # an ordered set
    classes, seen = set().union(*shown), set[int]()
    while len(chosen) < count and left:
        if seen == classes:
            seen = set()
        best = max(left, key=lambda index: len(shown[index] - seen))
        del left[best]
        chosen.append(best)
        seen |= shown[best]
    return chosen
