"""A validation while training: whole pictures scored, and the weights written."""

import time

import torch
from torch import Tensor

from psp.evaluate.count import predict_samples, score_split
from psp.evaluate.metrics import Counts, scores_of
from psp.events import Progress
from psp.model.fold import fold, refold
from psp.model.inference import SlidingWindow, folded_window
from psp.model.weights import Header, save_weights
from psp.train.distributed import plain_copy
from psp.train.freeze import training_mode
from psp.train.run_log import PICTURES, Validation
from psp.train.state import TrainingState
from psp.train.tested import carried, validation


class _Stopped(Exception):
    """The user asked to stop while a validation was running."""


def validate(state: TrainingState, step: int) -> None:
    """Score whole pictures; write the last weights, and the best ones if these are the best."""
    begin = time.perf_counter()
    confusion = _confusion(state)
    if confusion is None:
        return
    scores = scores_of(confusion)
    best = scores["miou"] > state.best["miou"]
    state.best |= {"validated": step, "since": 0 if best else state.best.get("since", 0) + 1}
    _save(state, "last", step)
    if best:
        state.best |= {"miou": scores["miou"], "step": step}
        _save(state, "best", step)
    state.log(
        Validation(
            step=step,
            scores=scores,
            best=best,
            seconds=time.perf_counter() - begin,
        )
    )
    if state.pictures is not None:
        state.pictures.draw(step, confusion)


def _confusion(state: TrainingState) -> Counts | None:
    """Count over all ranks, each its share of the pictures; None if a stop ends it."""
    try:
        state.kept.eval()
        with state.ranks.all_or_raise():
            own = _own_counts(state)
    finally:
        training_mode(state.network, state.config.start)
    counts = state.ranks.sum_counts(own)
    if counts is None:
        return None
    confusion: Counts = counts.numpy()
    return confusion


def _own_counts(state: TrainingState) -> Tensor | None:
    """Count this rank's pictures, int64 (classes, classes); None if a stop ends it."""
    total = len(state.val_data)

    def progress(done: int) -> None:
        state.log(Progress(min(done * state.ranks.total, total), total, PICTURES))
        if state.ranks.flags.stop_asked(state.stop()):
            raise _Stopped

    model = current_model(state)
    procedure = validation(state.config)
    share = state.ranks.share.of(range(total))
    pictures = state.pictures
    watch = pictures.keep if pictures else lambda sample: None
    try:
        confusion = score_split(model, state.val_data, procedure, progress, share, watch)
    except _Stopped:
        return None
    if pictures is not None:  # of several ranks, others have scored some of those that are shown
        others = [index for index in pictures.chosen if index not in share]
        for sample in predict_samples(model, state.val_data, procedure, others):
            watch(sample)
    return torch.from_numpy(confusion)


def current_model(state: TrainingState) -> SlidingWindow:
    """Return the network as it is now, ready to run on pictures, until the next call."""
    if state.folded is None:
        state.folded = fold(plain_copy(state.kept), state.precision)
    else:
        refold(state.folded, state.kept)
    return folded_window(state.folded, state.preprocessing, state.device, state.precision)


def _save(state: TrainingState, which: str, step: int) -> None:
    if not state.ranks.first:
        return
    card = state.data.card
    header = Header(
        architecture=state.network.spec,
        classes=card.names,
        palette=card.palette,
        dataset=card.name,
        data=state.data.fingerprint,
        crop=state.config.augmentation.crop,
        base_size=state.config.data.base_size,
        max_side=state.data.conversion["max_side"],
        step=step,
        preprocessing=state.preprocessing,
        procedure=carried(state.config),
    )
    save_weights(state.run.weights(which), state.kept.state_dict(), header)
