"""The curves of a training: loss, mIoU, pixel accuracy and learning rate over the steps."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from psp.pages.figure import (
    BLUE,
    FAINT,
    GRID,
    INK,
    new_figure,
    place,
    png,
    style,
    text_width,
    write_title,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, HEIGHT = 1000, 660
# What a line of metrics.jsonl has beside the terms of the loss.
_NO_TERMS = {"event", "step", "loss", "lr", "images_per_second", "seconds_left"}
_MARKED = 30  # points at most, for which each is marked


def draw_curves(records: Sequence[Mapping[str, Any]], title: str) -> bytes:
    """Return the curves as a PNG, from the records of metrics.jsonl in their order."""
    steps = [record for record in records if record["event"] == "step"]
    validations = [record for record in records if record["event"] == "validation"]
    with style():
        figure = new_figure(WIDTH, HEIGHT)
        best = max(validations, key=lambda record: record["miou"], default=None)
        line = "no validation yet"
        if best is not None:
            line = f"best validation: mIoU {100 * best['miou']:.2f} at step {best['step']}"
        write_title(figure, title, line)
        loss, miou, accuracy, lr = (
            place(figure, 64 + 490 * column, 84 + 290 * row, 420, 225)
            for row in range(2)
            for column in range(2)
        )
        _draw_losses(loss, steps)
        for axes, key, name in (
            (miou, "miou", "mIoU, percent"),
            (accuracy, "pixel_accuracy", "pixel accuracy, percent"),
        ):
            _draw(axes, name, validations, {key: 100.0})
        if best is not None:
            miou.plot([best["step"]], [100 * best["miou"]], "o", color="#d8483e", markersize=7)
        _draw(lr, "learning rate", steps, {"lr": 1.0})
        for axes in (loss, miou, accuracy, lr):
            axes.set_xlim(0, 1.02 * max((record["step"] for record in records), default=1))
        for axes in (accuracy, lr):
            axes.set_xlabel("step", fontsize=9, color=FAINT)
        return png(figure)


def _draw_losses(axes: "Axes", steps: Sequence[Mapping[str, Any]]) -> None:
    """Draw the total and its terms; a run whose settings were changed may have had others."""
    terms = [key for key in (steps[-1] if steps else {}) if key not in _NO_TERMS]
    with_terms = [record for record in steps if all(term in record for term in terms)]
    _draw(axes, "loss", with_terms, dict.fromkeys(terms, 1.0), faint=True)
    _draw(axes, "loss", steps, {"loss": 1.0})
    if terms:
        widest = text_width([*terms, "total"], 8)
        axes.legend(
            [axes.lines[-1], *axes.lines[:-1]],
            ["total", *terms],
            fontsize=8,
            frameon=False,
            loc="lower right",  # above the lines, beside the title
            bbox_to_anchor=(1.02, 0.98),
            borderpad=0.2,
            labelcolor=INK,
            ncols=max(1, min(1 + len(terms), int(330 / (widest + 50)))),
        )


def _draw(
    axes: "Axes",
    name: str,
    records: Sequence[Mapping[str, Any]],
    keys: Mapping[str, float],
    *,
    faint: bool = False,
) -> None:
    """Draw a line of each key's values, times its factor."""
    axes.set_title(name, fontsize=10, color=INK, loc="left")
    axes.tick_params(labelsize=8, colors=FAINT, length=0)
    axes.grid(visible=True, color=GRID, linewidth=0.6)
    for side in axes.spines.values():
        side.set_visible(False)
    others = ("#e08e0b", "#3f9b57", "#9467bd", "#8c564b")
    for number, (key, factor) in enumerate(keys.items()):
        axes.plot(
            [record["step"] for record in records],
            [factor * record[key] for record in records],
            color=others[number % len(others)] if faint else BLUE,
            linewidth=1.1 if faint else 1.8,
            marker="." if len(records) <= _MARKED else "",
        )
