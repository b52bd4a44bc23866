"""The result of an evaluation, and what is stored of it: evaluations/{split}-{procedure}.json.

The file is complete: all scores but the boundary F-score follow from its confusion matrix, and the
hashes say which weights and shards they belong to.
"""

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from psp.evaluate.metrics import (
    accuracy,
    boundary_f,
    iou,
    labeled_pixels,
    miou_labeled,
    miou_occurring,
    predicted_pixels,
)
from psp.evaluate.tally import Tally
from psp.model.procedure import Procedure
from psp.model.weights import Header
from psp.runs import Model
from psp.version import __version__


@dataclass(frozen=True)
class Evaluation:
    """What was scored, how, and the result."""

    tally: Tally | None  # None: the split has no labels
    header: Header
    procedure: Procedure
    model: Model
    weights_sha256: str  # of the weights file
    data_fingerprint: str  # of the shards
    dataset: str
    split: str
    images: int
    precision: str
    saved: Path | None  # the JSON file in the run's folder, if the model belongs to a run
    labels: Path | None = None  # the folder of the label files, if they were asked for

    @property
    def same_data(self) -> bool:
        """Whether the shards are those the model was trained with."""
        return self.data_fingerprint == self.header.data

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types; undefined scores are null."""
        record: dict[str, Any] = {
            "dataset": self.dataset,
            "split": self.split,
            "images": self.images,
            "data_fingerprint": self.data_fingerprint,
            "model": str(self.model.path),
            "weights": self.model.which,
            "weights_sha256": self.weights_sha256,
            "step": self.header.step,
            "trained_on_these_shards": self.same_data,
            "procedure": {
                **asdict(self.procedure),
                "label": self.procedure.label,
                "scales": list(self.procedure.scales),
                "precision": self.precision,
                "miou": "mean over all classes; one without any pixel counts 0",
            },
            "versions": {"psp": __version__, "torch": torch.__version__},
            "label_files": str(self.labels) if self.labels else None,
        }
        if self.tally is None:
            return record
        return record | _results(self.tally, self.header.classes)


def _results(tally: Tally, names: tuple[str, ...]) -> dict[str, Any]:
    """Return the scores and the counts they come from as plain JSON types.

    `confusion` has a row for each true class and a column for each predicted one.
    """
    scores, confusion = tally.scores(), tally.confusion
    ious, accuracies, borders = iou(confusion), accuracy(confusion), boundary_f(tally.borders)
    pixels, predicted = labeled_pixels(confusion), predicted_pixels(confusion)
    return scores | {
        "miou_by_convention": {
            "all_classes": scores["miou"],
            "classes_labeled_or_predicted": miou_occurring(confusion),
            "classes_labeled": miou_labeled(confusion),
        },
        "per_class": [
            {
                "name": name,
                "iou": _finite(ious[index]),
                "accuracy": _finite(accuracies[index]),
                "boundary_f": _finite(borders[index]),
                "pixels": int(pixels[index]),
                "predicted": int(predicted[index]),
                "images": int(tally.images[index]),
            }
            for index, name in enumerate(names)
        ],
        "confusion": confusion.tolist(),
        "pictures": [
            {
                "name": picture.name,
                "miou": _finite(picture.miou),
                "pixel_accuracy": _finite(picture.pixel_accuracy),
            }
            for picture in tally.pictures
        ],
    }


def _finite(value: float) -> float | None:
    """Return a number for JSON, which has no NaN: None instead."""
    return None if math.isnan(value) else float(value)
