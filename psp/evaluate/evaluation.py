"""The result of an evaluation, and what is stored of it: evaluations/{split}-{procedure}.json.

The file is complete: every score follows from its confusion matrix and its counts of borders, and
the hashes say of which weights, shards and procedure it is. `record.py` reads it.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch

from psp.errors import printable
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
    data_fingerprint: str  # of the shards' manifest
    shards: Mapping[str, str]  # the SHA-256 of each of the split's, by the file's name
    dataset: str
    split: str
    images: int
    precision: str
    saved: Path | None  # the JSON file, if the model belongs to a run or a folder was named
    page: Path | None = None  # the report beside it
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
            "shards": dict(self.shards),
            "model": printable(str(self.model.path)),  # JSON has no names that are no UTF-8
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
            "procedure_fingerprint": procedure_fingerprint(asdict(self.procedure), self.precision),
            "versions": {"psp": __version__, "torch": torch.__version__},
            "label_files": printable(str(self.labels)) if self.labels else None,
        }
        if self.tally is None:
            return record
        return record | _results(self.tally, self.header.classes)


def procedure_fingerprint(procedure: Mapping[str, Any], precision: str) -> str:
    """Return the SHA-256 of a procedure's values and the precision: equal ones measure equally.

    Values that are the defaults are left out, so that a value that a later psp adds changes nothing
    for the procedures before it.
    """
    return hashlib.sha256(
        json.dumps(procedure_values(procedure, precision), sort_keys=True).encode()
    ).hexdigest()


def procedure_values(procedure: Mapping[str, Any], precision: str) -> dict[str, Any]:
    """Return what of a procedure decides its scores: the values that are not the defaults."""
    values: dict[str, Any] = {"precision": precision}
    for item in fields(Procedure):
        if not item.compare:  # what is only said of it
            continue
        value = procedure.get(item.name, item.default)
        value = list(value) if isinstance(value, tuple) else value
        default = list(item.default) if isinstance(item.default, tuple) else item.default
        if value is not MISSING and value != default:
            values[item.name] = value
    return values


def _results(tally: Tally, names: tuple[str, ...]) -> dict[str, Any]:
    """Return the scores and the counts they come from as plain JSON types.

    `confusion` has a row for each true class and a column for each predicted one, `borders` a row
    for each class and the columns of boundary.py.
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
        "borders": tally.borders.tolist(),
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
