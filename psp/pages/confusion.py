"""A confusion matrix as a picture: what each true class is taken for."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from psp.errors import printable
from psp.pages.figure import (
    FAINT,
    INK,
    new_figure,
    place,
    png,
    shortened,
    style,
    text_width,
    write_title,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST = 30  # classes
TOP, MARGIN, FONT = 62, 16, 8


def draw_confusion(confusion: NDArray[np.int64], names: Sequence[str], title: str) -> bytes:
    """Return a confusion matrix as a PNG: a row a true class, in percent of its labeled pixels.

    `confusion` is int64 (classes, classes), [true, predicted]. Of more than `MOST` classes, those
    with the most confused pixels are shown, and a column has what is predicted of the others.
    """
    shown = most_confused(confusion, MOST)
    rows = confusion[shown]
    cells = rows[:, shown]
    labels = [f"{index}  {shortened(printable(names[index]), 22)}" for index in shown]
    below = list(labels)
    if len(shown) < len(names):
        cells = np.column_stack([cells, rows.sum(1) - cells.sum(1)])
        below.append("others")
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = 100 * cells / rows.sum(1, keepdims=True)  # NaN for a class without labels
    line = "rows: true class; columns: what it is taken for; in percent of the row's pixels"
    if np.isnan(shares).any():
        line += " (gray: no labels)"
    if len(shown) < len(names):
        which = "with the most confused pixels" if len(shown) == MOST else "that occur"
        line = f"the {len(shown)} of {len(names)} classes {which}. {line.capitalize()}"
    cell = min(max(640 // len(shown), 23), 120)
    margin = MARGIN + text_width(labels, FONT)
    across, down = cell * len(below), cell * len(shown)
    with style():
        width = max(margin + across + MARGIN, text_width([line], 8.2))
        figure = new_figure(width, TOP + down + margin)
        write_title(figure, title, line)
        axes = place(figure, margin, TOP, across, down)
        axes.set_facecolor("#eeeeee")  # a class without labels
        axes.imshow(np.ma.masked_invalid(shares), cmap="Blues", vmin=0, vmax=100, aspect="auto")
        axes.set_yticks(range(len(shown)), labels)
        axes.set_xticks(range(len(below)), below, rotation=90)
        axes.tick_params(labelsize=FONT, labelcolor=INK, length=0)
        for side in axes.spines.values():
            side.set_color(FAINT)
        _write_numbers(axes, shares, 9 if cell > 40 else 6.5, everywhere=len(shown) <= 12)
        return png(figure)


def most_confused(confusion: NDArray[np.int64], most: int) -> list[int]:
    """Return at most so many classes, in their order: those with the most pixels that are taken for
    another class, or another class for them. If not all fit, one without any pixel is left out."""
    if len(confusion) <= most:
        return list(range(len(confusion)))
    pixels = confusion.sum(0) + confusion.sum(1)
    wrong = pixels - 2 * np.diag(confusion)
    order = [index for index in np.argsort(-wrong, kind="stable").tolist() if pixels[index]]
    return sorted(order[:most]) or [0]


def _write_numbers(
    axes: "Axes", shares: NDArray[np.float64], size: float, everywhere: bool
) -> None:
    """Write the percentages into the cells; of a large matrix, those worth reading."""
    for row, column in np.argwhere(shares >= (0.5 if everywhere else 5)):
        value = shares[row, column]
        axes.text(
            column, row, f"{value:.0f}", fontsize=size, ha="center", va="center",
            color="white" if value > 55 else INK,
        )  # fmt: skip
