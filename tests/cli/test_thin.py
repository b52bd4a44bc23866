"""A command parses, calls the library and shows the result; what it computes is elsewhere."""

import ast
from pathlib import Path

import pytest

import psp.cli

FILES = sorted(Path(psp.cli.__file__).parent.glob("*.py"))
LONGEST = 25  # lines of a command's body, without its docstring


def commands():
    """Yield every command function of the command line."""
    for path in FILES:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name.endswith("_command"):
                yield pytest.param(node, id=node.name)


@pytest.mark.parametrize("command", list(commands()))
def test_a_commands_body_is_short(command):
    body = command.body[1:]  # its docstring is the help
    lines = body[-1].end_lineno - body[0].lineno + 1
    assert lines <= LONGEST, f"{command.name}: {lines} lines"


def test_an_option_of_several_commands_is_declared_once():
    """In options.py: no two files have an option or argument with the same words."""
    helps = {
        (path.name, ast.unparse(keyword.value))
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("typer.")
        for keyword in node.keywords
        if keyword.arg == "help"
    }
    texts = [text for _, text in helps]
    assert len(texts) > 40
    assert [text for text in texts if texts.count(text) > 1] == []
