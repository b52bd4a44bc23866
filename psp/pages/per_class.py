"""Each class's IoU as a bar in the class's color, the best first."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from psp.errors import printable
from psp.pages.figure import (
    FAINT,
    GRID,
    INK,
    new_figure,
    place,
    png,
    shortened,
    style,
    text_width,
    write_title,
)

WIDTH, TOP, MARGIN = 900, 62, 14
ROWS = 40  # of a column at most


def draw_per_class(
    names: Sequence[str],
    palette: Sequence[tuple[int, int, int]],
    ious: NDArray[np.float64],
    title: str,
) -> bytes:
    """Return the bars as a PNG. `ious` (classes,), 0..1; NaN is neither labeled nor predicted."""
    absent = int(np.isnan(ious).sum())
    left_out = len(names) > ROWS and 0 < absent < len(names)
    shown = [c for c in range(len(names)) if not (left_out and np.isnan(ious[c]))]
    order = sorted(shown, key=lambda c: (np.isnan(ious[c]), -np.nan_to_num(ious[c]), c))
    columns = -(-len(order) // ROWS)
    rows = -(-len(order) // columns)
    size, line = (9, 22) if columns == 1 else (7.5, 18)
    labels = [f"{c}  {shortened(printable(names[c]), 30 if columns < 3 else 16)}" for c in order]
    width = (WIDTH - 2 * MARGIN) / columns
    start = min(text_width(labels, size) + 10, 0.55 * width)  # of the bars, in a column
    length = width - start - 46
    with style():
        from matplotlib.collections import PatchCollection
        from matplotlib.patches import Rectangle

        height = TOP + rows * line + 26
        figure = new_figure(WIDTH, height)
        remark = f"; {absent} neither labeled nor predicted" if absent else ""
        remark += ", left out" if left_out else ""
        write_title(figure, title, f"IoU per class in percent{remark}")
        axes = place(figure, 0, 0, WIDTH, height)
        axes.set_xlim(0, WIDTH)
        axes.set_ylim(height, 0)
        axes.axis("off")
        for column in range(columns):
            left = MARGIN + column * width + start
            for share in (0, 0.5, 1):
                x, bottom = left + share * length, TOP + rows * line
                axes.plot([x, x], [TOP - 4, bottom], color=GRID, linewidth=0.8, zorder=0)
                axes.text(
                    x, bottom + 10, f"{100 * share:.0f}", fontsize=7, color=FAINT, ha="center"
                )
        bars = []
        for position, (index, label) in enumerate(zip(order, labels, strict=True)):
            column, row = divmod(position, rows)
            left = MARGIN + column * width + start
            y, known = TOP + (row + 0.5) * line, not np.isnan(ious[index])
            end, ink = left + length * float(np.nan_to_num(ious[index])), INK if known else FAINT
            if known:
                bars.append(Rectangle((left, y - line / 2 + 3.5), end - left, line - 7))
            value = f"{100 * ious[index]:.1f}" if known else "absent"
            axes.text(left - 6, y, label, fontsize=size, color=ink, ha="right", va="center")
            axes.text(end + 5, y, value, fontsize=size, color=ink, va="center")
        colors = [[channel / 255 for channel in palette[index]] for index in order[: len(bars)]]
        axes.add_collection(PatchCollection(bars, facecolor=colors, edgecolor=FAINT, linewidth=0.5))
        return png(figure)
