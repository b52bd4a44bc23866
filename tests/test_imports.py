"""The direction of imports, read from the syntax trees; and what `psp --help` may load."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import psp

PACKAGE = Path(psp.__file__).parent

# A module may import only from the lines above its own. Modules on one line do not know each other.
LAYERS = [
    ["psp.errors", "psp.version"],
    ["psp.files", "psp.settings.config", "psp.images", "psp.workers", "psp.data.card", "psp.zoo.importers.classnames",
     "psp.zoo.catalog", "psp.zoo.fetch", "psp.data.staging"],
    ["psp.settings.sources"],
    ["psp.data.manifest", "psp.runs", "psp.render", "psp.model.preprocessing", "psp.predict.photos", "psp.ranks",
     "psp.evaluate.boundary", "psp.model.procedure"],
    ["psp.predict.folder"],
    ["psp.predict.inputs"],
    ["psp.data.cardfile", "psp.train.run_log", "psp.evaluate.metrics", "psp.train.optim", "psp.data.augment", "psp.data.shards",
     "psp.data.scenes"],
    ["psp.data.statistics", "psp.data.contact_sheet", "psp.evaluate.leaderboard", "psp.data.verify", "psp.device", "psp.train.checkpoint",
     "psp.train.tensorboard",
     "psp.prepare.layouts.layout", "psp.prepare.layouts.lists", "psp.prepare.matlab", "psp.prepare.output",
     "psp.model.architecture"],
    ["psp.prepare.layouts.ade20k", "psp.prepare.layouts.camvid", "psp.prepare.layouts.cityscapes", "psp.prepare.layouts.context",
     "psp.prepare.layouts.folders", "psp.prepare.layouts.lmo", "psp.prepare.layouts.voc", "psp.prepare.convert",
     "psp.model.backbones.resnet", "psp.model.pyramid", "psp.zoo.importers.importer", "psp.data.loader",
     "psp.zoo.tensors"],
    ["psp.prepare.layouts.registry", "psp.model.pspnet"],
    ["psp.prepare.plan", "psp.zoo.importers.caffe", "psp.zoo.importers.csail", "psp.zoo.importers.mmseg",
     "psp.model.fold", "psp.zoo.onnx_graph", "psp.zoo.importers.semseg"],
    ["psp.model"],
    ["psp.model.weights", "psp.train.loss", "psp.train.ema", "psp.train.freeze", "psp.model.resample", "psp.train.syncbn"],
    ["psp.zoo.import_weights", "psp.model.windows", "psp.train.distributed"],
    ["psp.zoo.published", "psp.train.rendezvous"],
    ["psp.zoo.find"],
    ["psp.model.inference", "psp.train.init", "psp.model.summary", "psp.zoo.export"],
    ["psp.evaluate.count"],
    ["psp.train.checks", "psp.train.state"],
    ["psp.predict.predictor", "psp.train.memory", "psp.train.launch"],
    ["psp.train.loop", "psp.evaluate.evaluate", "psp.predict.pipeline", "psp.demo", "psp.prepare.pipeline"],
    ["psp.prepare", "psp.cli.console"],
    ["psp.cli.tables"],
    ["psp.cli.options"],
    ["psp.cli.cards", "psp.cli.prepare", "psp.cli.models", "psp.cli.predict", "psp.cli.recipe",
     "psp.cli.demo", "psp.cli.train", "psp.cli.import_weights"],
    ["psp.cli"],
    ["psp.__main__", "psp"],
]  # fmt: skip
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}

# Libraries that only these modules may know, wherever the import stands in them.
ONLY = {
    "typer": {name for name in LEVEL if name.startswith("psp.cli")},
    "rich": {"psp.cli.console", "psp.cli.tables"},
    "h5py": {"psp.data.shards", "psp.prepare.matlab"},
    "scipy": {"psp.prepare.matlab"},
    "PIL": {"psp.images", "psp.predict.photos", "psp.render"},
    "safetensors": {"psp.model.weights", "psp.zoo.tensors"},
    "torchvision": {"psp.train.init"},
    "onnx": {"psp.zoo.onnx_graph"},
    "onnxruntime": {"psp.zoo.export"},
}
WITHOUT_TORCH = {
    "psp.data.augment", "psp.evaluate.boundary", "psp.data.cardfile", "psp.data.card", "psp.zoo.catalog", "psp.data.statistics",
    "psp.zoo.importers.classnames", "psp.settings.config", "psp.data.contact_sheet", "psp.demo", "psp.cli.console", "psp.zoo.fetch",
    "psp.errors", "psp.files", "psp.predict.inputs", "psp.train.run_log", "psp.evaluate.leaderboard", "psp.data.manifest",
    "psp.evaluate.metrics", "psp.predict.photos", "psp.images", "psp.predict.folder", "psp.model.procedure",
    "psp.zoo.published", "psp.render", "psp.zoo.find", "psp.runs", "psp.data.scenes", "psp.settings.sources",
    "psp.data.shards", "psp.data.staging", "psp.cli.tables", "psp.data.verify", "psp.workers",
}  # fmt: skip


def modules():
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = ("psp", *path.relative_to(PACKAGE).with_suffix("").parts)
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


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
                yield full if full in LEVEL else node.module


def test_every_module_has_its_place():
    assert {name for name, _ in modules()} == set(LEVEL)


@pytest.mark.parametrize(
    ("name", "path"), list(modules()), ids=lambda v: v if isinstance(v, str) else ""
)
def test_imports_go_down_only(name, path):
    for imported in imports(path):
        if imported.split(".")[0] == "psp":
            assert LEVEL[imported] < LEVEL[name], f"{name} imports {imported}"


@pytest.mark.parametrize(
    ("name", "path"), list(modules()), ids=lambda v: v if isinstance(v, str) else ""
)
def test_libraries_stay_where_they_belong(name, path):
    for imported in imports(path):
        library = imported.split(".")[0]
        assert name in ONLY.get(library, {name}), f"{name} imports {imported}"
        without = name in WITHOUT_TORCH or name.startswith("psp.prepare")
        assert not (library == "torch" and without), f"{name} imports torch"


def test_there_is_no_utils():
    names = {name.rsplit(".", 1)[-1] for name, _ in modules()}
    assert not names & {"utils", "util", "common", "helpers", "misc", "base"}


@pytest.mark.parametrize(
    "arguments", [["--help"], ["train", "--help"], ["--version"], ["cards"], ["models"]]
)
def test_help_loads_nothing_heavy(arguments):
    program = (
        "import sys; from psp.cli import app\n"
        f"try: app({arguments!r})\n"
        "except SystemExit as stop: assert not stop.code\n"
        "heavy = {'torch', 'torchvision', 'numpy', 'cv2', 'h5py', 'PIL'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
