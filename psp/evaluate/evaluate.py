"""Score a model on a split, and write label files for a benchmark's server."""

import math
import shutil
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import distributed

from psp.data.shards import ShardSplit
from psp.device import pick_inference_precision, precision_name
from psp.errors import PspError
from psp.evaluate.boundary import boundary_counts
from psp.evaluate.count import (
    PredictedSample,
    check_classes,
    check_labeled,
    predict_samples,
)
from psp.evaluate.leaderboard import Leaderboard
from psp.evaluate.metrics import Counts, Tally, sum_tallies
from psp.files import is_free, make_folder, write_json
from psp.model.inference import SlidingWindow, load_sliding_window
from psp.model.procedure import Procedure
from psp.model.weights import Header
from psp.ranks import Share, connect
from psp.runs import Model
from psp.workers import cores, prefetch_map

THREADS = 4  # that measure borders and write label files; fewer on a machine with fewer cores
MAX_WAITING = 256 << 20  # bytes of label maps that may wait for these threads


@dataclass(frozen=True)
class Evaluation:
    """What was scored, how, and the result."""

    tally: Tally | None  # None: the split has no labels
    header: Header
    procedure: Procedure
    model: Model
    dataset: str
    split: str
    images: int
    same_data: bool  # the shards are those the model was trained with
    precision: str
    saved: Path | None  # the JSON file in the run's folder, if the model belongs to a run
    labels: Path | None = None  # the folder of the label files, if they were asked for

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types; undefined scores are null."""
        record: dict[str, Any] = {
            "dataset": self.dataset,
            "split": self.split,
            "images": self.images,
            "model": str(self.model.path),
            "weights": self.model.which,
            "step": self.header.step,
            "trained_on_these_shards": self.same_data,
            "procedure": {
                **asdict(self.procedure),
                "label": self.procedure.label,
                "scales": list(self.procedure.scales),
                "precision": self.precision,
                "miou": "mean over all classes; one without any pixel counts 0",
            },
            "label_files": str(self.labels) if self.labels else None,
        }
        if self.tally is None:
            return record
        return record | _scores(self.tally, self.header.classes)


def _scores(tally: Tally, names: tuple[str, ...]) -> dict[str, Any]:
    """Return all scores as plain JSON types."""
    scores, borders = tally.confusion.scores(), tally.boundary_f()
    return {
        "miou": scores.miou,
        "miou_by_convention": {
            "all_classes": scores.miou,
            "classes_labeled_or_predicted": scores.miou_occurring,
            "classes_labeled": scores.miou_labeled,
        },
        "mean_accuracy": scores.mean_accuracy,
        "pixel_accuracy": scores.pixel_accuracy,
        "frequency_weighted_iou": scores.frequency_weighted_iou,
        "boundary_f": tally.boundary_mean,
        "ade_score": scores.ade_score,
        "per_class": [
            {
                "name": name,
                "iou": _finite(scores.iou[index]),
                "accuracy": _finite(scores.accuracy[index]),
                "boundary_f": _finite(borders[index]),
                "pixels": int(scores.pixels[index]),
                "predicted": int(scores.predicted[index]),
                "images": int(tally.images[index]),
            }
            for index, name in enumerate(names)
        ],
        "pictures": [
            {
                "name": picture.name,
                "miou": _finite(picture.miou),
                "pixel_accuracy": _finite(picture.pixel_accuracy),
            }
            for picture in tally.pictures
        ],
    }


def evaluate(
    model: Model,
    *,
    data: Path | None = None,
    split: str | None = None,
    procedure: Callable[[Header], Procedure],
    device: torch.device,
    precision: str = "auto",
    window_batch: int | None = None,
    compiled: bool = False,
    save_labels: Path | None = None,
    share: Share | None = None,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Evaluation | None:
    """Score `model` on a split of the shards it was trained with, or of `data`.

    `procedure` returns the test procedure for a model with the given weights header; `report` gets
    the number of pictures done and their total. The result is written into the run's `evaluations`
    folder, label files for a leaderboard into the new folder `save_labels`. Under torchrun each
    process evaluates its `share` of the pictures; the first returns the result of all of them, the
    others return None. Raises PspError when the shards are missing, have other classes, or have no
    labels and `save_labels` is None.
    """
    share = share or Share()
    config = model.run.read_config() if model.run else {}
    folder = data or (Path(config["data"]) if config else None)
    if folder is None:
        raise PspError(
            f"{model.path}: name the shards to score this weights file on: --data SHARDS"
        )
    split = split or (model.run.training_config().data.val_split if model.run else "val")
    shards = ShardSplit(folder, split)
    leaderboard = None
    if save_labels is not None:
        leaderboard = Leaderboard(_partial_folder(save_labels), shards)
    else:
        check_labeled(shards)
    dtype = pick_inference_precision(precision, device)
    sliding_window, header = load_sliding_window(
        model.path, device, dtype, window_batch=window_batch, compiled=compiled
    )
    check_classes(shards, header.classes, str(model.path))
    chosen = procedure(header)
    same_data = shards.fingerprint == header.data
    saved = None
    if model.run and shards.labeled:
        make_folder(model.run.evaluations)
        name = _file_name(model, header, chosen, split, precision)
        name += "" if same_data else f"-{shards.card.name}-{shards.fingerprint[:8]}"
        saved = model.run.evaluations / f"{name}.json"
    indices = share.of(range(len(shards)))
    if share.total > 1:
        connect(share)
    if leaderboard and share.first:
        shutil.rmtree(leaderboard.folder, ignore_errors=True)  # of an interrupted call
        make_folder(leaderboard.folder)
    if share.total > 1:
        distributed.barrier()
    own = tally_samples(sliding_window, shards, chosen, indices, leaderboard, report)
    tally = _gather(own, share)
    shards.close()
    if tally is None:
        return None
    if leaderboard and save_labels:
        leaderboard.folder.rename(save_labels)
    evaluation = Evaluation(
        tally=tally if shards.labeled else None,
        header=header,
        procedure=chosen,
        model=model,
        dataset=shards.card.name,
        split=split,
        images=len(shards),
        same_data=same_data,
        precision=precision_name(dtype),
        saved=saved,
        labels=save_labels,
    )
    if evaluation.saved:
        write_json(evaluation.saved, evaluation.to_dict())
    return evaluation


def tally_samples(
    sliding_window: SlidingWindow,
    shards: ShardSplit,
    procedure: Procedure,
    indices: Sequence[int],
    leaderboard: Leaderboard | None,
    report: Callable[[int, int], None],
) -> Tally:
    """Predict the samples `indices` of a split, count them and write their label files.

    The confusion matrix is counted on the device; threads measure borders and write files.
    """
    classes = sliding_window.classes
    tally = Tally(classes)

    def to_host(sample: PredictedSample) -> tuple[PredictedSample, Counts, NDArray[np.uint8]]:
        counts = sample.counts(classes) if shards.labeled else torch.zeros(0)
        return sample, counts.cpu().numpy(), sample.prediction.cpu().numpy()

    def finish(
        item: tuple[PredictedSample, Counts, NDArray[np.uint8]],
    ) -> tuple[int, Counts, Counts | None]:
        sample, counts, prediction = item
        if leaderboard:
            leaderboard.write(shards.names[sample.index], prediction)
        if sample.target is None:
            return sample.index, counts, None
        return sample.index, counts, boundary_counts(sample.target, prediction, classes)

    with closing(predict_samples(sliding_window, shards, procedure, indices)) as samples:
        finished = prefetch_map(
            finish,
            map(to_host, samples),
            min(THREADS, cores()),
            lambda item: 2 * item[2].nbytes,
            MAX_WAITING,
        )
        with closing(finished) as results:
            for done, (index, counts, borders) in enumerate(results, start=1):
                if borders is not None:
                    tally.add(index, shards.names[index], counts, borders)
                report(done, len(indices))
    return tally


def _gather(own: Tally, share: Share) -> Tally | None:
    """Return the sum of all ranks' tallies on the first rank, None on the others."""
    if share.total == 1:
        return own
    tallies: list[Tally] | None = [own] * share.total if share.first else None
    distributed.gather_object(own, tallies)
    return sum_tallies(tallies, own.confusion.classes) if tallies else None


def _partial_folder(folder: Path) -> Path:
    """Return the folder for label files until all are written.

    Raises PspError if `folder` exists and is not empty.
    """
    if not is_free(folder):
        raise PspError(f"--save-labels {folder}: exists already. Name a new folder")
    return folder.with_name(f"{folder.name}.partial")


def _file_name(
    model: Model, header: Header, procedure: Procedure, split: str, precision: str
) -> str:
    """Return {split}-{procedure}, followed by whatever differs from the weights' defaults."""
    name = f"{split}-{procedure.label}"
    if procedure.crop != header.crop:
        name += f"-crop{procedure.crop}"
    if procedure.base_size != header.base_size:
        name += f"-base{procedure.base_size}"
    if precision != "auto":
        name += f"-{precision}"
    if model.which != "best":
        name += f"-{model.which}"
    return name


def _finite(value: float) -> float | None:
    """Return a number for JSON, which has no NaN: None instead."""
    return None if math.isnan(value) else float(value)
