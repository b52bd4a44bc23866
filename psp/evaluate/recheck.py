"""A stored evaluation measured anew: what is not the same before, and where the result differs.

Counts are integers, so the same network on the same pictures, on the same kind of device, gives the
same confusion matrix to the last pixel, and that is what is compared.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from psp.errors import PspError
from psp.evaluate.evaluation import Evaluation, procedure_fingerprint
from psp.evaluate.metrics import SCORES, Counts
from psp.evaluate.record import EvaluationRecord
from psp.evaluate.tally import PictureScore
from psp.model.procedure import Procedure
from psp.model.weights import Header
from psp.version import __version__

DIGITS = 12  # of a fingerprint that are shown
ROUNDING = 1e-9  # of scores from 0 to 1: how sums are ordered is numpy's affair
NAMED = 5  # pictures


@dataclass(frozen=True)
class Measuring:
    """What is about to be measured, in the terms of a stored evaluation."""

    split: str
    shards: Mapping[str, str]  # SHA-256 by file name
    data_fingerprint: str
    weights_sha256: str
    classes: tuple[str, ...]
    procedure: Procedure
    precision: str


@dataclass(frozen=True)
class Recheck:
    """What a new measurement says of a stored one. `differences` is empty if they agree."""

    path: Path
    unlike: tuple[str, ...]  # what was measured otherwise: weights, data, procedure, versions
    equal: tuple[str, ...]  # of the result
    differences: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "file": str(self.path),
            "same": not self.differences,
            "measured_otherwise": list(self.unlike),
            "equal": list(self.equal),
            "differences": list(self.differences),
        }


def same_procedure(record: EvaluationRecord) -> Callable[[Header], Procedure]:
    """Return the function of a weights' header that gives the procedure of a stored evaluation.

    Raises PspError if this psp does not have it; the function does if the network cannot be run so.
    """
    procedure = record.how()

    def chosen(header: Header) -> Procedure:
        procedure.check_sides(header.architecture.align_corners)
        return procedure

    return chosen


def unlike_stored(record: EvaluationRecord, new: Measuring) -> list[str]:
    """Return what is about to be measured otherwise than the stored evaluation was, a line each.

    Raises PspError if the classes are others, so that nothing could be compared.
    """
    names = tuple(entry.name for entry in record.classes)
    if names != new.classes:
        raise PspError(
            f"{record.path}: of another model: its {len(names)} classes are not the "
            f"{len(new.classes)} of this one. Name the model that it was measured with"
        )
    found = []
    if record.split != new.split:
        found.append(f"another split: {record.split} there, {new.split} here")
    here: object = sorted(new.shards.values()) if record.shards else new.data_fingerprint
    if record.data is None:
        found.append("whether the data are the same is not known: an older psp did not store it")
    elif record.data != here:
        found.append(
            f"other data: shards of {_short(record.data_fingerprint)} there, "
            f"{_short(new.data_fingerprint)} here"
        )
    if record.weights_sha256 is None:
        found.append("whether the weights are the same is not known: an older psp did not store it")
    elif record.weights_sha256 != new.weights_sha256:
        found.append(
            f"other weights: {_short(record.weights_sha256)} there, {_short(new.weights_sha256)} "
            "here (SHA-256)"
        )
    own = procedure_fingerprint(asdict(new.procedure), new.precision)
    if record.procedure_fingerprint != own:
        found.append(
            f"another procedure: {_short(record.procedure_fingerprint)} there, {_short(own)} here"
            + f" (precision {record.precision} and {new.precision})"
            * (record.precision != new.precision)
        )
    versions = {"psp": __version__, "torch": torch.__version__}
    found += [
        f"other {name}: {record.versions[name]} there, {own} here"
        for name, own in versions.items()
        if record.versions.get(name, own) != own
    ]
    return found


def recheck(evaluation: Evaluation, record: EvaluationRecord) -> Recheck:
    """Compare a new evaluation with a stored one of the same classes.

    Raises PspError if the new one has no scores.
    """
    tally = evaluation.tally
    if tally is None:
        raise PspError(
            f"{record.path}: cannot be checked: {evaluation.dataset} {evaluation.split} has no "
            "labels here. Name the shards that it was measured on: --data SHARDS"
        )
    equal, differences = [], []
    scores = tally.scores()
    known = [score for score in SCORES if score.key in record.scores]
    moved = [s for s in known if abs(scores[s.key] - record.scores[s.key]) > ROUNDING]
    if len(known) > len(moved):
        equal.append(f"{len(known) - len(moved)} of {len(known)} scores")
    for score in moved:
        there, here = 100 * record.scores[score.key], 100 * scores[score.key]
        differences.append(f"{score.title}: {there:.4f} there, {here:.4f} here")
    for title, stored, counted, unit in (
        ("confusion matrix", record.confusion, tally.confusion, "pixels"),
        ("counts of borders", record.borders, tally.borders, "border pixels"),
    ):
        if stored is None:
            differences.append(f"{title}: the file has none to compare")
        elif text := _other_counts(stored, counted, unit):
            differences.append(f"{title}: {text}")
        else:
            equal.append(title)
    pictures = _other_pictures(record, tally.pictures)
    (differences if pictures else equal).append(pictures or "every picture's scores")
    unlike = unlike_stored(record, _measured(evaluation))
    return Recheck(record.path, tuple(unlike), tuple(equal), tuple(differences))


def _measured(evaluation: Evaluation) -> Measuring:
    return Measuring(
        split=evaluation.split,
        shards=evaluation.shards,
        data_fingerprint=evaluation.data_fingerprint,
        weights_sha256=evaluation.weights_sha256,
        classes=evaluation.header.classes,
        procedure=evaluation.procedure,
        precision=evaluation.precision,
    )


def _short(digest: str | None) -> str:
    return (digest or "unknown")[:DIGITS]


def _other_counts(stored: Counts, counted: Counts, unit: str) -> str:
    """Return how many counts differ, and the sums; "" if none does."""
    other = int((stored != counted).sum())
    if not other:
        return ""
    apart = int(np.abs(stored - counted).sum())
    return (
        f"{other:,} of {stored.size:,} counts differ, by {apart:,} {unit} in all; "
        f"{int(stored.sum()):,} are counted there, {int(counted.sum()):,} here"
    )


def _other_pictures(record: EvaluationRecord, pictures: list[PictureScore]) -> str:
    """Return which pictures have other scores, those that moved most first; "" if none."""
    there = {entry.name: entry for entry in record.pictures}
    here = {entry.name: entry for entry in pictures}
    moved = {}
    for name in there.keys() & here.keys():
        pairs = (
            (there[name].miou, here[name].miou),
            (there[name].pixel_accuracy, here[name].pixel_accuracy),
        )
        apart = max(_apart(stored, counted) for stored, counted in pairs)
        if apart > ROUNDING:
            moved[name] = apart
    parts = []
    if moved:
        most = sorted(moved, key=lambda name: (-moved[name], name))[:NAMED]
        more = ", …" if len(moved) > NAMED else ""
        parts.append(f"{len(moved)} of {len(here)} pictures differ: {', '.join(most)}{more}")
    for names, where in (
        (there.keys() - here.keys(), "there"),
        (here.keys() - there.keys(), "here"),
    ):
        if names:
            parts.append(f"{len(names)} pictures only {where}, such as {min(names)}")
    return "; ".join(parts)


def _apart(stored: float | None, counted: float) -> float:
    """Return the difference of two scores; an undefined one is None or NaN."""
    undefined = counted != counted
    if stored is None or undefined:
        return float((stored is None) != undefined)
    return abs(stored - counted)
