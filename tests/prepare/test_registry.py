"""Layouts are found by name, also those of other packages, and only they know their own names."""

import ast
from pathlib import Path

import numpy as np
import pytest
from helpers.errors import error_naming
from helpers.trees import noise, save_picture
from PIL import Image

import psp as package
from psp.data.cardfile import read_card, shipped
from psp.data.shards import ShardSplit
from psp.errors import PspError
from psp.plugins import known_names
from psp.prepare.layouts.registry import GROUP, LAYOUTS, find_layout
from psp.prepare.pipeline import prepare
from psp.zoo.importers.registry import IMPORTERS

CARD = """
name = "mine"
title = "Mine"
layout = "{layout}"
classes = [
  {{ name = "a", color = "#000000", from = [1] }},
  {{ name = "b", color = "#0000ff", from = [3] }},
]
[splits]
train = {{ images = 2 }}
"""
FOLDERS = '[folders]\nimages = "images/{split}"\nmasks = "masks/{split}"\n'
SOURCES = Path(package.__file__).parent


def card(folder, layout, more=""):
    path = folder / "mine.toml"
    path.write_text(CARD.format(layout=layout) + more)
    return read_card(path)


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_describes_itself_and_suggests_a_shipped_card(tmp_path, name):
    more = FOLDERS if name == "folders" else ""
    layout = find_layout(card(tmp_path, name, more))
    assert layout.description
    assert layout.card is None or read_card(shipped()[layout.card]).layout == name


def test_an_unknown_layout_suggests_the_nearest(tmp_path):
    with error_naming(PspError, "card mine", "'camvit'", "'camvid'"):
        find_layout(card(tmp_path, "camvit"))


def test_only_cards_of_the_layout_folders_have_a_table_of_folders(tmp_path):
    with error_naming(PspError, "card mine", "'folders'", "[folders]"):
        find_layout(card(tmp_path, "folders"))
    with error_naming(PspError, "card mine", "'camvid'", "[folders]"):
        find_layout(card(tmp_path, "camvid", FOLDERS))


@pytest.fixture
def beside_raw(tmp_path, rng):
    """The layout of tests/plugin: two pictures with their labels beside them."""
    root = tmp_path / "raw"
    for name in ("one", "two"):
        (root / "train").mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(rng, 24, 32)).save(root / f"train/{name}.jpg")
        save_picture(
            root / f"train/{name}_labels.png", rng.choice(np.array([1, 3], np.uint8), (24, 32))
        )
    return root


def test_the_layout_of_another_package_is_found_by_its_entry_point(plugin, beside_raw, tmp_path):
    mine = card(tmp_path, "beside")
    prepare(mine, beside_raw, tmp_path / "out")
    split = ShardSplit(tmp_path / "out", "train")
    assert split.names == ["one", "two"]
    raw = np.array(Image.open(beside_raw / "train/two_labels.png"))
    assert np.array_equal(split.label(1), raw // 2)
    with error_naming(PspError, beside_raw / "train", "pictures with their labels", "above"):
        prepare(mine, beside_raw / "train", tmp_path / "other")
    assert "beside" in known_names(LAYOUTS, GROUP)


def test_without_that_package_its_layout_is_unknown(no_plugin, tmp_path, beside_raw):
    with error_naming(PspError, "card mine", "'beside'", *LAYOUTS):
        prepare(card(tmp_path, "beside"), beside_raw, tmp_path / "out")


def test_an_entry_point_that_is_no_layout_is_named(plugin, tmp_path, monkeypatch):
    monkeypatch.setattr("psp_plugin.layout.BESIDE", "beside")
    with error_naming(PspError, "card mine", "'beside'", GROUP):
        find_layout(card(tmp_path, "beside"))


def test_entry_points_are_not_read_for_psps_own_layouts(tmp_path, monkeypatch):
    """Reading them takes tens of milliseconds."""
    monkeypatch.setattr("importlib.metadata.entry_points", None)
    assert find_layout(card(tmp_path, "camvid")).card == "camvid"


def compared(tree):
    """Yield the operands of every comparison by value, and the patterns of every match."""
    for node in ast.walk(tree):
        if isinstance(node, ast.MatchValue):
            yield node.value
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            for operator, left, right in zip(node.ops, sides, sides[1:], strict=False):
                if isinstance(operator, ast.Eq | ast.NotEq | ast.In | ast.NotIn):
                    for side in (left, right):
                        literal = isinstance(side, ast.Tuple | ast.List | ast.Set)
                        yield from side.elts if literal else (side,)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("names", "room"),
    [(LAYOUTS, "."), (IMPORTERS, "zoo")],
    ids=["layouts", "importers"],
)
def test_a_name_is_compared_only_in_its_own_file(names, room):
    """What others need to know of a data set is a key of its card or a field of its layout."""
    for path in (SOURCES / room).rglob("*.py"):
        module = ".".join(path.relative_to(SOURCES.parent).with_suffix("").parts)
        for operand in compared(ast.parse(path.read_text(encoding="utf-8"))):
            text = ast.unparse(operand)
            if isinstance(operand, ast.Constant) and operand.value in names:
                assert names[operand.value].startswith(f"{module}:"), f"{path}: {text}"
            assert not text.endswith((".layout", "['layout']")), f"{path}: {text}"
