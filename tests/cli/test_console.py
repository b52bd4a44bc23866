"""What is printed is shown, never obeyed by the terminal."""

import io
import re

import pytest
from rich.table import Table
from rich.text import Text

from psp.cli.console import err, number_table, out

EVIL = "sky\x1b]0;title\x07\x1b[2J\x9b31m\u202edone"


@pytest.mark.parametrize("console", [out, err])
@pytest.mark.parametrize("kind", [str, Text, "table"])
def test_no_escape_of_a_name_reaches_the_terminal(console, kind, monkeypatch):
    """Also where the console itself colors its output."""
    written = io.StringIO()
    monkeypatch.setattr(console, "_file", written)
    monkeypatch.setattr(console, "_color_system", 1)
    if kind == "table":
        table: Table | str | Text = number_table("class", "IoU")
        table.add_row(EVIL, "1.0")
    else:
        table = kind(EVIL)
    console.print(table, style="red")
    text = written.getvalue()
    assert "\\x1b]0;title" in text and (kind == "table" or "\\u202edone" in text)
    bare = re.sub(r"\x1b\[(1;)?(31|0)m", "", text)
    assert not [c for c in bare if c != "\n" and not c.isprintable()], repr(text)


def test_lines_colors_and_words_stay(monkeypatch):
    written = io.StringIO()
    monkeypatch.setattr(out, "_file", written)
    out.print(Text("zwei\nZeilen · β 中", "red"))
    assert written.getvalue() == "zwei\nZeilen · β 中\n"
