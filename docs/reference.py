"""Writes docs/cli.md, the reference of the command line, from the commands themselves.

    python docs/reference.py

A test checks that the file is up to date.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.main import get_command

from psp.cli import app

PAGE = Path(__file__).with_name("cli.md")
COMPLETION = ("install_completion", "show_completion")  # typer's own, other words in each version
HEAD = """\
# The command line

Every command with its arguments and options, as `psp COMMAND --help` shows them. This page is
written by `python docs/reference.py`.

Results go to stdout, progress and remarks to stderr. Exit codes: 0 done; 1 a bug of psp; 2 an error
that you can fix, in one line; 3 done, but some inputs failed and are listed; 128 + n stopped by
signal n.
"""


def reference() -> str:
    """Return the page: a section per command."""
    return "\n".join([HEAD, *_sections(get_command(app), "psp")])


def _sections(command: Any, name: str) -> Iterator[str]:
    """Yield the section of a command, and those of the commands in it."""
    yield f"## {name}\n"
    yield f"{_paragraphs(command.help)}\n"
    arguments = [param for param in command.params if param.param_type_name == "argument"]
    options = [
        param
        for param in command.params
        if param.param_type_name == "option" and param.name not in COMPLETION
    ]
    inner = getattr(command, "commands", {})
    if not inner:
        words = [_argument(param) for param in arguments]
        yield f"    {' '.join([name, '[OPTIONS]', *words])}\n"
    rows = [(f"`{_argument(param)}`", param.help or "") for param in arguments]
    rows += [(_option(param), (param.help or "") + _default(param)) for param in options]
    if rows:
        yield "| | |\n|---|---|"
        yield "\n".join(f"| {left} | {_cell(right)} |" for left, right in rows) + "\n"
    for other in inner.values():
        yield from _sections(other, f"{name} {other.name}")


def _paragraphs(text: str) -> str:
    """Return a help text with each paragraph on one line."""
    return "\n\n".join(" ".join(part.split()) for part in text.strip().split("\n\n"))


def _argument(param: Any) -> str:
    name = (param.metavar or param.name).upper()
    name = f"{name}..." if param.nargs == -1 else name
    return name if param.required else f"[{name}]"


def _option(param: Any) -> str:
    names = ", ".join(f"`{name}`" for name in [*param.opts, *param.secondary_opts])
    if param.is_flag:
        return names
    return f"{names} `{param.metavar or param.name.upper()}`"


def _default(param: Any) -> str:
    """Return a sentence on the default, where it is a value that the help does not name."""
    if param.is_flag:
        return f" Default: {param.opts[0]}." if param.default is True else ""
    if param.default in (None, (), []) or "Default:" in (param.help or ""):
        return ""
    return f" Default: {param.default}."


def _cell(text: str) -> str:
    """Return a text for a table of Markdown."""
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(reference(), encoding="utf-8")
