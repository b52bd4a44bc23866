"""Cards: the shipped ones hold the official facts; a bad one is refused by name."""

import re
from pathlib import Path

import pytest

from psp.data.card import IGNORE, Card, card_from_json
from psp.data.cardfile import find_card, read_card, shipped
from psp.errors import PspError

GOOD = """
name = "mine"
title = "Mine"
layout = "scenes"
classes = [
  { name = "a", color = "#000000", from = [1, 2] },
  { name = "b", color = "#0000ff", from = [3] },
]
ignore_from = [0]
[splits]
train = { images = 3 }
val = {}
[recipe]
crop = 41
[recipes.long]
steps = 9
"""


def write(tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return path


def test_every_shipped_card_is_valid_and_named_like_its_file():
    cards = {name: read_card(path) for name, path in shipped().items()}
    assert {"camvid", "scenes", "voc2012"} <= set(cards)
    assert all(card.name == name for name, card in cards.items())


def test_voc_has_the_official_classes_colors_counts_and_void():
    card = find_card("voc2012")
    assert len(card.classes) == 21
    assert (card.names[0], card.names[15], card.names[20]) == ("background", "person", "tvmonitor")
    # The devkit's color map: bit i of the class id goes to the high bits of R, G, B in turn.
    assert card.palette[:4] == ((0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0))
    assert card.palette[15] == (192, 128, 128)
    assert {split.name: split.images for split in card.splits} == {
        "train": 1464,
        "val": 1449,
        "train_aug": 10582,
        "test": 1456,
    }
    assert card.raw_to_id() == {**{i: i for i in range(21)}, 255: IGNORE}


def test_camvid_has_segnets_order_and_void():
    card = find_card("camvid")
    assert card.names == (
        "sky",
        "building",
        "pole",
        "road",
        "pavement",
        "tree",
        "sign symbol",
        "fence",
        "car",
        "pedestrian",
        "bicyclist",
    )
    assert card.raw_to_id()[11] == IGNORE
    assert {split.name: split.images for split in card.splits} == {
        "train": 367,
        "val": 101,
        "test": 233,
    }


def test_a_card_survives_json(tmp_path):
    card = read_card(write(tmp_path, GOOD))
    assert card_from_json(card.to_json()) == card
    assert isinstance(card, Card)


def test_recipes_are_laid_over_each_other(tmp_path):
    card = read_card(write(tmp_path, GOOD))
    assert card.recipe_named(None) == {"crop": 41}
    assert card.recipe_named("long") == {"crop": 41, "steps": 9}
    with pytest.raises(PspError, match="no recipe 'lang'.*Did you mean 'long'"):
        card.recipe_named("lang")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("layout =", "layuot =", "unknown key 'layuot'. Did you mean 'layout'"),
        ('title = "Mine"', "", "'title' is missing"),
        ('name = "b"', 'name = "a"', "class 1 'a': key 'name': class 0 has the same name"),
        ("#0000ff", "#000000", "class 1 'b': key 'color': 'a' has the same color"),
        ("#0000ff", "blue", "class 1 'b': color 'blue'"),
        ("from = [3]", "from = [2]", "class 1 'b': key 'from': raw value 2 is taken by 'a'"),
        ("from = [3]", "from = [0]", "raw value 0 is taken by ignore_from"),
        ("from = [3]", "from = [-3]", "-3 is no raw label value"),
        ("from = [3]", "form = [3]", "class 1 'b': unknown key 'form'. Did you mean 'from'"),
        ("images = 3", "image = 3", "split 'train': unknown key 'image'"),
        ("images = 3", 'images = "3"', "'images' must be a whole number"),
        ("crop = 41", "crpo = 41", "recipe default: 'crpo' is no setting. Did you mean 'crop'"),
        ("crop = 41", "crop = 40", "crop=40"),
        ("steps = 9", "stpes = 9", "'stpes' is no setting. Did you mean 'steps'"),
        ('name = "mine"', 'name = "My Set"', "must be lower-case"),
        ("[splits]", "[splits", "cannot be read"),
        ('layout = "scenes"', 'layout = "folders"', "a table [folders] belong together"),
        ("val = {}", "val = { fraction = 0.5 }", "works with the layout 'folders' alone"),
        ("val = {}", 'val = { list = "a", fraction = 0.5 }', "'list' or 'fraction', not both"),
        ("val = {}", "val = { fraction = 1.5 }", "above 0 and at most 1"),
        ("[recipe]", "[origin]\nadress = []\n[recipe]", "unknown key 'adress'. Did you mean"),
        ("[splits]", 'drop = ["a", 3]\n[splits]', "drop: 3 is no text"),
        ('title = "Mine"', 'title = "Mine"\nlabels = "RGB"', "must be 'values' or 'colors'"),
    ],
)
def test_a_bad_card_names_card_class_and_key(tmp_path, old, new, message):
    assert old in GOOD
    path = write(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(PspError) as error:
        read_card(path)
    assert str(path) in str(error.value)
    assert message in str(error.value)
    assert "\n" not in str(error.value).replace("(at ", "")


def test_more_than_255_classes_are_refused(tmp_path):
    rows = ",".join(f'{{ name = "c{i}", color = "#{i:06x}", from = [{i}] }}' for i in range(256))
    text = f'name = "m"\ntitle = "m"\nlayout = "voc"\nclasses = [{rows}]\n[splits]\ntrain = {{}}\n'
    with pytest.raises(PspError, match="256 classes"):
        read_card(write(tmp_path, text))


def test_the_cards_in_the_docs_are_cards(tmp_path):
    text = (Path(__file__).parents[2] / "datasets/README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    assert [read_card(write(tmp_path, block)).layout for block in blocks] == ["camvid", "folders"]


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(PspError, match="no card is called 'voc2021'.*Did you mean 'voc2012'"):
        find_card("voc2021")
    with pytest.raises(PspError, match="no such file"):
        find_card("nowhere/mine.toml")
