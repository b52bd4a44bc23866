"""Tables on narrow terminals: no number and no name is ever cut off."""

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from psp.cli.console import out

WIDEST = 10_000  # characters of a line
GAP = "   "


def show_table(table: Table, console: Console = out) -> None:
    """Print a table as wide as its texts; on a terminal with less room, each row as a paragraph.

    A paragraph begins with the row's first cell; the others follow with their titles, and lines end
    between cells. Where the output is no terminal, lines are as long as they are.
    """
    options = console.options.update(max_width=WIDEST)
    width = Measurement.get(console, options, table).maximum
    if console.is_terminal and width > console.width:
        for line in stacked(table, console.width):
            console.print(line, soft_wrap=False, overflow="fold")
        return
    table.width = width
    console.print(table)


def stacked(table: Table, width: int) -> list[Text]:
    """Return the rows of a table as lines of `width` characters, or as long as one cell."""
    titles = [str(column.header) for column in table.columns]
    lines: list[Text] = []
    for row in zip(*(column.cells for column in table.columns), strict=True):
        cells = [cell if isinstance(cell, Text) else Text.from_markup(str(cell)) for cell in row]
        line = Text("") + cells[0]
        for title, cell in zip(titles[1:], cells[1:], strict=True):
            if not cell.plain.strip():
                continue
            item = Text(f"{title} ", "dim") + cell
            if line.cell_len + len(GAP) + item.cell_len > width:
                lines.append(line)
                line = Text("  ") + item
            else:
                line = line + Text(GAP) + item
        lines.append(line)
    return lines
