"""COCO-Stuff 10k: images/ID.jpg, a MATLAB file annotations/ID.mat with the map S, and imageLists.

mmsegmentation's converter puts folders train2014 and test2014 beside them; they are not read.
"""

from pathlib import Path

from psp.data.card import SplitEntry
from psp.prepare.layouts.layout import (
    Layout,
    Pair,
    Source,
    SplitPairs,
    find_root,
)
from psp.prepare.layouts.lists import read_ids


def root(raw: Path) -> Path | None:
    """Return the folder with images, annotations and imageLists."""
    near = (".", "dataset", "cocostuff-10k-v1.1", "coco_stuff10k")
    return find_root(raw, near, ("images", "annotations", "imageLists"))


def pairs(source: Source, root: Path, split: SplitEntry) -> SplitPairs:
    """Return the pairs of the split's list."""
    ids = read_ids(root / (split.list or f"imageLists/{split.name}.txt"))
    return SplitPairs(
        [
            Pair(
                name,
                root / f"images/{name}.jpg",
                root / f"annotations/{name}.mat",
                variable="S",
                names="names",
            )
            for name in sorted(ids)
        ]
    )


LAYOUT = Layout(
    "COCO-Stuff 10k (images, annotations, imageLists)", root, pairs, card="cocostuff10k"
)
