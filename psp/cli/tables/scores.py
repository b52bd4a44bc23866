"""Scores as tables: what `psp evaluate` prints, and the line that says how they were computed."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from psp.cli.console import number_table, out, say
from psp.cli.tables.narrow import show_table

if TYPE_CHECKING:  # importing them loads torch
    from psp.evaluate.evaluation import Evaluation
    from psp.evaluate.recheck import Recheck
    from psp.evaluate.suspects import Suspect
    from psp.evaluate.tally import Tally
    from psp.model.procedure import Procedure
    from psp.model.weights import Header

IN_A_LINE = 3  # scores


def show_evaluation(evaluation: "Evaluation", worst: int) -> None:
    """Print the per-class table, the procedure, the scores, and the `worst` pictures."""
    tally, classes = evaluation.tally, evaluation.header.classes
    if tally is not None:
        _show_classes(tally, classes)
    how = procedure_line(
        evaluation.model.which, evaluation.header, evaluation.procedure, evaluation.precision
    )
    out.print(Text(f"{evaluation.dataset} {evaluation.split}, {evaluation.images} images · {how}"))
    if tally is None:
        out.print(Text("this split has no labels, so there are no scores"))
        return
    _show_scores(tally, len(classes))
    _show_worst(tally, worst)


def show_remarks(evaluation: "Evaluation") -> None:
    """Print, on stderr, whether these are the model's own shards, and what was written."""
    if not evaluation.same_data:
        verb = "are not" if evaluation.header.data else "may not be"  # "" for imported weights
        say(f"these {verb} the shards that the model was trained with")
    if evaluation.saved:
        say(f"saved: {evaluation.saved}")
    if evaluation.page:
        run = evaluation.model.run
        of_run = run is not None and run.evaluations == evaluation.page.parent
        say(f"report: {run.report if run and of_run else evaluation.page}")
    elif evaluation.tally and not evaluation.saved:
        say("not stored: these weights belong to no run. For a file and a report: -o DIR")
    if evaluation.labels:
        say(f"label files: {evaluation.labels}")


def show_recheck(checked: "Recheck") -> None:
    """Print where a stored evaluation and a new one differ, and what of them is equal."""
    equal = ", ".join(checked.equal)
    out.print()
    if not checked.differences:
        out.print(Text(f"the same as {checked.path}: {equal}"))
        return
    out.print(Text(f"differs from {checked.path}:"))
    for text in (*checked.unlike, *checked.differences):
        out.print(Text(f"  {text}"))
    if equal:
        out.print(Text(f"  equal: {equal}"))


def procedure_line(which: str, header: "Header", procedure: "Procedure", precision: str) -> str:
    """Return one line that says with which weights and how pictures were predicted."""
    step = f", step {header.step}" if header.step else ""  # imported weights have no step
    return f"{which} weights{step} · {procedure.description} · {precision}"


def _show_scores(tally: "Tally", classes: int) -> None:
    """Print all listed scores, and mIoU by the conventions of the field."""
    from psp.evaluate.metrics import (
        SCORES,
        labeled_pixels,
        miou_labeled,
        miou_occurring,
        predicted_pixels,
    )

    values, confusion = tally.scores(), tally.confusion
    shown = [Text(f"{score.title} {score.show(values[score.key])}") for score in SCORES]
    shown[0].stylize("bold")
    for begin in range(0, len(shown), IN_A_LINE):
        out.print(Text("   ").join(shown[begin : begin + IN_A_LINE]))
    pixels, predicted = labeled_pixels(confusion), predicted_pixels(confusion)
    labeled, occurring = (pixels > 0).sum(), (pixels + predicted > 0).sum()
    out.print(
        f"mIoU is the mean over all {classes} classes, as the authors compute it; over the "
        f"{occurring} labeled or predicted classes it is {100 * miou_occurring(confusion):.2f}, "
        f"over the {labeled} labeled ones {100 * miou_labeled(confusion):.2f}"
    )


def _show_worst(tally: "Tally", count: int) -> None:
    pictures = tally.worst(count)
    if not pictures:
        return
    table = number_table("worst pictures", "mIoU", "accuracy")
    for picture in pictures:
        table.add_row(Text(picture.name), _percent(picture.miou), _percent(picture.pixel_accuracy))
    out.print()
    show_table(table)


def _show_classes(tally: "Tally", names: Sequence[str]) -> None:
    from psp.evaluate.metrics import accuracy, boundary_f, iou, labeled_pixels, predicted_pixels

    table = number_table("class", "IoU", "accuracy", "boundary F", "pixels", "predicted", "images")
    confusion, borders = tally.confusion, boundary_f(tally.borders)
    ious, accuracies = iou(confusion), accuracy(confusion)
    pixels, predicted = labeled_pixels(confusion), predicted_pixels(confusion)
    for index, name in enumerate(names):
        table.add_row(
            Text(name),
            _percent(ious[index]),
            _percent(accuracies[index]),
            _percent(borders[index]),
            f"{pixels[index]:,}",
            f"{predicted[index]:,}",
            f"{tally.images[index]:,}",
        )
    show_table(table)


def _percent(value: float) -> str:
    return "-" if value != value else f"{100 * value:.2f}"  # NaN: the class has no pixel


def show_suspects(suspects: "Sequence[Suspect]") -> None:
    """Print the pictures whose masks are in doubt, a line each."""
    table = number_table("split", "score", "doubt")
    table.add_column("picture")
    table.add_column("most of it")
    for item in suspects:
        table.add_row(
            Text(item.split),
            _percent(item.score),
            _percent(item.doubt),
            Text(item.name),
            Text(item.reason),
        )
    show_table(table)
