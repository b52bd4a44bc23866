"""Reading evaluations/*.json: those of this psp, and those of psp 0.1.0, which stored no counts."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from psp.errors import PspError
from psp.evaluate.evaluation import procedure_fingerprint
from psp.evaluate.metrics import SCORES, Counts, scores_of
from psp.headers import Fields, is_whole, read_header
from psp.model.procedure import Procedure

_FIELDS = frozenset(Procedure.__dataclass_fields__)
# What is stored with a procedure beside its fields; `way` by psp 0.1.0.
_BESIDE = frozenset({"label", "miou", "precision", "way"})


@dataclass(frozen=True)
class ClassScores:
    """One class's scores, 0 to 1, None where undefined; its pixels; pictures it is labeled in."""

    name: str
    iou: float | None
    accuracy: float | None
    boundary_f: float | None
    pixels: int
    predicted: int
    images: int


@dataclass(frozen=True)
class PictureScores:
    """One picture's scores, 0 to 1; None if all of it is void."""

    name: str
    miou: float | None
    pixel_accuracy: float | None


@dataclass(frozen=True)
class EvaluationRecord:
    """A stored evaluation. What psp 0.1.0 did not store is None."""

    path: Path
    dataset: str
    split: str
    images: int
    model: str | None  # the path of the weights
    weights: str  # "best", "last" or a file's name
    weights_sha256: str | None
    step: int
    data_fingerprint: str | None
    shards: Mapping[str, str] | None  # SHA-256 by file name
    procedure: Mapping[str, Any]  # the fields of Procedure
    precision: str
    scores: Mapping[str, float]  # by the keys of SCORES
    conventions: Mapping[str, float]  # three means of IoU, by the keys of the file
    classes: tuple[ClassScores, ...]
    pictures: tuple[PictureScores, ...]
    confusion: Counts | None  # int64 (classes, classes), [true, predicted]
    borders: Counts | None  # int64 (classes, 4)
    versions: Mapping[str, str]

    @property
    def name(self) -> str:
        """The file's name without .json: {split}-{procedure}."""
        return self.path.stem

    @property
    def procedure_fingerprint(self) -> str:
        """The same for evaluations that were measured in the same way."""
        return procedure_fingerprint(self.procedure, self.precision)

    @property
    def arithmetic(self) -> str:
        """fp32 or bf16, without the engine that computed in it."""
        return self.precision.partition(" ")[0]

    @property
    def engine(self) -> str:
        """What ran the network; it stands behind the precision, but for torch."""
        return self.precision.partition(" ")[2] or "torch"

    @property
    def data(self) -> object:
        """What is equal for evaluations on the same pictures and labels: the split's shards."""
        return sorted(self.shards.values()) if self.shards else self.data_fingerprint

    def described(self) -> str:
        """Return one line on what was scored, and how. Raises PspError as `how`."""
        data = f"{self.dataset} {self.split}, {self.images} pictures"
        return f"{data} · {self.how().description} · {self.precision}"

    def how(self) -> Procedure:
        """Return the procedure. Raises PspError if it is one that this psp does not have."""
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in self.procedure.items()
            if key in _FIELDS
        }
        try:
            return Procedure(**values)
        except (PspError, TypeError) as error:
            raise PspError(f"{self.path}: damaged: its procedure: {error}") from None


def read_record(path: Path) -> EvaluationRecord:
    """Return a stored evaluation. Raises PspError for a file that is none, or is damaged."""
    if path.suffix != ".json":
        raise PspError(
            f"{path}: not a stored evaluation, which is a .json file. psp evaluate writes them: "
            "into a run, or where -o says"
        )
    value = read_header(path)
    if "split" not in value or "per_class" not in value:
        raise PspError(
            f"{path}: not an evaluation that psp stored. psp evaluate writes them: into a run, or "
            "where -o says"
        )
    classes = tuple(map(_class, value.objects("per_class")))
    procedure = _procedure(value)
    shards = value.object("shards") if "shards" in value else None
    versions = value.object("versions", {})
    conventions = value.object("miou_by_convention")
    confusion = _counts(value, "confusion", len(classes), len(classes))
    borders = _counts(value, "borders", len(classes), 4)
    # Scores that the file was written without, as an older psp had fewer, follow from its counts.
    later = {} if confusion is None else scores_of(confusion, borders)
    stored = {s.key: value.number(s.key, 0, 1) for s in SCORES if s.key in value}
    return EvaluationRecord(
        path=path,
        dataset=value.text("dataset"),
        split=value.text("split"),
        images=value.whole("images"),
        model=value.text("model", None),
        weights=value.text("weights"),
        weights_sha256=value.text("weights_sha256", None),
        step=value.whole("step"),
        data_fingerprint=value.text("data_fingerprint", None),
        shards={key: shards.text(key) for key in shards.value} if shards else None,
        procedure=procedure.value,
        precision=procedure.text("precision", "fp32"),
        scores=later | stored,
        conventions={key: conventions.number(key, 0, 1) for key in conventions.value},
        classes=classes,
        pictures=tuple(map(_picture, value.objects("pictures"))),
        confusion=confusion,
        borders=borders,
        versions={key: versions.text(key) for key in versions.value},
    )


def stored_records(folder: Path) -> tuple[list[EvaluationRecord], list[str]]:
    """Return the evaluations in a folder, by their names, and why other files are none."""
    records, others = [], []
    for path in sorted(folder.glob("*.json")):
        try:
            records.append(read_record(path))
        except PspError as error:
            others.append(str(error))
    return records, others


def _procedure(value: Fields) -> Fields:
    """Return the procedure's values; psp 0.1.0 called it protocol, and its `name` `way`."""
    if "procedure" in value:
        return value.object("procedure").only(_FIELDS | _BESIDE)
    old = value.object("protocol")
    names = {"name": old.text("way", "torch"), "label": old.text("name")}
    return Fields({**old.value, **names}, value.where, "protocol.")


def _class(entry: Fields) -> ClassScores:
    return ClassScores(
        name=entry.text("name"),
        iou=entry.number("iou", 0, 1, default=None),
        accuracy=entry.number("accuracy", 0, 1, default=None),
        boundary_f=entry.number("boundary_f", 0, 1, default=None),
        pixels=entry.whole("pixels"),
        predicted=entry.whole("predicted"),
        images=entry.whole("images"),
    )


def _picture(entry: Fields) -> PictureScores:
    return PictureScores(
        name=entry.text("name"),
        miou=entry.number("miou", 0, 1, default=None),
        pixel_accuracy=entry.number("pixel_accuracy", 0, 1, default=None),
    )


def _counts(value: Fields, key: str, rows: int, columns: int) -> Counts | None:
    """Return a table of whole numbers, int64 (rows, columns); None if the file has none."""
    if key not in value:
        return None
    table = value.items(key)
    fits = len(table) == rows and all(isinstance(r, list) and len(r) == columns for r in table)
    if not fits or not all(is_whole(number) for row in table for number in row):
        raise value.error(key, f"must be {rows} rows of {columns} whole numbers")
    return np.array(table, np.int64).reshape(rows, columns)
