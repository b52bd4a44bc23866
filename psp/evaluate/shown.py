"""The few pictures of a split that a report shows: the worst, those in the middle, and the best.

Which ones they are is known at the end, when the label maps are gone. To predict them again would
take a small split's evaluation a tenth longer, so small copies of candidates are kept: the lowest
and highest so far, and of the others every n-th, among which the middle is looked for. Their number
is bounded, and on any number of ranks they are the same pictures.

What is chosen is stored beside the evaluation: NAME.pictures.zip with index.json, and of each
picture a JPEG of the photo and gray PNGs of class ids, the target and the prediction.
"""

import io
import json
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from psp.data.shards import ShardSplit
from psp.errors import PspError
from psp.evaluate.tally import PictureScore
from psp.files import read_bytes, write
from psp.headers import Fields, parse
from psp.images.encoding import encode_jpeg, encode_label
from psp.images.resize import shrunk, shrunk_labels

SIDES = (640, 480, 320, 240, 160, 96)  # the long side; the largest that fits into MOST_BYTES
MOST_BYTES = 260_000  # of a picture's three files: twelve are 4.2 MB in base64
EACH = 4  # worst, middle and best pictures
SAMPLED = 64  # among which the middle is looked for
LARGEST = 64 << 20  # bytes of a stored zip, which is 3.4 MB at most
INDEX = "index.json"
WORST, MIDDLE, BEST = "worst", "median", "best"

Labels = NDArray[np.uint8]


@dataclass(frozen=True)
class ShownPicture:
    """A picture of a report: its files, all of the same size, and why it is shown."""

    name: str
    why: str
    photo: bytes  # JPEG
    target: bytes  # PNG of class ids, 255 = ignore
    prediction: bytes  # PNG of class ids


@dataclass(frozen=True)
class Candidate:
    """A picture's place in the split, its mIoU, and its prediction, shrunk: uint8 (h, w)."""

    index: int
    miou: float
    prediction: Labels


class Candidates:
    """The predictions that may be shown. Those of several ranks' shares can be joined."""

    def __init__(self, total: int) -> None:
        """`total` is the number of the split's pictures, of all shares together; 0: keep none."""
        self.step = -(-total // SAMPLED)
        self.sampled: list[Candidate] = []
        self.worst: list[Candidate] = []
        self.best: list[Candidate] = []

    def add(self, score: PictureScore, prediction: Labels) -> None:
        """Keep a picture's small prediction if it may be shown; those all void are not."""
        if not self.step or score.miou != score.miou:
            return
        candidate = Candidate(score.index, score.miou, prediction)
        if score.index % self.step == 0:
            self.sampled.append(candidate)
        self._extremes([candidate])

    def join(self, others: Iterable["Candidates"]) -> None:
        """Add the candidates of other shares of the split."""
        for other in others:
            self.sampled += other.sampled
            self._extremes([*other.worst, *other.best])

    def _extremes(self, new: list[Candidate]) -> None:
        unique = {item.index: item for item in [*self.worst, *self.best, *new]}
        ranked = sorted(unique.values(), key=_rank)
        self.worst, self.best = ranked[:EACH], ranked[-EACH:]

    def chosen(self, pictures: Sequence[PictureScore]) -> list[tuple[str, Candidate]]:
        """Return at most 3 x EACH pictures, the worst first, and why each is shown.

        `pictures` are the scores of the whole split.
        """
        scored = sorted(p.miou for p in pictures if p.miou == p.miou)
        count = min(EACH, -(-len(scored) // 3))
        best = list(reversed(self.best))[: min(count, len(scored) // 3)]
        shown = {WORST: self.worst[:count], MIDDLE: [], BEST: best}
        taken = {item.index for item in [*shown[WORST], *shown[BEST]]}
        middle = float(np.median(scored)) if scored else 0.0
        others = [item for item in sorted(self.sampled, key=_rank) if item.index not in taken]
        near = sorted(others, key=lambda item: abs(item.miou - middle))[:EACH]
        shown[MIDDLE] = sorted(near, key=_rank)
        return [(why, item) for why, items in shown.items() for item in items]


def _rank(item: Candidate) -> tuple[float, int]:
    return item.miou, item.index


def shown_pictures(
    candidates: Candidates, pictures: Sequence[PictureScore], shards: ShardSplit
) -> list[ShownPicture]:
    """Return what a report shows of a split, with photos and targets from its shards."""
    return [
        _files(why, item.prediction, shards, item.index)
        for why, item in candidates.chosen(pictures)
    ]


def _files(why: str, prediction: Labels, shards: ShardSplit, index: int) -> ShownPicture:
    """Return a picture's files as large as they may be."""
    photo, target = shards.image(index), shards.label(index)
    for side in SIDES:
        files = ShownPicture(
            name=shards.names[index],
            why=why,
            photo=encode_jpeg(shrunk(photo, side), 82),
            target=encode_label(shrunk_labels(target, side)),
            prediction=encode_label(shrunk_labels(prediction, side)),
        )
        if len(files.photo) + len(files.target) + len(files.prediction) <= MOST_BYTES:
            break
    return files


def pictures_file(evaluation: Path) -> Path:
    """Return where the pictures of a stored evaluation are."""
    return evaluation.with_name(f"{evaluation.stem}.pictures.zip")


def save_shown(path: Path, pictures: Sequence[ShownPicture], of: Mapping[str, Any]) -> None:
    """Write the pictures of a report; `of` identifies the evaluation. The same give the same bytes.

    Raises PspError if the file cannot be written.
    """
    index = {"of": of, "pictures": [{"name": p.name, "why": p.why} for p in pictures]}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo(INDEX), json.dumps(index, sort_keys=True))
        for number, picture in enumerate(pictures):
            for key, data in asdict(picture).items():
                if isinstance(data, bytes):
                    archive.writestr(zipfile.ZipInfo(_member(number, key)), data)
    write(path, buffer.getvalue())


def load_shown(path: Path, of: Mapping[str, Any]) -> list[ShownPicture]:
    """Return the stored pictures of an evaluation; none if there are none, or another's.

    Raises PspError for a damaged file.
    """
    if not path.exists():
        return []
    try:
        with zipfile.ZipFile(io.BytesIO(read_bytes(path, LARGEST))) as archive:
            members = archive.infolist()
            if sum(member.file_size for member in members) > LARGEST:
                raise zipfile.BadZipFile("more than the pictures of a report")
            if any(member.compress_type != zipfile.ZIP_STORED for member in members):
                raise zipfile.BadZipFile("not written by psp")
            index = Fields(parse(archive.read(INDEX), str(path)), str(path))
            if index.get("of") != of:
                return []
            return [
                ShownPicture(
                    entry.text("name"),
                    entry.choice("why", (WORST, MIDDLE, BEST)),
                    *(archive.read(_member(n, key)) for key in ("photo", "target", "prediction")),
                )
                for n, entry in enumerate(index.objects("pictures"))
            ]
    except (zipfile.BadZipFile, KeyError, EOFError, ValueError, RuntimeError) as error:
        raise PspError(
            f"{path}: damaged: {' '.join(str(error).split())}. Remove it, and evaluate again"
        ) from None


def _member(number: int, key: str) -> str:
    return f"{number:02d}-{key}.{'jpg' if key == 'photo' else 'png'}"
