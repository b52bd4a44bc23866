"""What is not in the code: calls that run texts or files of others. Read from the syntax trees."""

import ast
from pathlib import Path

import pytest

import psp

SOURCES = sorted(Path(psp.__file__).parent.rglob("*.py"))
FORBIDDEN = {
    "eval": "runs a text",
    "exec": "runs a text",
    "compile": "makes code of a text",
    "__import__": "imports a name from a text",
    "os.system": "gives a text to a shell",
    "os.popen": "gives a text to a shell",
    "pickle.load": "runs what is in a file",
    "pickle.loads": "runs what is in a file",
    "pickle.Unpickler": "runs what is in a file",
    "marshal.loads": "makes code of a file",
    "shelve.open": "unpickles",
    "yaml.load": "makes any object",
    "yaml.unsafe_load": "makes any object",
    "tempfile.mktemp": "names a file that another may make first",
    "subprocess.getoutput": "gives a text to a shell",
    "joblib.load": "unpickles",
}


def dotted(node):
    """Return the name of what is called, such as torch.load."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "(a value)"


def imported(tree):
    """Return the full names of what a file calls by short ones."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
        elif isinstance(node, ast.Import):
            names |= {a.asname: a.name for a in node.names if a.asname}
    return names


def findings(text):
    """Return what is dangerous in a source text, as (line, what)."""
    tree = ast.parse(text)
    names = imported(tree)
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        first, _, rest = dotted(node.func).partition(".")
        name = ".".join(filter(None, (names.get(first, first), rest)))
        given = {word.arg: word.value for word in node.keywords}
        if name in FORBIDDEN:
            found.append((node.lineno, f"{name} {FORBIDDEN[name]}"))
        shell = given.get("shell")
        if shell is not None and not (isinstance(shell, ast.Constant) and shell.value is False):
            found.append((node.lineno, f"{name} with a shell"))
        if name == "torch.load" and not is_true(given.get("weights_only")):
            found.append((node.lineno, "torch.load without weights_only=True"))
        if name == "numpy.load" and "allow_pickle" in given:
            found.append((node.lineno, "numpy.load with pickles"))
    return found


def is_true(value):
    return isinstance(value, ast.Constant) and value.value is True


@pytest.mark.slow
def test_no_source_runs_what_others_wrote():
    assert len(SOURCES) > 100
    found = []
    for path in SOURCES:
        found += [f"{path}:{line}: {what}" for line, what in findings(path.read_text())]
    assert not found, "\n".join(found)


def test_what_is_dangerous_is_found():
    for text in (
        "eval('1')",
        "import subprocess\nsubprocess.run('ls', shell=True)",
        "import subprocess as s\ns.run('ls', shell=given)",
        "import torch\ntorch.load(path)",
        "import torch\ntorch.load(path, weights_only=False)",
        "from torch import load\nload(path)",
        "from pickle import loads as read\nread(data)",
        "import numpy as np\nnp.load(path, allow_pickle=True)",
        "import os\nos.system('ls')",
    ):
        assert findings(text), text
    for text in (
        "model().eval()",
        "import torch\ntorch.load(path, weights_only=True)",
        "import re\nre.compile('a')",
    ):
        assert not findings(text), text
