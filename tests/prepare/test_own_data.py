"""Your own data: layout folders, list files, and masks of values or colors."""

import numpy as np
import pytest
from helpers.errors import error_naming
from helpers.trees import noise, save_picture
from PIL import Image

from psp.data.cardfile import find_card, read_card
from psp.data.shards import ShardSplit
from psp.errors import PspError
from psp.lists.read import read_list
from psp.prepare.conversion import Conversion
from psp.prepare.layouts.layout import Source
from psp.prepare.pipeline import prepare
from psp.prepare.plan import make_plan

OWN = """
name = "own"
title = "My own"
layout = "folders"
{labels}
classes = [
  {{ name = "grass", color = "#00ff00"{grass} }},
  {{ name = "path", color = "#806040"{path} }},
]
ignore_from = {ignore}
[splits]
{splits}
[folders]
{folders}
"""


def own_card(folder, *, colors=False, splits, folders):
    path = folder / "own.toml"
    path.write_text(
        OWN.format(
            labels='labels = "colors"' if colors else "",
            grass="" if colors else ", from = [1]",
            path="" if colors else ", from = [2]",
            ignore='["#000000"]' if colors else "[0]",
            splits=splits,
            folders=folders,
        )
    )
    return read_card(path)


@pytest.fixture
def own_raw(tmp_path, rng):
    """Photos in sub-folders, masks with the same stems and a suffix, as values and as colors."""
    root = tmp_path / "own"
    for number in range(20):
        name = (
            f"day {number % 2}/photo.{number:02d}"  # a blank and a dot: names are not split there
        )
        save_picture(root / f"photos/{name}.jpg", noise(rng, 16, 20))
        ids = rng.integers(0, 3, (16, 20), dtype=np.uint8)
        save_picture(root / f"masks/{name}_mask.png", ids)
        colors = np.array([(0, 0, 0), (0, 255, 0), (128, 96, 64)], np.uint8)[ids]
        save_picture(root / f"painted/{name}.png", colors)
    return root


def test_color_masks_become_the_same_labels_as_index_masks(own_raw, tmp_path):
    splits = "train = { fraction = 0.7 }\nval = { fraction = 0.3 }"
    index = own_card(
        tmp_path, splits=splits, folders='images = "photos"\nmasks = "masks"\nmask_suffix = "_mask"'
    )
    prepare(index, own_raw, tmp_path / "index")
    color = own_card(
        tmp_path, colors=True, splits=splits, folders='images = "photos"\nmasks = "painted"'
    )
    prepare(color, own_raw, tmp_path / "color")
    for name, count in {"train": 14, "val": 6}.items():
        one, two = ShardSplit(tmp_path / "index", name), ShardSplit(tmp_path / "color", name)
        assert one.names == two.names and len(one) == count
        for number, stem in enumerate(one.names):
            raw = np.array(Image.open(own_raw / f"masks/{stem}_mask.png")).astype(int)
            expected = np.where(raw == 0, 255, raw - 1)
            assert np.array_equal(one.label(number), expected)
            assert np.array_equal(two.label(number), expected)


def test_fractions_are_seeded_disjoint_and_steady(own_raw, tmp_path):
    def dealt(seed):
        card = own_card(
            tmp_path,
            splits="train = { fraction = 0.5 }\nval = { fraction = 0.25 }",
            folders=f'images = "photos"\nmasks = "painted"\nseed = {seed}',
            colors=True,
        )
        splits = make_plan(Source(own_raw, card), Conversion(), 10**9, False).splits
        return [{item.pair.name for item in items} for items in splits.values()]

    first, again, other = dealt(1), dealt(1), dealt(2)
    assert first == again != other
    assert [len(names) for names in first] == [10, 5] and not first[0] & first[1]


def test_odd_list_files_are_read(own_raw, tmp_path):
    (own_raw / "train.txt").write_bytes(
        b"\xef\xbb\xbfphotos\\day 0\\photo.00.jpg\r\n\r\n"
        b"/home/someone/photos/day 1/photo.01.jpg \r\n"
    )
    (own_raw / "val.txt").write_text("day 0/photo.02\n")
    card = own_card(
        tmp_path,
        splits='train = { list = "train.txt" }\nval = { list = "val.txt" }',
        folders='images = "photos"\nmasks = "painted"',
        colors=True,
    )
    prepare(card, own_raw, tmp_path / "out")
    assert ShardSplit(tmp_path / "out", "train").names == ["day 0/photo.00", "day 1/photo.01"]
    assert ShardSplit(tmp_path / "out", "val").names == ["day 0/photo.02"]


def test_two_columns_of_a_list_name_one_picture(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("/SegNet/CamVid/train/a.png /SegNet/CamVid/trainannot/a.png\nb c.png\n")
    assert [entry.name for entry in read_list(path)] == ["/SegNet/CamVid/train/a", "b c"]


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        (b"", ["empty"]),
        (b"\r\n \r\n", ["empty"]),
        (b"a\nb\na\n", ["'a'", "lines 1 and 3"]),
        (b"a/../../b\n", ["line 1", "'a/../../b'"]),
        (b"..\\b\n", ["line 1", "b'"]),
        (b"\xffa\n", ["line 1", "UTF-8"]),
    ],
)
def test_a_wrong_list_is_refused(tmp_path, content, texts):
    path = tmp_path / "list.txt"
    path.write_bytes(content)
    with error_naming(PspError, path, *texts):
        read_list(path)


def test_pictures_in_two_splits_are_told(own_raw, tmp_path):
    for name in ("train", "val"):
        (own_raw / f"{name}.txt").write_text("day 0/photo.00\n")
    card = own_card(
        tmp_path,
        splits='train = { list = "train.txt" }\nval = { list = "val.txt" }',
        folders='images = "photos"\nmasks = "painted"',
        colors=True,
    )
    plan = make_plan(Source(own_raw, card), Conversion(), 10**9, False)
    assert any("'train' and 'val'" in text and "1 pictures" in text for text in plan.remarks)


def test_a_mask_with_renumbered_colors_is_refused(voc_raw, tmp_path):
    """All its values are in the card, but mean other classes than its colors show."""
    path = sorted((voc_raw / "VOC2012/SegmentationClass").iterdir())[0]
    ids = np.array(Image.open(path))
    ids[(ids > 5) & (ids < 255) | (ids == 1)] = 0
    ids[0, :3] = (2, 4, 5)
    palette = [*find_card("voc2012").palette, *[(0, 0, 0)] * 234, (224, 224, 192)]

    def save(values, colors):
        picture = Image.fromarray(values).convert("P")
        picture.frombytes(values.tobytes())
        picture.putpalette([channel for color in colors for channel in color])
        picture.save(path)

    save(ids, palette)  # the official palette
    prepare(find_card("voc2012"), voc_raw, tmp_path / "good", allow_incomplete=True)
    used = np.unique(ids)
    renumbered = np.searchsorted(used, ids).astype(np.uint8)
    save(renumbered, [palette[value] for value in used])
    with error_naming(PspError, path, "palette", "official file"):
        prepare(find_card("voc2012"), voc_raw, tmp_path / "out", allow_incomplete=True)


def planned(tmp_path, folders, splits="train = { fraction = 1.0 }"):
    """Return the plan of folders of photos and masks that `town` made."""
    card = own_card(tmp_path, splits=splits, folders=folders)
    return make_plan(Source(tmp_path / "town", card), Conversion(), 10**9, False)


def town(tmp_path, rng, *places):
    """Make a photo or mask at each place below town/."""
    for place in places:
        mask = "mask" in place or place.startswith("ann")
        pixels = rng.integers(0, 3, (8, 9), dtype=np.uint8) if mask else noise(rng, 8, 9)
        save_picture(tmp_path / "town" / place, pixels)


BOTH = 'images = "photos"\nmasks = "masks"'


@pytest.mark.parametrize(
    ("places", "folders", "said"),
    [
        (["photos/a.jpg", "ann/a.png"], BOTH, "ann"),
        (["photos/a.jpg", "photos/a_mask.png"], BOTH, "beside"),
        (["photos/a.jpg", "photos/a_mask.png"], BOTH.replace('"masks"', '"photos"'), "addition"),
        (["photos/a.jpg", "photos/a.png"], BOTH.replace('"masks"', '"photos"'), "JPEGs"),
        (["Photos/a.jpg", "Masks/a.png"], BOTH, ""),
    ],
)
def test_masks_are_looked_for_where_the_card_does_not_say(tmp_path, rng, places, folders, said):
    town(tmp_path, rng, *places)
    plan = planned(tmp_path, folders)
    (items,) = plan.splits.values()
    found = [(item.pair.image, item.pair.label) for item in items]
    assert found == [tuple(tmp_path / "town" / place for place in places)]
    assert any(said in remark for remark in plan.remarks) or not said


@pytest.mark.parametrize(
    ("places", "texts"),
    [
        (["photos/a.jpg", "ann1/a.png", "ann2/a.png"], ["ann1", "ann2", "[folders]"]),
        (["bilder/a.jpg", "masks/a.png"], ["photos", "no such folder", "bilder"]),
        (["photos/a.jpg", "masks/a.png", "masks/b.png"], ["b.png", "1 masks have no picture"]),
    ],
)
def test_what_is_not_found_is_named_with_what_is_there(tmp_path, rng, places, texts):
    town(tmp_path, rng, *places)
    with error_naming(PspError, *texts) as error:
        planned(tmp_path, BOTH)
    assert "ownload" not in str(error.value)


def test_the_masks_that_a_list_names_are_taken_and_only_its_pictures_need_one(tmp_path, rng):
    town(tmp_path, rng, "photos/a.jpg", "photos/b.JPG", "photos/c.jpg")
    town(tmp_path, rng, "masks/a_mask.gif", "masks/b_mask.gif")
    listed = tmp_path / "town/all.csv"
    splits = 'train = { list = "all.csv" }'
    listed.write_text("mask,image\nmasks/b_mask.gif,photos/a.jpg\nmasks/a_mask.gif,photos/b.jpg\n")
    (items,) = planned(tmp_path, BOTH, splits).splits.values()
    labels = [item.pair.label.name for item in items]
    assert labels == ["b_mask.gif", "a_mask.gif"]
    listed.write_text("a\nB\n")
    plan = planned(tmp_path, BOTH, splits)
    (items,) = plan.splits.values()
    assert [item.pair.label.name for item in items] == ["a_mask.gif", "b_mask.gif"]
    assert any("capital" in remark for remark in plan.remarks)
    listed.write_text("a\n/home/other/photos/d.jpg\n")
    with error_naming(PspError, "photos/d.jpg", "all.csv, line 2", "nearest"):
        planned(tmp_path, BOTH, splits)
    listed.write_text("a.jpg\nphotos/a.jpg\n")
    with error_naming(PspError, "all.csv", "lines 1 and 2", "a.jpg"):
        planned(tmp_path, BOTH, splits)
