"""psp evaluate: score a model on a split, and write label files for a benchmark's server."""

import math
import shutil
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import timedelta
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
    Look,
    check_classes,
    check_labeled,
    predictions_of,
)
from psp.evaluate.leaderboard import Leaderboard
from psp.evaluate.metrics import Counts, Tally, joined
from psp.files import is_free, make_folder, write_json
from psp.model.inference import SlidingWindow, load_sliding_window
from psp.model.procedure import Procedure
from psp.model.weights import Header
from psp.ranks import Share
from psp.runs import Model
from psp.workers import cores, prefetch_map

THREADS = 4  # that measure borders and write label files, where there are as many cores
HELD = 256 << 20  # bytes of label maps that may wait for them
PATIENCE = timedelta(hours=6)  # how long the first rank waits for the last


@dataclass(frozen=True)
class Evaluation:
    """What was scored, how, and the result. `saved` is the JSON in the run, if there is a run."""

    tally: Tally | None  # None: the split has no labels
    header: Header
    procedure: Procedure
    model: Model
    dataset: str
    split: str
    images: int
    same_data: bool  # the shards are those the model was trained with
    precision: str
    saved: Path | None
    labels: Path | None = None  # where the label files are

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types; undefined scores are null."""
        found: dict[str, Any] = {
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
        return found if self.tally is None else found | _numbers(self.tally, self.header.classes)


def _numbers(tally: Tally, names: tuple[str, ...]) -> dict[str, Any]:
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
                "iou": _number(scores.iou[number]),
                "accuracy": _number(scores.accuracy[number]),
                "boundary_f": _number(borders[number]),
                "pixels": int(scores.pixels[number]),
                "predicted": int(scores.predicted[number]),
                "images": int(tally.images[number]),
            }
            for number, name in enumerate(names)
        ],
        "pictures": [
            {
                "name": picture.name,
                "miou": _number(picture.miou),
                "pixel_accuracy": _number(picture.pixel_accuracy),
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
    rank: Share | None = None,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Evaluation | None:
    """Score `model` on a split of the shards it was trained with, or of `data`.

    `procedure` makes the test procedure from what the weights say of themselves; `report` gets the
    pictures done and their total. The result is written into the run's `evaluations` folder, label
    files for a leaderboard into the new folder `save_labels`. Several processes that torchrun
    started share the pictures, each as its `rank`; the first returns what all have counted, the
    others None. Raises PspError when the shards are missing, have other classes, or no labels and
    `save_labels` is None.
    """
    rank = rank or Share()
    config = model.run.read_config() if model.run else {}
    folder = data or (Path(config["data"]) if config else None)
    if folder is None:
        raise PspError(f"{model.path}: a weights file does not know its shards. Add --data SHARDS")
    split = split or (model.run.training_config().val_split if model.run else "val")
    shards = ShardSplit(folder, split)
    board = None
    if save_labels is not None:
        board = Leaderboard(_partial(save_labels), shards)
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
    share = rank.of(range(len(shards)))
    _meet(rank)
    if board and rank.first:
        shutil.rmtree(board.folder, ignore_errors=True)  # what a stopped call has left
        make_folder(board.folder)
    if rank.total > 1:
        distributed.barrier()
    part = _tally(sliding_window, shards, chosen, share, board, report)
    tally = _gathered(part, rank)
    shards.close()
    if tally is None:
        return None
    if board and save_labels:
        board.folder.rename(save_labels)
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


def _tally(
    sliding_window: SlidingWindow,
    shards: ShardSplit,
    procedure: Procedure,
    share: Sequence[int],
    board: Leaderboard | None,
    report: Callable[[int, int], None],
) -> Tally:
    """Count a share of the pictures and write their label files.

    The confusion is counted on the device; borders and files are for threads.
    """
    classes = sliding_window.classes
    tally = Tally(classes)

    def counted(look: Look) -> tuple[Look, Counts, NDArray[np.uint8]]:
        counts = look.counts(classes) if shards.labeled else torch.zeros(0)
        return look, counts.cpu().numpy(), look.guess.cpu().numpy()

    def finished(
        item: tuple[Look, Counts, NDArray[np.uint8]],
    ) -> tuple[int, Counts, Counts | None]:
        look, counts, guess = item
        if board:
            board.write(shards.names[look.index], guess)
        if look.truth is None:
            return look.index, counts, None
        return look.index, counts, boundary_counts(look.truth, guess, classes)

    with closing(predictions_of(sliding_window, shards, procedure, share)) as looks:
        threads = min(THREADS, cores())
        waiting = prefetch_map(
            finished, map(counted, looks), threads, lambda i: 2 * i[2].nbytes, HELD
        )
        with closing(waiting) as results:
            for done, (index, counts, borders) in enumerate(results, start=1):
                if borders is not None:
                    tally.add(index, shards.names[index], counts, borders)
                report(done, len(share))
    return tally


def _meet(rank: Share) -> None:
    """Let the ranks that torchrun started talk to each other; counts are small, so by the CPU.

    They can do so until the process ends, as gloo now and then hangs where it is taken down.
    """
    if rank.total > 1 and not distributed.is_initialized():
        distributed.init_process_group("gloo", timeout=PATIENCE)


def _gathered(part: Tally, rank: Share) -> Tally | None:
    """Return what all ranks have counted together, on the first; None on the others."""
    if rank.total == 1:
        return part
    parts: list[Tally] | None = [part] * rank.total if rank.first else None
    distributed.gather_object(part, parts)
    return joined(parts, part.confusion.classes) if parts else None


def _partial(folder: Path) -> Path:
    """Return where label files are written until all are whole. Raises PspError if `folder` is."""
    if not is_free(folder):
        raise PspError(f"--save-labels {folder}: exists already. Name a new folder")
    return folder.with_name(f"{folder.name}.partial")


def _file_name(
    model: Model, header: Header, procedure: Procedure, split: str, precision: str
) -> str:
    """Return {split}-{procedure}; what the user asked for beyond the default is in the name."""
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


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
