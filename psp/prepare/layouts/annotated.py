"""Own photos with masks and exports of labeling tools, as psp/prepare/own read them."""

from pathlib import Path

from psp.annotations.records import AnnotatedPicture, MaskFile
from psp.data.card import SplitEntry
from psp.errors import PspError
from psp.prepare.layouts.layout import Layout, Pair, Source, SplitPairs


def root(raw: Path) -> Path | None:
    """Return the first source: what is in it was recognized before."""
    return raw


def pairs(source: Source, root: Path, split: SplitEntry) -> SplitPairs:
    """Return the pairs of a split of the exports' own, or of one that is made from the names."""
    gathered = source.gathered
    if gathered is None:
        raise PspError(
            f"card {source.card.name}: its sources are read by psp prepare, and by "
            "psp.prepare.by_card: give the card alone"
        )
    found = [
        _pair(name, picture) for name, picture, where in gathered.pictures if where == split.name
    ]
    if not found and not split.required:
        return SplitPairs(None)
    # Remarks on all splits are said once.
    said = list(gathered.remarks) if split.name == source.card.splits[0].name else []
    return SplitPairs(sorted(found, key=lambda pair: pair.name), said, gathered.left_out)


def _pair(name: str, picture: AnnotatedPicture) -> Pair:
    label = picture.drawn.path if isinstance(picture.drawn, MaskFile) else picture.source
    image = picture.source if picture.embedded else picture.image
    if picture.problem or image is None:
        return Pair(name, picture.source, picture.source, drawn=picture)
    return Pair(name, image, label, drawn=picture)


LAYOUT = Layout("own photos with masks or annotations", root, pairs, own=True)
