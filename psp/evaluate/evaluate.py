"""Score a model on a split, and write label files for a benchmark's server."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import distributed

from psp.data.find import find_shards
from psp.data.shards import ShardSplit
from psp.errors import PspError
from psp.evaluate.boundary import boundary_counts
from psp.evaluate.count import (
    PredictedSample,
    check_classes,
    check_labeled,
    predict_samples,
)
from psp.evaluate.evaluation import Evaluation
from psp.evaluate.leaderboard import Leaderboard
from psp.evaluate.metrics import Counts
from psp.evaluate.recheck import Measuring, unlike_stored
from psp.evaluate.record import EvaluationRecord
from psp.evaluate.report import page_of, write_report
from psp.evaluate.shown import SIDES, Candidates, shown_pictures
from psp.evaluate.tally import Tally, sum_tallies
from psp.events import Notice, Progress, Report, ignore
from psp.files import file_sha256, is_free, make_folder, write_json
from psp.images.resize import shrunk_labels
from psp.locks import one_at_a_time, only_writer
from psp.model.choice import Choice
from psp.model.engines.registry import choose_engine
from psp.model.inference import SlidingWindow
from psp.model.load import load_sliding_window
from psp.model.procedure import Procedure, other_scale
from psp.model.weights import Header
from psp.ranks import Share, connect, others_there
from psp.runs import Model
from psp.workers import cores, prefetch_map

THREADS = 4  # that measure borders and write label files; fewer on a machine with fewer cores
MAX_WAITING = 256 << 20  # bytes of label maps that may wait for these threads


@dataclass(frozen=True, kw_only=True)
class EvaluateRequest:
    """What to score and how.

    `procedure` returns the test procedure for a model with the given weights header. None as `data`
    is the shards the model was trained with, None as `split` their validation split. `save_labels`
    is a new folder for a leaderboard's label files. `out` is where the result goes, None into the
    run's `evaluations` folder; with `report`, a page goes there too. `against` is a stored
    evaluation to be measured again: what is not the same is reported before, and the run's folder
    is left alone. Under torchrun each process evaluates its `share` of the pictures.
    """

    model: Model
    procedure: Callable[[Header], Procedure]
    device: torch.device
    data: Path | None = None
    split: str | None = None
    precision: str = "auto"
    engine: str | None = None  # what runs the network; None: by the kind of file
    window_batch: int | None = None
    compiled: bool = False
    save_labels: Path | None = None
    out: Path | None = None
    report: bool = True
    against: EvaluationRecord | None = None
    share: Share = field(default_factory=Share)


def evaluate(request: EvaluateRequest, report: Report = ignore) -> Evaluation | None:
    """Score a model on a split; of several ranks, the first returns the result of all.

    The result and its report are written into the run's `evaluations` folder or `out`, label files
    into `save_labels`, a folder or an archive. The other ranks return None. Raises PspError when
    the shards are missing, have other classes, or no labels and no label files are asked for.
    """
    with ExitStack() as around:
        if request.save_labels and request.share.first:  # before the first byte
            around.enter_context(only_writer(request.save_labels, report))
        return _evaluate(request, report)


def _evaluate(request: EvaluateRequest, report: Report) -> Evaluation | None:
    """Do the work of `evaluate` as the only call that writes these label files."""
    model, share = request.model, request.share
    shards = _open_shards(request)
    leaderboard = _leaderboard(request, shards)
    chosen = choose_engine(model.path, request.engine, request.precision, request.device)
    sliding_window, header = load_sliding_window(
        model.path,
        request.device,
        chosen.precision,
        engine=chosen.name,
        window_batch=request.window_batch,
        compiled=request.compiled,
        report=report,
    )
    check_classes(shards, header.classes, str(model.path))
    procedure = request.procedure(header)
    stored = shards.conversion["max_side"]
    if remark := other_scale(procedure, header.base_size, header.max_side, stored):
        report(Notice(remark))
    saved = _result_file(request, shards, header, procedure)
    weights_sha256 = file_sha256(model.path)
    if request.against and share.first:
        new = Measuring(
            split=shards.split,
            shards=shards.sha256,
            data_fingerprint=shards.fingerprint,
            weights_sha256=weights_sha256,
            classes=header.classes,
            procedure=procedure,
            precision=chosen.text,
        )
        for text in unlike_stored(request.against, new):
            report(Notice(text))
    _begin_together(share, leaderboard)
    indices = share.of(range(len(shards)))
    candidates = Candidates(len(shards) if saved and request.report else 0)
    sliding_window = replace(sliding_window, report=report)
    own = tally_samples(sliding_window, shards, procedure, indices, leaderboard, candidates, report)
    tally = _gather(own, candidates, share)
    shown = shown_pictures(candidates, tally.pictures, shards) if tally else []
    shards.close()
    if tally is None:
        return None
    if leaderboard and request.save_labels:
        leaderboard.put_in_place(request.save_labels)
    evaluation = Evaluation(
        tally=tally if shards.labeled else None,
        header=header,
        procedure=procedure,
        model=model,
        weights_sha256=weights_sha256,
        data_fingerprint=shards.fingerprint,
        shards=shards.sha256,
        dataset=shards.card.name,
        split=shards.split,
        images=len(shards),
        precision=chosen.text,
        saved=saved,
        page=page_of(saved) if saved and request.report else None,
        labels=request.save_labels,
    )
    if saved:
        with one_at_a_time(saved.parent):  # another call may write the same name
            write_json(saved, evaluation.to_dict(), tables=True)
            if request.report:
                write_report(saved, None if request.out else model.run, shown)
    return evaluation


def _open_shards(request: EvaluateRequest) -> ShardSplit:
    """Return the split to score. Raises PspError if nothing says where its shards are."""
    run = request.model.run
    if request.data is not None:
        folder: Path | None = find_shards(request.data)
    else:
        folder = Path(run.read_config()["data"]) if run else None
    if folder is None:
        raise PspError(
            f"{request.model.path}: name the shards to score this weights file on: --data SHARDS"
        )
    split = request.split or (run.training_config().data.val_split if run else "val")
    return ShardSplit(folder, split)


def _leaderboard(request: EvaluateRequest, shards: ShardSplit) -> Leaderboard | None:
    """Return what writes the label files, if they are asked for; else the split needs labels."""
    if request.save_labels is None:
        check_labeled(shards)
        return None
    return Leaderboard(_partial_folder(request.save_labels), shards)


def _result_file(
    request: EvaluateRequest, shards: ShardSplit, header: Header, procedure: Procedure
) -> Path | None:
    """Return where the result is stored, in a folder that exists; None if it is not."""
    run = request.model.run
    folder = request.out or (run.evaluations if run and not request.against else None)
    if folder is None or not shards.labeled:
        return None
    make_folder(folder)
    name = _file_name(request, header, procedure, shards.split)
    if shards.fingerprint != header.data:
        name += f"-{shards.card.name}-{shards.fingerprint[:8]}"
    path = folder / f"{name}.json"
    if request.against and path.resolve() == request.against.path.resolve():
        raise PspError(f"-o {folder}: would replace {path}, which is to be checked. Name another")
    return path


def _begin_together(share: Share, leaderboard: Leaderboard | None) -> None:
    """Wait until all ranks are there and the first one has made the folder of the label files."""
    if share.total > 1:
        connect(share)
    if leaderboard and share.first:
        leaderboard.clear()
        make_folder(leaderboard.folder)
    if share.total > 1:
        with others_there():
            distributed.barrier()


def tally_samples(
    sliding_window: SlidingWindow,
    shards: ShardSplit,
    procedure: Procedure,
    indices: Sequence[int],
    leaderboard: Leaderboard | None,
    candidates: Candidates,
    report: Report = ignore,
) -> Tally:
    """Predict the samples `indices` of a split, count them and write their label files.

    The confusion matrix is counted on the device; threads measure borders and write files. What may
    be shown is added to `candidates`.
    """
    classes = sliding_window.classes
    tally = Tally(classes)

    def to_host(sample: PredictedSample) -> tuple[PredictedSample, Counts, NDArray[np.uint8]]:
        confusion = sample.confusion(classes) if shards.labeled else torch.zeros((0, 0))
        return sample, confusion.cpu().numpy(), sample.prediction.cpu().numpy()

    def finish(
        item: tuple[PredictedSample, Counts, NDArray[np.uint8]],
    ) -> tuple[int, Counts, Counts | None, NDArray[np.uint8]]:
        sample, confusion, prediction = item
        small = shrunk_labels(prediction, SIDES[0])
        if leaderboard:
            leaderboard.write(shards.names[sample.index], prediction)
        if sample.target is None:
            return sample.index, confusion, None, small
        borders = boundary_counts(sample.target, prediction, classes)
        return sample.index, confusion, borders, small

    with closing(predict_samples(sliding_window, shards, procedure, indices)) as samples:
        finished = prefetch_map(
            finish,
            map(to_host, samples),
            min(THREADS, cores()),
            lambda item: 2 * item[2].nbytes,
            MAX_WAITING,
        )
        with closing(finished) as results:
            for done, (index, confusion, borders, small) in enumerate(results, start=1):
                if borders is not None:
                    tally.add(index, shards.names[index], confusion, borders)
                    candidates.add(tally.pictures[-1], small)
                report(Progress(done, len(indices), "pictures"))
    return tally


def _gather(own: Tally, candidates: Candidates, share: Share) -> Tally | None:
    """Return the sum of all ranks' tallies on the first rank, None on the others.

    The first rank's candidates become those of all.
    """
    if share.total == 1:
        return own
    mine = own, candidates
    all_ranks = [mine] * share.total if share.first else None
    with others_there():
        distributed.gather_object(mine, all_ranks)
    if all_ranks is None:
        return None
    candidates.join(others for _, others in all_ranks[1:])
    return sum_tallies((tally for tally, _ in all_ranks), len(own.confusion))


def _partial_folder(folder: Path) -> Path:
    """Return the folder for label files until all are written.

    Raises PspError if `folder` exists and is not empty.
    """
    if not is_free(folder):
        raise PspError(f"--save-labels {folder}: exists already. Name a new one")
    return folder.with_name(f"{folder.name}.partial")


def _file_name(request: EvaluateRequest, header: Header, procedure: Procedure, split: str) -> str:
    """Return {split}-{procedure}, followed by whatever differs from the weights' defaults."""
    name = f"{split}-{procedure.label}"
    usual = Choice(named=procedure.name, scales=procedure.scales)(header)
    if procedure.crop != usual.crop:
        name += f"-crop{procedure.crop}"
    elif procedure.windows != usual.windows:
        name += f"-{procedure.windows}"
    if procedure.stride not in (None, usual.stride):
        name += f"-stride{procedure.stride}"
    if procedure.base_size not in (None, usual.base_size):
        name += f"-base{procedure.base_size}"
    elif (procedure.resize, procedure.base_size) != (usual.resize, usual.base_size):
        name += f"-{(procedure.resize or 'own').replace(':', '')}"
    if request.precision != "auto" and not request.against:
        name += f"-{request.precision}"
    if request.engine not in (None, "torch") and not request.against:
        name += f"-{request.engine}"
    if request.model.which != "best":
        name += f"-{request.model.which}"
    return name
