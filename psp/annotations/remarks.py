"""What was left out of an export or read in a way that surprises: counted, with one example."""

from typing import Any


class Remarks:
    """Counts by text; a text has {n} for the count, and {s}, an "s" where there are several."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._first: dict[str, str] = {}

    def add(self, text: str, where: Any = "", count: int = 1) -> None:
        """Count something; `where` is given as the example if it is the first."""
        self._counts[text] = self._counts.get(text, 0) + count
        self._first.setdefault(text, str(where))

    def lines(self) -> tuple[str, ...]:
        """Return one line for each text."""
        lines = []
        for text, count in self._counts.items():
            line = text.replace("{n}", str(count)).replace("{s}", "" if count == 1 else "s")
            first = self._first[text]
            lines.append(f"{line} ({first}{', …' if count > 1 else ''})" if first else line)
        return tuple(lines)
