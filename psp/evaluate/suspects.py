"""Masks that a trained network contradicts with confidence: the labels to look at first.

At each labeled pixel the doubt is the probability of the network's class minus that of the labeled
one: 0 where they agree, near 1 where the network is sure of another class. Some classes are harder
than others everywhere, and borders are never drawn exactly, so a picture's score is how far its
mean doubt lies above what its classes cause in the other pictures. A mask that lies beside what it
shows is found by another sign (`psp.evaluate.alignment`): the score is that of the clearer one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from psp.data.card import IGNORE
from psp.data.find import find_shards
from psp.data.shards import ShardSplit
from psp.device import picture_fits
from psp.errors import PspError
from psp.evaluate.alignment import Offset, best_offset, grid, in_words
from psp.evaluate.count import check_classes
from psp.events import Progress, Report, ignore
from psp.model.constants import on_device
from psp.model.engines.registry import choose_engine
from psp.model.inference import SlidingWindow
from psp.model.load import load_sliding_window
from psp.model.procedure import Procedure
from psp.runs import Model

EMPTY = "no pixel of it is labeled"


@dataclass(frozen=True)
class Suspect:
    """A labeled picture: its doubt above what is usual, and the largest contradiction in words."""

    split: str
    name: str
    score: float  # doubt above that of its classes, or gain by moving it; 1 for an empty mask
    doubt: float  # mean doubt per labeled pixel, 0 to 1
    reason: str  # "31% of it: labeled 'road', the network says 'sidewalk'", or where it fits


@dataclass(frozen=True)
class _Doubts:
    """What was counted of a picture: doubt and pixels of each labeled class, and contradictions."""

    split: str
    name: str
    doubt: NDArray[np.float64]  # (classes,), summed over the pixels of each labeled class
    pixels: NDArray[np.int64]  # (classes,)
    confused: NDArray[np.float64]  # (classes, classes): [labeled, predicted], summed doubt
    offset: Offset | None  # where its shapes fit best


def find_suspects(
    model: Model,
    procedure: Procedure,
    device: torch.device,
    *,
    data: Path | None = None,
    splits: tuple[str, ...] | None = None,
    precision: str = "auto",
    report: Report = ignore,
) -> list[Suspect]:
    """Return all labeled pictures of the shards, the most suspect first.

    `data` None is what the model was trained on, `splits` None is every labeled split. Raises
    PspError if there are no such shards, or their classes are not the model's.
    """
    folder = _folder(model, data)
    chosen = choose_engine(model.path, None, precision, device)
    sliding_window, header = load_sliding_window(
        model.path, device, chosen.precision, engine=chosen.name
    )
    if sliding_window.votes:
        raise PspError(
            f"{model.path}: gives class ids, and doubt is in probabilities. Export the "
            "model without --include argmax"
        )
    opened = [split for split in _open(folder, splits) if split.labeled]
    if not opened:
        raise PspError(f"{folder}: no split in it has labels")
    total, counted = sum(map(len, opened)), []
    for split in opened:
        check_classes(split, header.classes, str(model.path))
        for index in range(len(split)):
            counted.append(_count(sliding_window, split, index, procedure))
            report(Progress(len(counted), total, "pictures"))
        split.close()
    return _ranked(counted, header.classes)


def _folder(model: Model, data: Path | None) -> Path:
    if data is not None:
        return find_shards(data)
    if model.run is None:
        raise PspError(f"{model.path}: name the shards whose masks are in doubt: --data SHARDS")
    return Path(model.run.read_config()["data"])


def _open(folder: Path, names: tuple[str, ...] | None) -> Iterator[ShardSplit]:
    from psp.data.manifest import read_manifest

    for name in names or tuple(read_manifest(folder)["splits"]):
        yield ShardSplit(folder, name)


def _count(model: SlidingWindow, split: ShardSplit, index: int, procedure: Procedure) -> _Doubts:
    image, label = split.image(index), split.label(index)
    classes = model.classes
    doubt, pixels = np.zeros(classes), np.zeros(classes, np.int64)
    confused = np.zeros((classes, classes))
    where = f"{split.folder}: sample '{split.names[index]}'"
    height, width = image.shape[:2]
    grid_y, grid_x = (grid(side, max(height, width)) for side in (height, width))
    coarse = np.zeros((classes, len(grid_y), len(grid_x)), np.float32)
    with (
        picture_fits(where, (height, width), procedure.windows_text, model.device),
        torch.inference_mode(),
    ):
        for rows, columns, probabilities in model.tiles(image, procedure):
            _sample(coarse, probabilities, rows, columns, grid_y, grid_x)
            target = torch.from_numpy(label[rows, columns]).to(probabilities.device)
            known = target != IGNORE
            labeled = target[known].long()  # (n,)
            scores = probabilities[known]  # (n, classes)
            best, predicted = scores.max(1)
            here = (best - scores.gather(1, labeled[:, None])[:, 0]).double()
            doubt += torch.bincount(labeled, here, classes).cpu().numpy()
            pixels += torch.bincount(labeled, minlength=classes).cpu().numpy()
            pairs = torch.bincount(labeled * classes + predicted, here, classes * classes)
            confused += pairs.view(classes, classes).cpu().numpy()
    offset = best_offset(coarse, label[np.ix_(grid_y, grid_x)], (height, width))
    return _Doubts(split.split, split.names[index], doubt, pixels, confused, offset)


def _sample(
    coarse: NDArray[np.float32],
    probabilities: torch.Tensor,
    rows: slice,
    columns: slice,
    grid_y: NDArray[np.int64],
    grid_x: NDArray[np.int64],
) -> None:
    """Copy what a tile (rows, columns, classes) has of the grid into (classes, h, w)."""
    y0, y1 = np.searchsorted(grid_y, (rows.start, rows.stop))
    x0, x1 = np.searchsorted(grid_x, (columns.start, columns.stop))
    down = on_device(grid_y[y0:y1] - rows.start, probabilities.device)
    right = on_device(grid_x[x0:x1] - columns.start, probabilities.device)
    part = probabilities[down][:, right].permute(2, 0, 1)
    coarse[:, y0:y1, x0:x1] = part.float().cpu().numpy()


def _ranked(counted: list[_Doubts], classes: tuple[str, ...]) -> list[Suspect]:
    """Score each picture by its doubt above the usual doubt of the classes labeled in it."""
    # The median over pictures, so that the suspects themselves do not raise what is usual.
    usual = np.zeros(len(classes))
    for index in range(len(classes)):
        shares = [d.doubt[index] / d.pixels[index] for d in counted if d.pixels[index]]
        usual[index] = np.median(shares) if shares else 0
    gains = [item.offset.gain for item in counted if item.offset is not None]
    usual_gain = float(np.median(gains)) if gains else 0.0
    suspects = [_suspect(item, usual, usual_gain, classes) for item in counted]
    return sorted(suspects, key=lambda item: (-item.score, item.split, item.name))


def _suspect(
    item: _Doubts, usual: NDArray[np.float64], usual_gain: float, classes: tuple[str, ...]
) -> Suspect:
    pixels = int(item.pixels.sum())
    if not pixels:
        return Suspect(item.split, item.name, 1.0, 1.0, EMPTY)
    doubt = float(item.doubt.sum()) / pixels
    score = doubt - float((usual * item.pixels).sum()) / pixels
    offset = item.offset
    if offset is not None and offset.gain - usual_gain > max(score, 0):
        reason = f"its shapes fit better {in_words(offset)}"
        return Suspect(item.split, item.name, offset.gain - usual_gain, doubt, reason)
    labeled, predicted = np.unravel_index(int(item.confused.argmax()), item.confused.shape)
    share = item.confused[labeled, predicted] / pixels
    reason = (
        f"{share:.1%} of it: labeled '{classes[labeled]}', the network says '{classes[predicted]}'"
    )
    return Suspect(item.split, item.name, score, doubt, reason if share else "no contradiction")
