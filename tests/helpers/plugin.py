"""The package in tests/plugin, made known to Python as pip would do it."""

import tomllib
from pathlib import Path

PLUGIN = Path(__file__).parents[1] / "plugin"


def write_metadata(site, *, entry_points=True):
    """Write what importlib.metadata reads of an installed package: its name and entry points.

    Without them, it hides those of the package where it is really installed: of two packages of one
    name, the first on the path counts.
    """
    project = tomllib.loads((PLUGIN / "pyproject.toml").read_text())["project"]
    info = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    lines = []
    for group, points in project["entry-points"].items() if entry_points else ():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
