"""Scores as tables: what `psp evaluate` prints, and the line that says how they were computed."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from psp.cli.console import number_table, out

if TYPE_CHECKING:  # importing them loads torch
    from psp.evaluate.evaluate import Evaluation
    from psp.evaluate.metrics import Tally
    from psp.model.procedure import Procedure
    from psp.model.weights import Header


def show_evaluation(evaluation: "Evaluation", worst: int) -> None:
    """Print the per-class table, the procedure, the scores, and the `worst` pictures."""
    if evaluation.tally is not None:
        _show_classes(evaluation.tally, evaluation.header.classes)
    how = procedure_line(
        evaluation.model.which, evaluation.header, evaluation.procedure, evaluation.precision
    )
    out.print(Text(f"{evaluation.dataset} {evaluation.split}, {evaluation.images} images · {how}"))
    if evaluation.tally is None:
        out.print(Text("this split has no labels, so there are no scores"))
        return
    scores, classes = evaluation.tally.confusion.scores(), len(evaluation.header.classes)
    out.print(
        f"[bold]mIoU {100 * scores.miou:.2f}[/]   mean accuracy {100 * scores.mean_accuracy:.2f}   "
        f"pixel accuracy {100 * scores.pixel_accuracy:.2f}"
    )
    out.print(
        f"ADE score {100 * scores.ade_score:.2f}   frequency-weighted IoU "
        f"{100 * scores.frequency_weighted_iou:.2f}   boundary F "
        f"{100 * evaluation.tally.boundary_mean:.2f}"
    )
    labeled, occurring = ((scores.pixels > 0).sum(), (scores.pixels + scores.predicted > 0).sum())
    out.print(
        f"mIoU is the mean over all {classes} classes, as the authors compute it; over the "
        f"{occurring} labeled or predicted classes it is {100 * scores.miou_occurring:.2f}, over "
        f"the {labeled} labeled ones {100 * scores.miou_labeled:.2f}"
    )
    worst_pictures = evaluation.tally.worst(worst)
    if worst_pictures:
        table = number_table("worst pictures", "mIoU", "accuracy")
        for picture in worst_pictures:
            table.add_row(
                Text(picture.name), _percent(picture.miou), _percent(picture.pixel_accuracy)
            )
        out.print()
        out.print(table)


def procedure_line(which: str, header: "Header", procedure: "Procedure", precision: str) -> str:
    """Return one line that says with which weights and how pictures were predicted."""
    step = f", step {header.step}" if header.step else ""  # imported weights have no step
    return f"{which} weights{step} · {procedure.description} · {precision}"


def _show_classes(tally: "Tally", names: Sequence[str]) -> None:
    table = number_table("class", "IoU", "accuracy", "boundary F", "pixels", "predicted", "images")
    scores, borders = tally.confusion.scores(), tally.boundary_f()
    for index, name in enumerate(names):
        table.add_row(
            Text(name),
            _percent(scores.iou[index]),
            _percent(scores.accuracy[index]),
            _percent(borders[index]),
            f"{scores.pixels[index]:,}",
            f"{scores.predicted[index]:,}",
            f"{tally.images[index]:,}",
        )
    out.print(table)


def _percent(value: float) -> str:
    return "-" if value != value else f"{100 * value:.2f}"  # NaN: the class has no pixel
