"""psp evaluate: score a model on a split."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from psp.device import pick_inference_precision, precision_name
from psp.errors import PspError
from psp.files import make_folder, write_json
from psp.infer import Protocol, load_segmenter
from psp.metrics import Scores
from psp.runs import Model
from psp.score import check_classes, check_labeled, score_split
from psp.shards import ShardSplit
from psp.weights import Header


@dataclass(frozen=True)
class Evaluation:
    """What was scored, how, and the result. `saved` is the JSON in the run, if there is a run."""

    scores: Scores
    header: Header
    protocol: Protocol
    model: Model
    dataset: str
    split: str
    images: int
    same_data: bool  # the shards are those the model was trained with
    precision: str
    saved: Path | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types; undefined scores are null."""
        scores = self.scores
        return {
            "dataset": self.dataset,
            "split": self.split,
            "images": self.images,
            "model": str(self.model.path),
            "weights": self.model.which,
            "step": self.header.step,
            "trained_on_these_shards": self.same_data,
            "protocol": {
                "name": self.protocol.name,
                "crop": self.protocol.crop,
                "base_size": self.protocol.base_size,
                "scales": list(self.protocol.scales),
                "flip": self.protocol.flip,
                "precision": self.precision,
                "miou": "mean over all classes; one without any pixel counts 0",
            },
            "miou": scores.miou,
            "mean_accuracy": scores.mean_accuracy,
            "pixel_accuracy": scores.pixel_accuracy,
            "per_class": [
                {
                    "name": name,
                    "iou": _number(iou),
                    "accuracy": _number(accuracy),
                    "pixels": int(pixels),
                }
                for name, iou, accuracy, pixels in zip(
                    self.header.classes, scores.iou, scores.accuracy, scores.pixels, strict=True
                )
            ],
        }


def evaluate(
    model: Model,
    *,
    data: Path | None = None,
    split: str | None = None,
    protocol: Callable[[Header], Protocol],
    device: torch.device,
    precision: str = "auto",
    window_batch: int | None = None,
    compiled: bool = False,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Evaluation:
    """Score `model` on a split of the shards it was trained with, or of `data`.

    `protocol` makes the test protocol from what the weights say of themselves; `report` gets the
    pictures done and their total. The result is written into the run's `evaluations` folder.
    Raises PspError when the shards are missing or have other classes.
    """
    config = model.run.read_config() if model.run else {}
    folder = data or (Path(config["data"]) if config else None)
    if folder is None:
        raise PspError(f"{model.path}: a weights file does not know its shards. Add --data SHARDS")
    split = split or (model.run.training_config().val_split if model.run else "val")
    shards = ShardSplit(folder, split)
    check_labeled(shards)
    dtype = pick_inference_precision(precision, device)
    segmenter, header = load_segmenter(
        model.path, device, dtype, window_batch=window_batch, compiled=compiled
    )
    check_classes(shards, header.classes, str(model.path))
    chosen = protocol(header)
    same_data = shards.fingerprint == header.data
    saved = None
    if model.run:
        make_folder(model.run.evaluations)
        name = _file_name(model, header, chosen, split, precision)
        name += "" if same_data else f"-{shards.card.name}-{shards.fingerprint[:8]}"
        saved = model.run.evaluations / f"{name}.json"
    confusion = score_split(segmenter, shards, chosen, lambda done: report(done, len(shards)))
    shards.close()
    evaluation = Evaluation(
        scores=confusion.scores(),
        header=header,
        protocol=chosen,
        model=model,
        dataset=shards.card.name,
        split=split,
        images=len(shards),
        same_data=same_data,
        precision=precision_name(dtype),
        saved=saved,
    )
    if evaluation.saved:
        write_json(evaluation.saved, evaluation.to_dict())
    return evaluation


def _file_name(model: Model, header: Header, protocol: Protocol, split: str, precision: str) -> str:
    """Return {split}-{protocol}; what the user asked for beyond the default is in the name."""
    name = f"{split}-{protocol.name}"
    if protocol.crop != header.crop:
        name += f"-crop{protocol.crop}"
    if protocol.base_size != header.base_size:
        name += f"-base{protocol.base_size}"
    if precision != "auto":
        name += f"-{precision}"
    if model.which != "best":
        name += f"-{model.which}"
    return name


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
