"""A comparison of evaluations as one HTML file: tables that sort, with bars."""

from collections.abc import Sequence
from dataclasses import dataclass

from psp.pages.page import render


@dataclass(frozen=True)
class ComparedCell:
    """A value from 0 to 1, None where it is undefined, its text, and whether it is the best."""

    value: float | None
    text: str
    best: bool


@dataclass(frozen=True)
class ComparedRow:
    """A score, class or picture: a cell for each entry; `moved` is their largest difference."""

    name: str
    cells: Sequence[ComparedCell]
    moved: float


@dataclass(frozen=True)
class ComparedTable:
    """A table of rows of one kind. With `bars`, each value has one."""

    title: str
    about: str
    rows: Sequence[ComparedRow]
    bars: bool


@dataclass(frozen=True)
class ComparePage:
    """Everything that the page of a comparison shows. `warnings` say why nothing is ranked."""

    entries: Sequence[str]
    how: str
    warnings: Sequence[str]
    remarks: Sequence[str]
    tables: Sequence[ComparedTable]


def compare_page(page: ComparePage) -> bytes:
    """Return the page as UTF-8."""
    return render("compare.html.j2", {"page": page})
