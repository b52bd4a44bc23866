"""The reports of evaluations and runs, written by psp evaluate and psp report from what is on disk.

evaluations/NAME.html   beside NAME.json and its pictures, NAME.pictures.zip
report.html             of a run: its newest evaluation, the training's curves and settings
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from psp.evaluate.metrics import SCORES
from psp.evaluate.record import EvaluationRecord, read_record, stored_records
from psp.evaluate.shown import ShownPicture, load_shown, pictures_file, save_shown
from psp.evaluate.training import training_charts, training_settings
from psp.model.weights import Header, read_header
from psp.pages.report import ClassRow, Fact, Link, PictureCard, Report, write_report_page
from psp.runs import Run

CONVENTIONS = {  # the file's keys
    "all_classes": (
        "all classes",
        "one that is neither labeled nor predicted counts 0: the authors' mean, and psp's mIoU",
    ),
    "classes_labeled_or_predicted": (
        "classes that are labeled or predicted",
        "mmsegmentation's mean, which leaves NaN out",
    ),
    "classes_labeled": ("classes that are labeled", "detectron2's mean"),
}
LARGE = ("miou", "pixel_accuracy", "mean_accuracy", "mean_accuracy_labeled")  # first of the tiles


def page_of(evaluation: Path) -> Path:
    """Return where the report of a stored evaluation is."""
    return evaluation.with_suffix(".html")


def write_report(evaluation: Path, run: Run | None, shown: Sequence[ShownPicture]) -> None:
    """Write the report of an evaluation just stored with the pictures it shows, and its run's.

    Raises PspError if a file cannot be written.
    """
    record = read_record(evaluation)
    save_shown(pictures_file(evaluation), shown, _identity(record))
    _write_page(record)
    if run is not None:
        write_run_report(run, record)


def remake_reports(run: Run) -> list[Path]:
    """Write the reports of a run and of all its evaluations anew, from what is on disk; return
    their paths, the run's first.

    Raises PspError if the folder is no run, a file in it is damaged, or cannot be written.
    """
    run.read_config()
    records, _ = stored_records(run.evaluations)
    for record in records:
        _write_page(record)
    newest = max(records, key=lambda record: record.path.stat().st_mtime_ns, default=None)
    return [write_run_report(run, newest), *(page_of(record.path) for record in records)]


def remake_report(evaluation: Path) -> Path:
    """Write the report of a stored evaluation anew; return its path. Raises PspError as above."""
    record = read_record(evaluation)
    _write_page(record)
    return page_of(record.path)


def write_run_report(run: Run, record: EvaluationRecord | None) -> Path:
    """Write a run's report, which shows an evaluation if there is one; return its path.

    Raises PspError if its files are damaged or it cannot be written.
    """
    config = run.read_config()
    parts: dict[str, Any] = _parts(record, run.folder) if record else _unevaluated(run)
    records, others = stored_records(run.evaluations)
    links = [
        Link(
            quote(os.fsencode(f"{other.path.parent.name}/{page_of(other.path).name}"))
            if page_of(other.path).exists()
            else "",
            other.name,
            f"{100 * other.scores['miou']:.2f}",
            f"{other.dataset}, {other.images} pictures, {_how(other)}",
        )
        for other in records
    ]
    facts = [*parts.get("facts", ()), *_training_facts(config)]
    notes = [*parts["notes"], *(f"Left out: {text}" for text in others)]
    path = run.report
    write_report_page(
        path,
        Report(
            **{**parts, "title": run.folder.resolve().name, "notes": notes, "facts": facts},
            charts=training_charts(run.metrics),
            settings=training_settings(run),
            links=links,
        ),
    )
    return path


def _write_page(record: EvaluationRecord) -> None:
    write_report_page(page_of(record.path), Report(**_parts(record, record.path.parent)))


def _parts(record: EvaluationRecord, folder: Path) -> dict[str, Any]:
    """Return what both pages show of an evaluation, as the values of a Report."""
    header = _header(record, folder)
    palette = header.palette if header and len(header.classes) == len(record.classes) else None
    shown = load_shown(pictures_file(record.path), _identity(record))
    return {
        "title": f"{record.dataset} {record.split}",
        "how": f"{record.dataset} {record.split}, {record.images} pictures · {_how(record)}",
        "notes": _notes(record, shown),
        "scores": [
            Fact(score.title, score.show(record.scores[score.key]))
            for score in sorted(SCORES, key=lambda s: (s.key not in LARGE, *_place(s.key)))
            if score.key in record.scores
        ],
        "conventions": [
            Fact(title, f"{100 * record.conventions[key]:.2f}", more)
            for key, (title, more) in CONVENTIONS.items()
            if key in record.conventions
        ],
        "facts": _facts(record),
        "classes": [
            ClassRow(color=_color(palette[i] if palette else None, i), **vars(entry))
            for i, entry in enumerate(record.classes)
        ],
        "confusion": record.confusion,
        "pictures": _cards(record, shown),
    }


def _place(key: str) -> tuple[int, ...]:
    return (LARGE.index(key),) if key in LARGE else ()


def _cards(record: EvaluationRecord, shown: Sequence[ShownPicture]) -> list[PictureCard]:
    scores = {picture.name: picture for picture in record.pictures}
    return [
        PictureCard(
            name=picture.name,
            why=picture.why,
            miou=scores[picture.name].miou,
            pixel_accuracy=scores[picture.name].pixel_accuracy,
            photo=picture.photo,
            target=picture.target,
            prediction=picture.prediction,
        )
        for picture in shown
        if picture.name in scores
    ]


def _identity(record: EvaluationRecord) -> dict[str, Any]:
    """Return what pictures are stored with, so that they are shown with their evaluation alone."""
    return {
        "weights": record.weights_sha256,
        "data": record.data_fingerprint,
        "split": record.split,
        "procedure": record.procedure_fingerprint,
    }


def _header(record: EvaluationRecord, folder: Path) -> Header | None:
    """Return the header of the weights that were evaluated, None where they are not there.

    Only it has the classes' colors. In the folder of a run they may have moved with it.
    """
    named = Path(record.model) if record.model else None
    places = [
        folder / f"{record.weights}.safetensors",
        folder.parent / named.name if named else None,
    ]
    for path in (named, *places):
        if path is not None and path.is_file():
            return read_header(path)
    return None


def _color(color: tuple[int, int, int] | None, index: int) -> str:
    """Return #rrggbb; classes whose colors are not known get distant hues."""
    if color is not None:
        return "#{:02x}{:02x}{:02x}".format(*color)
    import colorsys

    red, green, blue = colorsys.hls_to_rgb(index * 0.618034 % 1, 0.35 + 0.3 * (index % 2), 0.6)
    return "#{:02x}{:02x}{:02x}".format(*(round(255 * value) for value in (red, green, blue)))


def _how(record: EvaluationRecord) -> str:
    step = f", step {record.step}" if record.step else ""
    return f"{record.weights} weights{step} · {record.how().description} · {record.precision}"


def _notes(record: EvaluationRecord, shown: Sequence[ShownPicture]) -> list[str]:
    notes = []
    if record.confusion is None:
        notes.append("An older psp stored this evaluation, without its confusion matrix.")
    if not shown and any(picture.miou is not None for picture in record.pictures):
        notes.append(
            "No pictures are stored with this evaluation: psp evaluate without --no-report keeps "
            "the worst, median and best."
        )
    return notes


def _facts(record: EvaluationRecord) -> list[Fact]:
    facts = [
        Fact("procedure", str(record.procedure.get("label", "")), record.how().description),
        Fact("procedure fingerprint", record.procedure_fingerprint),
        Fact("precision", record.precision),
        Fact("weights", record.model or record.weights, f"step {record.step}" * bool(record.step)),
        Fact("weights SHA-256", record.weights_sha256 or "not stored"),
        Fact("shards' manifest SHA-256", record.data_fingerprint or "not stored"),
    ]
    facts += [Fact(f"{name} SHA-256", digest) for name, digest in (record.shards or {}).items()]
    versions = ", ".join(f"{name} {version}" for name, version in record.versions.items())
    return [*facts, Fact("versions", versions)] if versions else facts


def _training_facts(config: Mapping[str, Any]) -> list[Fact]:
    """Return what a run's config.json says of the training beside its settings."""
    facts = [Fact("trained with", str(config["data"]), config["data_fingerprint"])]
    for key, title in {"command": "command", "repeat": "to repeat it exactly"}.items():
        if config.get(key):
            facts.append(Fact(title, str(config[key])))
    device = ", ".join(
        str(config[key]) for key in ("device", "precision") if config.get(key) is not None
    )
    return [*facts, Fact("trained on", device)] if device else facts


def _unevaluated(run: Run) -> dict[str, Any]:
    return {
        "how": "not evaluated yet",
        "notes": [f"Scores and pictures come with: psp evaluate {run.folder}"],
    }
