"""Pictures of numbers: figures of matplotlib, without its state and in its delivered style.

Lengths are in pixels. Texts are shown as they are: no name is taken for a formula.
"""

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # importing it takes longer than `psp --help`
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 100
POINT = DPI / 72  # pixels
INK, FAINT, GRID, BLUE = "#1e1e1e", "#707070", "#d8d8d8", "#1f5fa8"


@contextmanager
def style() -> Iterator[None]:
    """Draw in the block as matplotlib is delivered, whatever the user's matplotlibrc says.

    It says nothing itself: of a font that lacks a character, or of a folder for its cache.
    """
    logger = logging.getLogger("matplotlib")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        import matplotlib

        with matplotlib.rc_context(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph|Matplotlib|font")
            matplotlib.rcdefaults()
            matplotlib.rcParams["text.parse_math"] = False
            yield
    finally:
        logger.setLevel(level)


def new_figure(width: float, height: float) -> "Figure":
    """Return an empty white figure of that size."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
    FigureCanvasAgg(figure)
    return figure


def place(figure: "Figure", left: float, top: float, width: float, height: float) -> "Axes":
    """Return axes at that place of a figure."""
    across, down = figure.get_figwidth() * DPI, figure.get_figheight() * DPI
    return figure.add_axes(
        (left / across, 1 - (top + height) / down, width / across, height / down)
    )


def write_title(figure: "Figure", title: str, line: str = "") -> None:
    """Write a title at the top left, and a smaller line under it; they need 50 pixels."""
    down = figure.get_figheight() * DPI
    left = 12 / (figure.get_figwidth() * DPI)
    figure.text(left, 1 - 20 / down, title, color=INK, fontsize=12, weight="bold", va="center")
    figure.text(left, 1 - 40 / down, line, color=FAINT, fontsize=9, va="center")


def text_width(texts: list[str], points: float) -> float:
    """Return about how wide the widest of some texts is, in a font of that size."""
    return max(map(len, texts), default=0) * 0.57 * points * POINT


def shortened(text: str, most: int) -> str:
    """Return a text, with an ellipsis in the middle where it is longer than `most` characters."""
    if len(text) <= most:
        return text
    end = most // 3
    return f"{text[: most - end - 1]}…{text[len(text) - end :]}"


def png(figure: "Figure") -> bytes:
    """Return a figure as the bytes of a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()
