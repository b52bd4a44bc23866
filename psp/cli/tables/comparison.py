"""Comparisons as tables of a terminal, Markdown, LaTeX, CSV and HTML."""

import csv
import io
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from psp.cli.console import number_table, out
from psp.cli.tables.narrow import show_table

if TYPE_CHECKING:  # importing it loads torch
    from psp.evaluate.compare import Comparison, Row, Value
    from psp.pages.compare import ComparedRow

FORMATS = ("table", "csv", "md", "latex", "html")
ON_A_PAGE = 200  # pictures, those that moved most
_LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
_LATEX |= {letter: f"\\{letter}" for letter in "&%$#_{}"} | {"±": r"$\pm$"}
_MARKDOWN = {letter: f"\\{letter}" for letter in "\\|*_`<>[]"}


def show_comparison(comparison: "Comparison", format_: str, top: int) -> None:
    """Print a comparison; of classes and pictures the `top` ones that moved most, in CSV all."""
    if format_ in ("csv", "html"):
        sys.stdout.write({"csv": _csv, "html": _html}[format_](comparison))
        return
    write = {"table": _table, "md": _markdown, "latex": _latex}[format_]
    for number, (title, rows, ranked) in enumerate(_tables(comparison, top)):
        if number:
            out.print()
        write(title, comparison.entries, rows, ranked)
    lines = [*filter(None, [comparison.how]), *comparison.remarks]
    if not comparison.ranked:
        lines.append("not ranked, as they were not measured in the same way:")
        lines += comparison.differences
    for line in lines:
        out.print(
            Text({"md": f"\n{_escaped(line, _MARKDOWN)}", "latex": f"% {line}"}.get(format_, line))
        )


_Table = tuple[str, "Sequence[Row]", bool]


def _tables(comparison: "Comparison", top: int) -> list[_Table]:
    """Return title, rows and whether the best is marked, of each table that has rows."""
    from psp.evaluate.compare import most_moved

    tables: list[_Table] = [
        ("score", comparison.scores, comparison.ranked),
        ("IoU, classes that moved most", most_moved(comparison.classes, top), comparison.ranked),
        ("mIoU, pictures that moved most", most_moved(comparison.pictures, top), comparison.ranked),
    ]
    return [table for table in tables if table[1]]


def _moves(row: "Row") -> str:
    """Return how far the second of two entries lies from the first."""
    first, second = (value.mean for value in row.values)
    return "-" if first is None or second is None else f"{100 * (second - first):+.2f}"


def _columns(entries: Sequence[str]) -> list[str]:
    return [*entries, *(["difference"] if len(entries) == 2 else [])]


def _cells(row: "Row") -> list[str]:
    return [*map(_shown, row.values), *([_moves(row)] if len(row.values) == 2 else [])]


def _shown(value: "Value") -> str:
    if value.mean is None:
        return "-"
    deviation = "" if value.deviation is None else f" ± {100 * value.deviation:.2f}"
    return f"{100 * value.mean:.2f}{deviation}"


def _table(title: str, entries: Sequence[str], rows: "Sequence[Row]", ranked: bool) -> None:
    table = number_table(title)
    for name in _columns(entries):
        table.add_column(Text(name), justify="right", overflow="fold")
    for row in rows:
        best = row.best() if ranked else []
        cells = [Text(cell, "bold" if n in best else "") for n, cell in enumerate(_cells(row))]
        table.add_row(Text(row.name), *cells)
    show_table(table)


def _markdown(title: str, entries: Sequence[str], rows: "Sequence[Row]", ranked: bool) -> None:
    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(cells)} |"

    columns = _columns(entries)
    lines = [
        line([title, *(_escaped(name, _MARKDOWN) for name in columns)]),
        line(["---", *["---:"] * len(columns)]),
        *(
            line([_escaped(row.name, _MARKDOWN), *_marked(row, ranked, "**{}**".format)])
            for row in rows
        ),
    ]
    out.print(Text("\n".join(lines)))


def _latex(title: str, entries: Sequence[str], rows: "Sequence[Row]", ranked: bool) -> None:
    """Print a tabular with rules of the package booktabs."""

    def line(cells: Sequence[str]) -> str:
        return f"{' & '.join(cells)} \\\\"

    columns = _columns(entries)
    lines = [
        f"\\begin{{tabular}}{{l{'r' * len(columns)}}}",
        "\\toprule",
        line([title, *(_escaped(name, _LATEX) for name in columns)]),
        "\\midrule",
        *(
            line(
                [
                    _escaped(row.name, _LATEX),
                    *(
                        _escaped(cell, {"±": _LATEX["±"]})
                        for cell in _marked(row, ranked, "\\textbf{{{}}}".format)
                    ),
                ]
            )
            for row in rows
        ),
        "\\bottomrule",
        "\\end{tabular}",
    ]
    out.print(Text("\n".join(lines)))


def _marked(row: "Row", ranked: bool, mark: Callable[[str], str]) -> list[str]:
    best = row.best() if ranked else []
    return [mark(cell) if n in best else cell for n, cell in enumerate(_cells(row))]


def _escaped(text: str, table: dict[str, str]) -> str:
    return "".join(table.get(letter, letter) for letter in text)


def _csv(comparison: "Comparison") -> str:
    """Return everything as one table: kind, name, and of each entry its value and deviation."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    deviating = {
        n
        for row in comparison.scores
        for n, value in enumerate(row.values)
        if value.deviation is not None
    }
    head = ["kind", "name"]
    for n, name in enumerate(comparison.entries):
        head += [name, *([f"{name} deviation"] if n in deviating else [])]
    rows.writerow(head)
    kinds = {"score": comparison.scores, "class IoU": comparison.classes}
    for kind, found in {**kinds, "picture mIoU": comparison.pictures}.items():
        for row in found:
            cells: list[object] = [kind, row.name]
            for n, value in enumerate(row.values):
                cells += [value.mean, *([value.deviation] if n in deviating else [])]
            rows.writerow(cells)
    return text.getvalue()


def _html(comparison: "Comparison") -> str:
    """Return a page with all classes, and the pictures that moved most."""
    from psp.evaluate.compare import most_moved
    from psp.pages.compare import ComparedTable, ComparePage, compare_page

    def table(title: str, about: str, rows: "Sequence[Row]", bars: bool) -> ComparedTable:
        return ComparedTable(title, about, [_on_page(row, comparison.ranked) for row in rows], bars)

    pictures = most_moved(comparison.pictures, ON_A_PAGE)
    tables = [
        table("Scores", "In percent.", comparison.scores, False),
        table("Classes", "IoU in percent.", comparison.classes, True),
        table("Pictures", "mIoU in percent; those that moved most.", pictures, True),
    ]
    page = ComparePage(
        entries=comparison.entries,
        how=comparison.how,
        warnings=comparison.differences,
        remarks=comparison.remarks,
        tables=[table for table in tables if table.rows],
    )
    return compare_page(page).decode()


def _on_page(row: "Row", ranked: bool) -> "ComparedRow":
    from psp.pages.compare import ComparedCell, ComparedRow

    best = row.best() if ranked else []
    cells = [
        ComparedCell(value.mean, _shown(value), n in best) for n, value in enumerate(row.values)
    ]
    first, last = row.values[0].mean, row.values[-1].mean
    moved = row.moved
    if len(cells) == 2:
        moved = 0.0 if first is None or last is None else last - first
    return ComparedRow(row.name, cells, moved)
