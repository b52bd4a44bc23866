"""Cards: the shipped ones hold the official facts; a bad one is refused by name."""

import json
import re
from pathlib import Path

import pytest
from helpers.errors import error_naming

from psp.data.card import IGNORE, Card
from psp.data.cardfile import find_card, read_card, shipped, with_facts
from psp.data.stored_card import card_from_dict, card_from_json
from psp.errors import PspError
from psp.headers import DamagedError, NewerError

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
    assert card.leaderboard.kind == "palette" and card.leaderboard.official_ids


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


def stored(tmp_path):
    """A card as a JSON object, with every optional table."""
    tables = """
[origin]
address = ["https://example.org"]
[folders]
images = "images/{split}"
masks = "masks/{split}"
[leaderboard]
path = "{split}/{name}.png"
[class_order]
mmsegmentation = "alphabetical"
"""
    text = GOOD.replace('layout = "scenes"', 'layout = "folders"') + tables
    return json.loads(read_card(write(tmp_path, text)).to_json())


@pytest.mark.parametrize(
    ("table", "key"),
    [
        (lambda card: card, "'depth'"),
        (lambda card: card["classes"][1], "'classes.depth'"),
        (lambda card: card["splits"][0], "'splits.depth'"),
        (lambda card: card["origin"], "'origin.depth'"),
        (lambda card: card["folders"], "'folders.depth'"),
        (lambda card: card["leaderboard"], "'leaderboard.depth'"),
    ],
)
def test_an_unknown_key_in_a_stored_card_is_of_a_newer_psp(tmp_path, table, key):
    card = stored(tmp_path)
    table(card)["depth"] = 3
    with error_naming(NewerError, key):
        card_from_dict(card)


def test_a_stored_card_without_a_key_or_with_a_wrong_type_is_damaged(tmp_path):
    for key in ("name", "title", "layout", "classes", "splits", "ignore_from", "drop", "origin"):
        card = stored(tmp_path)
        del card[key]
        with error_naming(DamagedError, f"'{key}'", "missing"):
            card_from_dict(card)
    for key, value in {"name": 3, "classes": [5], "splits": 5, "recipe": [], "drop": "a"}.items():
        with error_naming(DamagedError, key):
            card_from_dict({**stored(tmp_path), key: value})


def test_a_stored_card_of_an_older_psp_may_lack_keys_with_defaults(tmp_path):
    card = stored(tmp_path)
    del card["sources"], card["recipe_name"], card["leaderboard"], card["class_order"]
    assert card_from_dict(card).recipe_name == "default"


def test_a_card_of_an_older_psp_takes_leaderboard_and_class_order_of_the_shipped_one():
    for name, key in (("voc2012", "leaderboard"), ("context60", "class_order")):
        card = find_card(name)
        older = {k: v for k, v in json.loads(card.to_json()).items() if k != key}
        assert not getattr(card_from_dict(older), key)
        assert with_facts(card_from_dict(older)) == card
        other = card_from_dict({**older, "name": "mine"})
        assert with_facts(other) == other


def test_keys_that_are_not_set_are_not_stored(tmp_path):
    """So psp prepare still recognizes the shards of such a card that an older psp made."""
    text = read_card(write(tmp_path, GOOD)).to_json()
    assert "leaderboard" not in text and "class_order" not in text


def test_classes_may_share_a_color_where_it_says_nothing_of_the_labels(tmp_path):
    """As ADE20K's official colors do; not where labels are colors."""
    card = read_card(write(tmp_path, GOOD.replace("#0000ff", "#000000")))
    assert card.palette == ((0, 0, 0), (0, 0, 0))
    assert card_from_json(card.to_json()) == card
    in_colors = GOOD.replace("layout =", 'labels = "colors"\nlayout =')
    for old, new in (("[1, 2]", '["#010101"]'), ("[3]", '["#020202"]'), ("[0]", '["#030303"]')):
        in_colors = in_colors.replace(f"from = {old}", f"from = {new}")
    read_card(write(tmp_path, in_colors))
    with error_naming(PspError, "class 1 'b'", "'color'", "'a'"):
        read_card(write(tmp_path, in_colors.replace("#0000ff", "#000000")))


def test_ade20k_has_the_official_colors():
    """Road and skyscraper share theirs (color150.mat); older shards keep the one they have."""
    card = find_card("ade20k")
    colors = dict(zip(card.names, card.palette, strict=True))
    assert colors["road"] == colors["skyscraper"] == (140, 140, 140)
    assert len(set(card.palette)) == 149
    older = json.loads(card.to_json())
    older["classes"][48]["color"] = [141, 140, 140]
    assert card_from_dict(older).palette[48] == (141, 140, 140)


def test_recipes_are_laid_over_each_other(tmp_path):
    card = read_card(write(tmp_path, GOOD))
    assert card.recipe_named(None) == {"crop": 41}
    assert card.recipe_named("long") == {"crop": 41, "steps": 9}
    with error_naming(PspError, "mine", "'lang'", "'long'"):
        card.recipe_named("lang")


@pytest.mark.parametrize(
    ("old", "new", "texts"),
    [
        ("layout =", "layuot =", ["'layuot'", "'layout'"]),
        ('layout = "scenes"', "", ["'layout'", "missing"]),
        ('name = "b"', 'name = "a"', ["class 1 'a'", "'name'", "class 0"]),
        ("#0000ff", "blue", ["class 1 'b'", "'blue'", "#"]),
        ("from = [3]", "from = [2]", ["class 1 'b'", "'from'", "value 2", "'a'"]),
        ("from = [3]", "from = [0]", ["value 0", "ignore_from"]),
        ("from = [3]", "from = [-3]", ["class 1 'b'", "from", "-3"]),
        ("from = [3]", "form = [3]", ["class 1 'b'", "'form'", "'from'"]),
        ("images = 3", "image = 3", ["split 'train'", "'image'"]),
        ("images = 3", 'images = "3"', ["split 'train'", "'images'", "integer"]),
        ("crop = 41", "crpo = 41", ["'crpo'", "'crop'"]),
        ("crop = 41", "crop = 40", ["crop=40"]),
        ("steps = 9", "stpes = 9", ["'stpes'", "'steps'"]),
        ('name = "mine"', 'name = "My Set"', ["'My Set'", "lower-case"]),
        ("[splits]", "[splits", ["cannot be read"]),
        ("val = {}", "val = { fraction = 0.5 }", ["split 'val'", "'fraction'", "[folders]"]),
        (
            "val = {}",
            'val = { list = "a", fraction = 0.5 }',
            ["split 'val'", "'list'", "'fraction'"],
        ),
        ("val = {}", "val = { fraction = 1.5 }", ["split 'val'", "'fraction'", "at most 1"]),
        ("[recipe]", "[origin]\nadress = []\n[recipe]", ["origin", "'adress'", "'address'"]),
        ("[splits]", 'drop = ["a", 3]\n[splits]', ["drop", "3"]),
        ('title = "Mine"', 'title = "Mine"\nlabels = "RGB"', ["'RGB'", "'values'", "'colors'"]),
        ("[recipe]", "[leaderboard]\npth = 'a'\n[recipe]", ["leaderboard", "'pth'", "'path'"]),
        ("[recipe]", "[leaderboard]\npath = '../{name}.png'\n[recipe]", ["leaderboard", "'path'"]),
        ("[recipe]", "[leaderboard]\npath = 'a.png'\n[recipe]", ["'path'", "{name}.png"]),
        ("[recipe]", "[leaderboard]\npath = '{x}/{name}.png'\n[recipe]", ["'path'", "{split}"]),
        ("[recipe]", "[leaderboard]\nkind = 'jpg'\n[recipe]", ["'jpg'", "'palette'"]),
        ("[recipe]", "[leaderboard]\nkind = 'palette'\n[recipe]", ["'palette'", "official_ids"]),
        ("[recipe]", "[class_order]\nmmseg = 'voc'\n[recipe]", ["'mmseg'", "alphabetical"]),
    ],
)
def test_a_bad_card_names_card_class_and_key(tmp_path, old, new, texts):
    assert old in GOOD
    path = write(tmp_path, GOOD.replace(old, new, 1))
    with error_naming(PspError, path, *texts):
        read_card(path)


def test_more_than_255_classes_are_refused(tmp_path):
    rows = ",".join(f'{{ name = "c{i}", color = "#{i:06x}", from = [{i}] }}' for i in range(256))
    text = f'name = "m"\ntitle = "m"\nlayout = "voc"\nclasses = [{rows}]\n[splits]\ntrain = {{}}\n'
    with error_naming(PspError, "mine.toml", "256 classes"):
        read_card(write(tmp_path, text))


def test_the_cards_in_the_docs_are_cards(tmp_path):
    text = (Path(__file__).parents[2] / "datasets/README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    layouts = [read_card(write(tmp_path, block)).layout for block in blocks]
    assert layouts == ["camvid", "folders", "annotated"]


OWN = """
name = "own"
layout = "annotated"
labels = "names"
classes = [{ name = "background", from = [] }, { name = "tree", from = ["tree", "Tree"] }]
ignore_from = ["unsure"]
[splits]
train = {}
[exports]
sources = ["lawn"]
undrawn = "background"
"""


def test_a_card_of_own_data_needs_no_title_and_no_colors(tmp_path):
    card = read_card(write(tmp_path, OWN))
    assert card.title == "own" and len(set(card.palette)) == 2
    assert card.exports.labels == {"unsure": IGNORE, "tree": 1, "Tree": 1}
    assert card.exports.undrawn == 0 and not card.exports.empty
    assert card_from_json(card.to_json()) == card


@pytest.mark.parametrize(
    ("old", "new", "texts"),
    [
        ('from = ["tree", "Tree"]', 'from = ["tree", "unsure"]', ["'unsure'", "from"]),
        ('undrawn = "background"', 'undrawn = "grass"', ["undrawn", "'grass'"]),
        ('sources = ["lawn"]', "sources = []", ["sources"]),
        ('sources = ["lawn"]', 'sources = ["lawn"]\nempty = "yes"', ["empty", "'yes'"]),
        ('sources = ["lawn"]', 'sources = ["lawn"]\ngroup_by = "("', ["group_by"]),
        ('sources = ["lawn"]', 'sources = ["lawn"]\nmax_side = 0', ["max_side"]),
        ('sources = ["lawn"]', 'sources = ["lawn"]\nval_fraction = 1.5', ["val_fraction"]),
        ('sources = ["lawn"]', 'sources = ["lawn"]\norder = "odd"', ["order", "large-first"]),
        ('sources = ["lawn"]', 'sorces = ["lawn"]', ["'sorces'", "sources"]),
        ('labels = "names"', 'labels = "values"', ["names"]),
    ],
)
def test_a_bad_table_of_exports_names_the_key(tmp_path, old, new, texts):
    assert old in OWN
    path = write(tmp_path, OWN.replace(old, new, 1))
    with error_naming(PspError, str(path), *texts):
        read_card(path)


def test_an_unknown_name_suggests_the_nearest():
    with error_naming(PspError, "'voc2021'", "'voc2012'", "psp cards"):
        find_card("voc2021")
    with error_naming(PspError, "nowhere/mine.toml", "psp cards"):
        find_card("nowhere/mine.toml")
