"""Own photos and exports become shards with the card that psp writes, and that card goes on."""

import json
import zipfile

import numpy as np
import pytest
from helpers.trees import noise, save_picture
from PIL import Image

from psp.data.cardfile import read_card
from psp.data.shards import ShardSplit
from psp.train.request import train_request

WORDS = ["oak", "elm", "fir", "yew", "ash", "bay", "fig", "gum", "haw", "ivy", "koa", "nut"]
SIZE = (40, 56)  # neither square nor a multiple of each other


def labelme(path, *shapes, size=SIZE, **more):
    """One file as labelme writes it, of rectangles (label, x0, y0, x1, y1)."""
    record = {
        "version": "5.4.1",
        "flags": {},
        "shapes": [
            {"label": label, "shape_type": "rectangle", "points": [[x0, y0], [x1, y1]], "flags": {}}
            for label, x0, y0, x1, y1 in shapes
        ],
        "imagePath": f"{path.stem}.jpg",
        "imageData": None,
        "imageHeight": size[0],
        "imageWidth": size[1],
        **more,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record))


@pytest.fixture
def masked(tmp_path, rng):
    """Photos and masks of 0, 1 and 255, in two folders."""
    for word in WORDS:
        save_picture(tmp_path / f"garden/photos/{word}.jpg", noise(rng, *SIZE))
        mask = np.zeros(SIZE, np.uint8)
        mask[10:30, 5:50] = 1
        mask[0] = 255
        save_picture(tmp_path / f"garden/masks/{word}.png", mask)
    return tmp_path / "garden"


@pytest.fixture
def drawn(tmp_path, rng):
    """A folder of labelme files beside their photos: grass below, a tree over it."""
    for number, word in enumerate(WORDS):
        save_picture(tmp_path / f"lawn/{word}.jpg", noise(rng, *SIZE))
        shapes = [("grass", 0, 20, 55, 39)]
        if number % 2:
            shapes.append(("tree", 10, 10, 20, 30))
        labelme(tmp_path / f"lawn/{word}.json", *shapes)
    return tmp_path / "lawn"


def ids(split, name):
    return split.label(split.names.index(name))


def both(folder):
    """Name → label of all pictures in train and val."""
    splits = [ShardSplit(folder, name) for name in ("train", "val")]
    return {name: ids(split, name) for split in splits for name in split.names}


@pytest.mark.parametrize("order", [("photos", "masks"), ("masks", "photos")])
def test_photos_and_masks_whichever_comes_first(masked, tmp_path, psp, order):
    _, _, err = psp("prepare", masked / order[0], masked / order[1], check=0)
    card = read_card(tmp_path / "data/garden.toml")
    assert card.names == ("background", "foreground")
    labels = both(tmp_path / "data/garden")
    assert len(labels) == len(WORDS)
    for label in labels.values():
        assert (label[0] == 255).all() and (label[10:30, 5:50] == 1).all() and label[5, 5] == 0
    assert "data/garden.toml" in err and "12 pictures" in err


def test_one_folder_with_both(masked, tmp_path, psp):
    psp("prepare", masked, "-o", "out", check=0)
    assert len(both(tmp_path / "out")) == len(WORDS)


@pytest.mark.slow
def test_labelme_shapes_with_undrawn_background(drawn, tmp_path, psp):
    psp("prepare", drawn, check=0)
    card = read_card(tmp_path / "data/lawn.toml")
    assert card.names == ("background", "grass", "tree")
    labels = both(tmp_path / "data/lawn")
    assert (labels["elm"][11:30, 11:20] == 2).all()
    assert (labels["elm"][31:, :5] == 1).all() and (labels["oak"][:19] == 0).all()


@pytest.mark.slow
def test_undrawn_pixels_can_be_ignored(drawn, tmp_path, psp):
    psp("prepare", drawn, "--undrawn", "ignore", check=0)
    card = read_card(tmp_path / "data/lawn.toml")
    assert card.names == ("grass", "tree")
    assert (both(tmp_path / "data/lawn")["oak"][:19] == 255).all()


def test_pictures_without_a_shape_are_left_out_unless_they_are_background(drawn, tmp_path, psp):
    labelme(drawn / "oak.json")
    _, _, err = psp("prepare", drawn, check=0)
    assert "oak" in err and "--empty background" in err
    assert len(both(tmp_path / "data/lawn")) == len(WORDS) - 1
    psp("prepare", drawn, "--empty", "background", "-o", "all", check=0)
    assert (both(tmp_path / "all")["oak"] == 0).all()


@pytest.mark.slow
def test_a_zip_gives_what_its_folder_gives(drawn, tmp_path, psp):
    with zipfile.ZipFile(tmp_path / "lawn.zip", "w") as archive:
        for path in sorted(drawn.iterdir()):
            archive.write(path, f"export/{path.name}")
    psp("prepare", drawn, "-o", "one", check=0)
    psp("prepare", tmp_path / "lawn.zip", "-o", "two", check=0)
    one, two = both(tmp_path / "one"), both(tmp_path / "two")
    assert {name.rpartition("/")[2] for name in two} == set(one)
    for name, label in two.items():
        assert np.array_equal(label, one[name.rpartition("/")[2]])
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_exports_of_two_formats_become_one_set(drawn, masked, tmp_path, psp):
    (masked / "classes.txt").write_text("soil\ngrass\n")
    psp("prepare", drawn, masked, "-o", "both", check=0)
    card = read_card(tmp_path / "both.toml")
    assert set(card.names) == {"background", "grass", "tree", "soil"}
    assert len(both(tmp_path / "both")) == 2 * len(WORDS)


def test_similar_names_are_refused_with_the_way_to_settle_them(drawn, tmp_path, psp):
    labelme(drawn / "oak.json", ("Grass", 0, 0, 9, 9))
    _, _, err = psp("prepare", drawn, check=2)
    assert "Grass" in err and "--rename" in err
    assert not (tmp_path / "data").exists()
    psp("prepare", drawn, "--rename", "Grass=grass", check=0)
    assert read_card(tmp_path / "data/lawn.toml").names == ("background", "grass", "tree")


@pytest.mark.slow
def test_the_card_remembers_its_sources_and_may_be_edited(drawn, tmp_path, psp):
    psp("prepare", drawn, check=0)
    path = tmp_path / "data/lawn.toml"
    _, _, err = psp("prepare", path, check=0)
    assert "already" in err and not (tmp_path / "data/lawn-2").exists()
    path.write_text(
        path.read_text()
        .replace('    { name = "tree"', '    # { name = "tree"')
        .replace('from = ["grass"]', 'from = ["grass", "tree"]')
    )
    psp("prepare", path, "-o", "joined", check=0)
    labels = both(tmp_path / "joined")
    assert (labels["elm"][11:30, 11:20] == 1).all()
    _, _, err = psp("prepare", drawn, check=0)  # the edited card is a person's: it stays
    assert "joined" not in err and 'from = ["grass", "tree"]' in path.read_text()
    assert (tmp_path / "data/lawn-2.toml").exists()


@pytest.mark.slow
def test_large_photos_are_shrunk_unless_asked_not_to(tmp_path, rng, psp):
    for word in WORDS[:2]:
        save_picture(tmp_path / f"big/{word}.jpg", noise(rng, 900, 1500))
        labelme(tmp_path / f"big/{word}.json", ("wall", 0, 0, 1499, 450), size=(900, 1500))
    _, _, err = psp("prepare", "big", check=0)
    split = ShardSplit(tmp_path / "data/big", "train")
    assert split.sizes.max() == 1024 and "1024" in err
    assert (split.label(0)[:300] == 1).all()
    psp("prepare", "big", "--max-side", "none", "-o", "whole", check=0)
    assert ShardSplit(tmp_path / "whole", "train").sizes.max() == 1500


def test_what_is_wrong_with_a_picture_is_named_and_may_be_skipped(drawn, tmp_path, psp):
    labelme(drawn / "oak.json", ("grass", 0, 0, 20, 20), size=(20, 28))
    (drawn / "elm.jpg").unlink()
    _, _, err = psp("prepare", drawn, check=2)
    assert "oak.json" in err or "elm.json" in err
    _, _, err = psp("prepare", drawn, "--skip-bad", "2", check=0)
    assert "oak.json" in err and "28x20" in err and "elm.jpg" in err and "--images" in err
    manifest = json.loads((tmp_path / "data/lawn/manifest.json").read_text())
    assert sum(len(split["skipped"]) for split in manifest["splits"].values()) == 2


@pytest.mark.slow
def test_pictures_that_lie_apart(drawn, tmp_path, psp):
    apart = tmp_path / "pictures"
    apart.mkdir()
    for path in drawn.glob("*.jpg"):
        path.rename(apart / path.name)
    _, _, err = psp("prepare", drawn, check=2)
    assert "--images" in err
    psp("prepare", drawn, "--images", apart, check=0)
    assert len(both(tmp_path / "data/lawn")) == len(WORDS)
    psp("prepare", tmp_path / "data/lawn.toml", "-o", "again", check=0)
    assert len(both(tmp_path / "again")) == len(WORDS)
    psp("prepare", apart, drawn, "-o", "both", check=0)  # the folder of pictures as a source
    assert len(both(tmp_path / "both")) == len(WORDS)
    psp("prepare", tmp_path / "both.toml", "-o", "once more", check=0)


def test_one_picture_in_two_exports_is_named(drawn, tmp_path, psp):
    other = tmp_path / "second"
    labelme(other / "oak.json", ("tree", 0, 0, 9, 9), imagePath="../lawn/oak.jpg")
    _, _, err = psp("prepare", drawn, other, "--images", drawn, check=2)
    assert "oak.jpg" in err and "twice" in err


def test_a_turned_photo_is_drawn_on_as_it_is_seen(tmp_path, rng, psp):
    photo = Image.fromarray(noise(rng, 40, 56))
    exif = photo.getexif()
    exif[0x0112] = 6
    for number, word in enumerate(WORDS[:4]):
        folder = tmp_path / "turned"
        folder.mkdir(exist_ok=True)
        photo.rotate(number).save(folder / f"{word}.jpg", exif=exif)
        labelme(folder / f"{word}.json", ("top", 0, 0, 39, 10), size=(56, 40))
    psp("prepare", "turned", check=0)
    for label in both(tmp_path / "data/turned").values():
        assert label.shape == (56, 40) and (label[:10] == 1).all() and (label[12:] == 0).all()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["nothing-here"], ["nothing-here", "no such"]),
        (["empty"], ["empty", "folder"]),
        (["photos"], ["photos", "MASKS"]),
        (["notes.txt"], ["notes.txt", "format"]),
        (["archive.rar"], ["archive.rar", "Unpack"]),
        (["broken.zip"], ["broken.zip", "zip"]),
    ],
)
def test_what_cannot_be_read_is_called_what_it_is(tmp_path, rng, psp, given, words):
    (tmp_path / "empty").mkdir()
    for word in WORDS[:3]:
        save_picture(tmp_path / f"photos/{word}.jpg", noise(rng, *SIZE))
    for name in ("notes.txt", "archive.rar", "broken.zip"):
        (tmp_path / name).write_text("no export")
    _, _, err = psp("prepare", *given, check=2)
    assert err.count("\n") == 1 and all(word in err for word in words), err


def test_near_duplicates_across_splits_are_reported(tmp_path, rng, psp):
    photo = noise(rng, 80, 112)
    for split, names in (("train", WORDS[:4]), ("val", ["copy", "yes"])):
        for name in names:
            picture = photo if name in ("oak", "copy") else noise(rng, 80, 112)
            if name == "copy":
                picture = np.clip(photo.astype(int) + 9, 0, 255).astype(np.uint8)
            save_picture(tmp_path / f"set/{split}/{name}.jpg", picture)
            labelme(tmp_path / f"set/{split}/{name}.json", ("a", 0, 0, 50, 50), size=(80, 112))
    _, _, err = psp("prepare", "set", check=0)
    assert "val 2" in err
    said = next(line for line in err.splitlines() if "almost like" in line)
    assert "val/copy and train/oak" in said and "yes" not in said


def test_photos_and_videos_that_cannot_be_read_are_counted_and_end_with_3(drawn, tmp_path, psp):
    (drawn / "raw.cr3").write_bytes(bytes(100))
    (drawn / "clip.mp4").write_bytes(bytes(100))
    (drawn / "README.txt").write_text("read me")
    _, _, err = psp("prepare", drawn, check=3)
    assert "1 .cr3" in err and "1 .mp4" in err and "README" not in err
    assert len(both(tmp_path / "data/lawn")) == len(WORDS)


@pytest.mark.slow
def test_a_folder_named_like_a_card_is_told_from_the_card(camvid_raw, masked, tmp_path, psp):
    (tmp_path / "camvid").mkdir()
    psp("prepare", "camvid", camvid_raw, "-o", "official", "--allow-incomplete", check=0)
    assert ShardSplit(tmp_path / "official", "train").card.layout == "camvid"
    _, _, err = psp("prepare", "camvid", masked, check=2)
    assert "./camvid" in err
    (tmp_path / "camvid").rmdir()
    masked.rename(tmp_path / "camvid")
    psp("prepare", "camvid", "-o", "own", check=0)
    assert ShardSplit(tmp_path / "own", "train").card.layout == "annotated"


def test_the_recipe_that_is_shown_is_that_of_a_training(masked, tmp_path, psp):
    psp("prepare", masked / "photos", masked / "masks", check=0)
    _, out, _ = psp("recipe", "show", "data/garden", "--json", check=0)
    shown = {row["setting"]: row for row in json.loads(out)["settings"]}
    request = train_request(tmp_path / "data/garden")
    assert {name: row["value"] for name, row in shown.items()} == json.loads(
        json.dumps(request.config.flat())
    )
    assert {name: shown[name]["from"] for name in request.sources} == request.sources
    _, out, _ = psp("recipe", "show", "data/garden.toml", check=0)
    (line,) = (line for line in out.splitlines() if line.startswith("crop"))
    assert "shards" in line and "473" not in line


@pytest.mark.parametrize(
    "option",
    [("--undrawn", "ignore"), ("--val-fraction", "0.3"), ("--images", "x"), ("--rename", "a=b")],
)
def test_options_of_own_data_beside_a_card_are_refused(masked, tmp_path, psp, option):
    psp("prepare", masked / "photos", masked / "masks", check=0)
    _, _, err = psp("prepare", "data/garden.toml", *option, check=2)
    assert option[0] in err and "garden.toml" in err
