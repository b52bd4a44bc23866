"""Label files for a benchmark's server are psp predict's label maps in the official raw values."""

import io
import json
import shutil
import tarfile
import zipfile

import numpy as np
import pytest
from helpers.errors import error_naming
from PIL import Image


def card(folder, layout, classes, splits="val = { images = 1 }", extra=""):
    rows = [f'{{ name = "{n}", color = "{c}", from = {raw} }},' for n, c, raw in classes]
    text = "\n".join(
        [
            "name = 'mine'",
            "title = 'Mine'",
            f"layout = '{layout}'",
            "classes = [",
            *rows,
            "]",
            extra,
            "[splits]",
            splits,
        ]
    )
    (folder / "mine.toml").write_text(text)


@pytest.fixture(scope="module")
def untrained():
    """untrained(shards, path): weights of random values with the shards' classes."""
    from psp.data.shards import ShardSplit
    from psp.model.architecture import Architecture
    from psp.model.pspnet import build
    from psp.model.weights import Header, save_weights

    def make(shards, split, path):
        opened = ShardSplit(shards, split)
        spec = Architecture(backbone="resnet18", classes=len(opened.card.names), stem="deep")
        header = Header(
            architecture=spec,
            classes=opened.card.names,
            palette=opened.card.palette,
            dataset=opened.card.name,
            data=opened.fingerprint,
            crop=41,
            base_size=None,
            step=1,
        )
        save_weights(path, build(spec).state_dict(), header)
        opened.close()
        return path

    return make


def maps(psp, pictures, weights, tmp_path):
    as_evaluated = ("--flip", "--blend", "uniform")
    psp("predict", pictures, "-m", weights, "-o", tmp_path / "maps", *as_evaluated, check=0)
    return {
        path.stem: np.array(Image.open(path)) for path in (tmp_path / "maps/labels").rglob("*.png")
    }


@pytest.mark.slow
def test_label_files_for_voc_are_its_palette_pngs_in_its_folders(psp, voc_raw, untrained, tmp_path):
    """The test split has no labels: files alone, ready for the server."""
    root = voc_raw / "VOC2012"
    (root / "ImageSets/Segmentation/test.txt").write_text("2007_118000\n2007_118001\n")
    shutil.rmtree(root / "SegmentationClass" / "nothing", ignore_errors=True)
    for name in ("2007_118000", "2007_118001"):
        (root / f"SegmentationClass/{name}.png").unlink()
    (root / "ImageSets/Segmentation/val.txt").write_text("2007_118002\n")
    psp("prepare", "voc2012", voc_raw, "--allow-incomplete", "-o", "s", "-q", check=0)
    weights = untrained(tmp_path / "s", "test", tmp_path / "w.safetensors")
    code, _, err = psp("evaluate", weights, "--data", "s", "--split", "test")
    assert code == 2 and "split 'test'" in err and "psp evaluate --save-labels DIR" in err
    arguments = ("evaluate", weights, "--data", "s", "--split", "test", "--save-labels", "sub")
    _, out, err = psp(*arguments, check=0)
    assert "no labels" in out and "label files: sub" in err
    folder = tmp_path / "sub/results/VOC2012/Segmentation/comp6_test_cls"
    found = {path.stem: Image.open(path) for path in folder.iterdir()}
    assert set(found) == {"2007_118000", "2007_118001"}
    assert not (tmp_path / "sub.partial").exists()
    (tmp_path / "test").mkdir()
    for name in found:
        shutil.copy(root / f"JPEGImages/{name}.jpg", tmp_path / "test")
    expected = maps(psp, tmp_path / "test", weights, tmp_path)
    for name, picture in found.items():
        assert picture.mode == "P" and picture.getpalette()[:9] == [0, 0, 0, 128, 0, 0, 0, 128, 0]
        assert np.array_equal(np.array(picture), expected[name])
    code, _, err = psp(*arguments)
    assert code == 2 and "--save-labels sub: exists" in err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("raws", "kind"),
    [([7, 8, 11, 33], np.uint8), ([1, 2, 3, 4], np.uint8), ([1, 2, 300, 459], np.int32)],
    ids=["as Cityscapes", "as ADE20K", "of 16 bits"],
)
def test_label_files_hold_the_official_raw_values(psp, untrained, rng, tmp_path, raws, kind):
    classes = [(f"c{raw}", f"#{raw:06x}", [raw]) for raw in raws]
    card(
        tmp_path,
        "folders",
        classes,
        extra='[folders]\nimages = "images/{split}"\nmasks = "masks/{split}"',
    )
    for folder in ("images/val", "masks/val"):
        (tmp_path / "raw" / folder / "x").mkdir(parents=True)
    pixels = rng.integers(0, 256, (50, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "raw/images/val/x/a.png")
    target = rng.choice(raws, (50, 60)).astype(np.uint16)
    Image.fromarray(target).save(tmp_path / "raw/masks/val/x/a.png")
    psp("prepare", "mine.toml", "raw", "-o", "s", "-q", check=0)
    weights = untrained(tmp_path / "s", "val", tmp_path / "w.safetensors")
    psp("evaluate", weights, "--data", "s", "--save-labels", "out", check=0)
    picture = Image.open(tmp_path / "out/x/a.png")
    expected = maps(psp, tmp_path / "raw/images/val", weights, tmp_path)["a"]
    assert np.array_equal(np.array(picture), np.array(raws)[expected])
    assert picture.mode == ("L" if kind is np.uint8 else picture.mode)


class Shards:
    """What the writer of label files asks of shards."""

    def __init__(self, folder, card, side=None):
        self.folder, self.stored_split, self.card = folder, "val", card
        self.conversion = {"max_side": side}


def test_a_card_says_where_label_files_are_and_what_they_hold(tmp_path):
    from psp.data.cardfile import read_card
    from psp.errors import PspError
    from psp.evaluate.leaderboard import Leaderboard

    ids = np.array([[0, 1], [1, 1]], np.uint8)
    classes = [("a", "#ff0000", [0]), ("b", "#00ff00", [1])]
    table = '[leaderboard]\npath = "up/{split}/{name}.png"\nkind = "palette"\nofficial_ids = true'
    card(tmp_path, "camvid", classes, extra=table)
    own = read_card(tmp_path / "mine.toml")
    Leaderboard(tmp_path, Shards(tmp_path, own)).write("x/one", ids)
    picture = Image.open(tmp_path / "up/val/x/one.png")
    assert picture.mode == "P" and np.array_equal(np.array(picture), ids)
    assert picture.getpalette()[:6] == [255, 0, 0, 0, 255, 0]
    card(tmp_path, "camvid", [classes[0], ("b", "#00ff00", [2])], extra=table)
    with error_naming(PspError, "mine", "class 1 'b'", "raw value 2", "official ids"):
        Leaderboard(tmp_path, Shards(tmp_path, read_card(tmp_path / "mine.toml")))


def test_shards_of_an_older_psp_have_the_label_files_of_the_shipped_card(tmp_path):
    """Their copy of the card has no table [leaderboard]."""
    from psp.data.cardfile import find_card
    from psp.data.stored_card import card_from_dict
    from psp.evaluate.leaderboard import Leaderboard

    stored = json.loads(find_card("voc2012").to_json())
    del stored["leaderboard"]
    writer = Leaderboard(tmp_path, Shards(tmp_path, card_from_dict(stored)))
    writer.write("2007_118000", np.zeros((2, 3), np.uint8))
    folder = tmp_path / "results/VOC2012/Segmentation/comp6_val_cls"
    assert Image.open(folder / "2007_118000.png").mode == "P"


@pytest.mark.parametrize("name", ["up.zip", "up.tgz", "up.TAR.GZ"])
@pytest.mark.parametrize(
    ("set_", "file", "values"),
    [
        ("voc2012", "results/VOC2012/Segmentation/comp6_val_cls/a.png", [0, 1, 20]),
        ("ade20k", "a.png", [1, 2, 21]),
        ("cityscapes", "a.png", [7, 8, 33]),
    ],
)
def test_an_archive_is_what_the_server_takes(tmp_path, name, set_, file, values):
    from psp.data.cardfile import find_card
    from psp.evaluate.leaderboard import Leaderboard

    last = 18 if set_ == "cityscapes" else 20
    writer = Leaderboard(tmp_path / f"{name}.partial", Shards(tmp_path, find_card(set_)))
    writer.write("a", np.array([[0, 1, last]], np.uint8))
    writer.write("b", np.array([[1, 1, 1]], np.uint8))
    writer.put_in_place(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    found = {}
    if name == "up.zip":
        with zipfile.ZipFile(tmp_path / name) as packed:
            found = {path: packed.read(path) for path in packed.namelist()}
    else:
        with tarfile.open(tmp_path / name) as archive:
            found = {path: archive.extractfile(path).read() for path in archive.getnames()}
    assert list(found) == [file, file.replace("a.png", "b.png")]
    picture = Image.open(io.BytesIO(found[file]))
    assert np.array(picture).tolist() == [values]
    assert picture.mode == ("P" if set_ == "voc2012" else "L")


def test_label_files_that_a_card_cannot_give_are_refused_with_the_reason(tmp_path):
    from psp.data.cardfile import find_card
    from psp.errors import PspError
    from psp.evaluate.leaderboard import Leaderboard

    with error_naming(PspError, "--save-labels", "context60: class 0 'background'", "400"):
        Leaderboard(tmp_path, Shards(tmp_path, find_card("context60")))
    with error_naming(PspError, tmp_path, "512", "--max-side"):
        Leaderboard(tmp_path, Shards(tmp_path, find_card("ade20k"), 512))
    for name in ("voc2012", "ade20k", "cityscapes", "context", "lmo"):
        Leaderboard(tmp_path, Shards(tmp_path, find_card(name)))


def test_the_official_ids_of_the_shipped_cards():
    """ADE20K counts from 1; Cityscapes' server wants label ids, not train ids."""
    from psp.data.cardfile import find_card
    from psp.evaluate.leaderboard import raw_values

    assert raw_values(find_card("ade20k")).tolist() == list(range(1, 151))
    assert raw_values(find_card("cityscapes")).tolist() == [
        7,
        8,
        11,
        12,
        13,
        17,
        *range(19, 29),
        31,
        32,
        33,
    ]
    assert raw_values(find_card("voc2012")).tolist() == list(range(21))
