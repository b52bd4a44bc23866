"""What a run looks like: some validation pictures with predictions, and the first crops."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from psp.data.card import Card
from psp.data.contact_sheet import most_varied
from psp.data.loader import Crop
from psp.data.shards import ShardSplit
from psp.errors import printable
from psp.evaluate.count import PredictedSample
from psp.evaluate.metrics import miou_occurring
from psp.render import Picture, colors, legend, overlay, sheet

SAMPLES = 4  # validation pictures
CANDIDATES = 2000  # pictures of the split, among which these are chosen
HEIGHT, WIDTH = 200, 400  # of a picture in a sheet, at most
CROPS, PAIRS, CROP_HEIGHT = 12, 3, 160
LEGEND = 40  # classes in a legend at most

Label = NDArray[np.uint8]  # (H, W) class ids, 255 = ignore


@dataclass(frozen=True)
class Sample:
    """A validation picture at the size of the sheet: photo (H, W, 3), target and prediction."""

    caption: str
    photo: Picture
    target: Label
    prediction: Label


def choose_samples(split: ShardSplit) -> list[int]:
    """Return the validation pictures to show, which together have as many classes as possible.

    They depend on the shards alone, so a run shows the same ones from its beginning to its end.
    """
    evenly = np.linspace(0, len(split) - 1, min(CANDIDATES, len(split))).astype(int)
    candidates = sorted(set(evenly.tolist()))
    shown = [set(np.flatnonzero(split.pixels[index, :-1]).tolist()) for index in candidates]
    return sorted(candidates[place] for place in most_varied(shown, SAMPLES))


def small_sample(split: ShardSplit, sample: PredictedSample) -> Sample:
    """Return a predicted sample at the size in which it is shown, with its name and mIoU."""
    assert sample.target is not None
    classes = len(split.card.names)
    counts = sample.confusion(classes).cpu().numpy()
    score = f"mIoU {100 * miou_occurring(counts):.1f}" if counts.any() else "nothing labeled"
    prediction = sample.prediction.cpu().numpy()
    return Sample(
        f"{printable(split.names[sample.index])}: {score}",
        _fitted(split.image(sample.index), cv2.INTER_AREA),
        _fitted(sample.target, cv2.INTER_NEAREST),
        _fitted(prediction, cv2.INTER_NEAREST),
    )


def draw_samples(samples: Sequence[Sample], card: Card, step: int) -> Picture:
    """Return photo, target and prediction of each sample, side by side, with a legend."""
    rows = []
    for sample in samples:
        drawn = [colors(label, card.palette) for label in (sample.target, sample.prediction)]
        rows.append([_centered(picture) for picture in (sample.photo, *drawn)])
    labels = [label for sample in samples for label in (sample.target, sample.prediction)]
    titles = ["photo", "target (white: not scored)", f"prediction at step {step}"]
    captions = [sample.caption for sample in samples]
    width = sum(max(row[column].shape[1] for row in rows) for column in range(3))
    return sheet(rows, titles, HEIGHT, _legend(labels, card, width), captions)


def draw_crops(crops: Sequence[Crop], card: Card) -> Picture:
    """Return training crops as the network sees them, each beside its labels, with a legend."""
    rows: list[list[Picture]] = []
    for number, (image, label) in enumerate(crops):
        if number % PAIRS == 0:
            rows.append([])
        rows[-1] += [image, overlay(image, label, card.palette)]
    titles = ["crop", "with its labels"] * min(PAIRS, len(crops))
    labels = [label for _, label in crops]
    height, width = crops[0][1].shape
    across = round(len(titles) * CROP_HEIGHT * width / height)
    return sheet(rows, titles, CROP_HEIGHT, _legend(labels, card, across))


def _legend(labels: Sequence[Label], card: Card, width: int) -> Picture:
    """Return a legend of all classes, or where they are too many, of the largest that are shown."""
    pixels = np.sum([np.bincount(label.ravel(), minlength=256) for label in labels], axis=0)
    ids = list(range(len(card.names)))
    note = ""
    if len(ids) > LEGEND:
        found = [index for index in ids if pixels[index]]
        ids = sorted(sorted(found, key=lambda index: -pixels[index])[:LEGEND])
        note = f"and {len(found) - LEGEND} smaller" if len(found) > LEGEND else ""
        note = note if found else "no class is shown"
    names = [printable(card.names[index]) for index in ids]
    return legend(names, [card.palette[index] for index in ids], max(width, 640), ids, note)


def _fitted(picture: NDArray[np.uint8], method: int) -> NDArray[np.uint8]:
    """Return a picture or label map that fits the place it has in a sheet."""
    height, width = picture.shape[:2]
    factor = min(HEIGHT / height, WIDTH / width)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    enlarged = method == cv2.INTER_AREA and factor > 1
    resized = cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR if enlarged else method)
    return np.asarray(resized, np.uint8)


def _centered(picture: Picture) -> Picture:
    """Return a picture of the sheet's height: a wide one in the middle of white."""
    missing = HEIGHT - len(picture)
    sides = ((missing // 2, missing - missing // 2), (0, 0), (0, 0))
    return np.pad(picture, sides, constant_values=255)
