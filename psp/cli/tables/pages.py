"""Pages that were written: a line each."""

from collections.abc import Sequence
from pathlib import Path

from rich.text import Text

from psp.cli.console import out


def show_pages(paths: Sequence[Path]) -> None:
    """Print where the pages are."""
    for path in paths:
        out.print(Text(str(path)))
