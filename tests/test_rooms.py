"""Which room may import which, read from the syntax trees; and what `psp --help` may load.

A room is a folder or a file of psp/. The rules name rooms, so a new file in one needs no edit here.
"""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import psp

PACKAGE = Path(psp.__file__).parent

# The ground knows no room. Everything else says which rooms it may import; a room that is not named
# here may be imported by none and fails the test.
GROUND = {
    "errors",
    "events",
    "version",
    "files",
    "headers",
    "locks",
    "name_rules",
    "workers",
    "device",
    "ranks",
    "plugins",
    "settings",
    "images",
    "annotations",
    "lists",
    "names",
    "render",
    "pages",
}
MAY_IMPORT = {
    "runs": set(),
    "run_state": {"runs"},
    "doctor": {"runs", "zoo"},
    "data": set(),
    "model": set(),
    "prepare": {"data"},
    "evaluate": {"runs", "data", "model"},
    "zoo": {"runs", "run_state", "model", "data.card", "data.cardfile"},
    "train": {"runs", "data", "model", "zoo", "evaluate"},  # a validation is an evaluation
    "predict": {"runs", "model", "zoo"},
    "demo": {"data"},
    "cli": {
        "runs",
        "run_state",
        "data",
        "model",
        "prepare",
        "evaluate",
        "zoo",
        "train",
        "predict",
        "demo",
        "doctor",
    },
    "__main__": {"cli"},
    "psp": {"predict", "zoo"},  # the face
}

# Libraries that only these may import, wherever the import stands in them.
ONLY = {
    "typer": {"cli"},
    "rich": {"cli"},
    "h5py": {"data.shard_header", "data.shard_writer", "prepare.matlab"},
    "scipy": {"prepare.matlab"},
    "PIL": {"images", "render", "predict.photos", "annotations"},
    "safetensors": {"model.weights", "zoo.tensors"},
    "zstandard": {"data.label_codec"},
    "torchvision": set(),  # the tests compare with it
    "jinja2": {"pages"},
    "matplotlib": {"pages"},
    "onnx": {"model.onnx_graph", "zoo.int8"},
    "onnxruntime": {"zoo.export", "zoo.int8", "model.engines.onnxruntime"},
    "openvino": {"model.engines.openvino"},
}
MAY_IMPORT_TORCH = {
    "device",
    "ranks",
    "model",
    "zoo",
    "train",
    "evaluate",
    "predict",
    "data.loader",
    "cli",
}


def modules():
    """Every module by its name below psp, "psp" for the package's face."""
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts) or "psp", path


MODULES = dict(modules())


def imports(path):
    """Yield every imported module; those under `if TYPE_CHECKING` are types alone, not counted."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for child in block.body
        for node in ast.walk(child)
    }
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full.removeprefix("psp.") in MODULES else node.module


def own_imports(path):
    """Yield the modules of psp that a file imports, by their names below psp."""
    for name in imports(path):
        if name.split(".")[0] == "psp":
            yield name.removeprefix("psp.")


def inside(name, places):
    """Whether a module is one of some places: rooms, or modules in them."""
    return any(name == place or name.startswith(f"{place}.") for place in places)


EVERY_MODULE = pytest.mark.parametrize(("name", "path"), list(MODULES.items()), ids=list(MODULES))


@EVERY_MODULE
def test_a_module_imports_only_the_rooms_below_its_own(name, path):
    room = name.split(".")[0]
    allowed = GROUND if room in GROUND else GROUND | MAY_IMPORT[room] | {room}
    for imported in own_imports(path):
        assert inside(imported, allowed), f"psp.{name} imports psp.{imported}"


def test_no_modules_import_each_other_in_a_circle():
    TopologicalSorter({name: set(own_imports(path)) for name, path in MODULES.items()}).prepare()


@EVERY_MODULE
def test_libraries_stay_where_they_belong(name, path):
    for library in {imported.split(".")[0] for imported in imports(path)}:
        assert inside(name, ONLY.get(library, {name})), f"psp.{name} imports {library}"
        assert library != "torch" or inside(name, MAY_IMPORT_TORCH), f"psp.{name} imports torch"


def test_the_faces_of_rooms_are_empty():
    """So that importing one module of a room loads no other."""
    for path in PACKAGE.rglob("*/__init__.py"):
        assert path.parent.name == "cli" or not path.read_text(encoding="utf-8").strip(), path


def test_there_is_no_utils():
    names = {name.rsplit(".", 1)[-1] for name in MODULES}
    assert not names & {"utils", "util", "common", "helpers", "misc", "base"}


@pytest.mark.parametrize(
    "arguments", [["--help"], ["train", "--help"], ["--version"], ["cards"], ["models"]]
)
def test_help_loads_nothing_heavy(arguments):
    program = (
        "import sys; from psp.cli import app\n"
        f"try: app({arguments!r})\n"
        "except SystemExit as stop: assert not stop.code\n"
        "heavy = {'torch', 'torchvision', 'numpy', 'cv2', 'h5py', 'PIL', 'jinja2', 'matplotlib'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("module", ["psp.prepare.pipeline", "psp.data.verify", "psp.data.augment"])
def test_preparing_loads_no_torch(module):
    program = f"import sys; import {module}\nassert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
