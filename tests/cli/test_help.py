"""`psp` alone says what to do first, and `psp --help` begins with the four commands."""

import re
import runpy
from pathlib import Path

from typer.main import get_command

from psp.cli import app

DOCS = Path(__file__).parents[2] / "docs"
FOUR = ["prepare", "train", "evaluate", "predict"]


def test_psp_alone_says_what_to_do_first(psp):
    code, out, err = psp()
    assert (code, err) == (2, "")
    assert len(out.splitlines()) <= 8
    for text in ("psp demo", "psp cards", "photos/ masks/", "psp --help"):
        assert text in out
    named = set(re.findall(r"^psp ([a-z]+)", out, flags=re.MULTILINE))
    assert named <= set(get_command(app).commands)


def test_the_four_commands_stand_on_the_first_screen_of_help(psp, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    screen = psp("--help", check=0)[1].splitlines()[:24]
    panels = [number for number, line in enumerate(screen) if line.startswith("╭─ The four")]
    assert len(panels) == 1
    shown = [line.split()[1] for line in screen[panels[0] + 1 : panels[0] + 5]]
    assert shown == FOUR


def test_every_command_has_a_line_and_a_panel():
    for name, command in get_command(app).commands.items():
        assert command.rich_help_panel, name
        assert command.short_help and len(command.short_help) < 60, name


def test_the_reference_in_the_docs_is_that_of_the_commands():
    """After a change of a help text: python docs/reference.py"""
    page = runpy.run_path(str(DOCS / "reference.py"))["reference"]()
    assert (DOCS / "cli.md").read_text(encoding="utf-8") == page
