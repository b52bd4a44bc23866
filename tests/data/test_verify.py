"""psp verify finds every changed byte; psp inspect shows what is there."""

import json
import shutil
import zlib

import h5py
import numpy as np
import pytest
from PIL import Image

from psp.data.cardfile import find_card
from psp.data.label_codec import encode_ids
from psp.data.manifest import read_manifest
from psp.data.statistics import read_statistics
from psp.data.verify import verify
from psp.files import file_sha256
from psp.prepare.conversion import Conversion
from psp.prepare.pipeline import prepare


@pytest.fixture
def shards(camvid_raw, tmp_path):
    prepare(find_card("camvid"), camvid_raw, tmp_path / "shards", allow_incomplete=True)
    return tmp_path / "shards"


def test_whole_shards_have_no_problem(shards, psp):
    assert verify(shards) == (11, [])
    assert verify(shards, workers=2) == (11, [])
    _, out, _ = psp("verify", shards, check=0)
    assert "11 samples" in out


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["images", "labels"])
def test_every_flipped_byte_of_a_payload_names_its_sample(shards, kind):
    """200 flips here; `python tests/fuzz/flips.py` makes 1,000 and aligned 0000 to FFFF."""
    from fuzz.flips import flip_all

    rng = np.random.default_rng(3)
    missed = flip_all(shards, kind, rng, 100)
    assert missed == []


def test_a_shard_that_is_not_in_the_manifest_is_found(camvid_raw, tmp_path):
    """A split's shards, or all of a split: the numbers in the manifest fit together."""
    out = tmp_path / "out"
    manifest = prepare(find_card("camvid"), camvid_raw, out, allow_incomplete=True, shard_mb=1e-6)
    train = manifest["splits"]["train"]
    lost = train["shards"].pop(1)
    train["images"] -= lost["images"]
    gone = [shard["file"] for shard in manifest["splits"].pop("test")["shards"]]
    (out / "manifest.json").write_text(json.dumps(manifest))
    _, problems = verify(out)
    assert len(problems) == len([*gone, lost["file"]])
    for name, text in zip([*gone, lost["file"]], problems, strict=True):
        assert text.startswith(f"{out / name}: ") and "manifest" in text and "psp prepare" in text


def test_a_change_outside_the_payload_is_found_too(shards):
    path = shards / "train-00000.h5"
    with h5py.File(path, "r+") as file:
        file["pixels"][0, 0] += 1
    _, problems = verify(shards)
    assert all(str(path) in text and "psp prepare" in text for text in problems)
    assert any("SHA-256" in text for text in problems)
    assert any("label histogram" in text and "manifest" in text for text in problems)
    assert any("sample '" in text and "histogram" in text for text in problems)


def test_labels_of_no_class_are_found_even_when_all_checksums_fit(shards, tmp_path):
    """Shards that another program wrote, with checksums of its own that are right."""
    path = shards / "val-00000.h5"
    with h5py.File(path, "r+") as file:
        labels = [encode_ids(np.full((48, 64), 77, np.uint8))] * len(file["name"])
        split = file.attrs["split"]
        del file.attrs["checksums"]  # as in shards of psp 0.1.0
        del file["labels/bytes"], file["labels/offsets"]
        file["labels/bytes"] = np.frombuffer(b"".join(labels), np.uint8)
        file["labels/offsets"] = np.cumsum([0, *map(len, labels)])
        file["crc32"][:, 1] = [zlib.crc32(label) for label in labels]
        assert split == b"val"
    manifest = read_manifest(shards)
    entry = manifest["splits"]["val"]["shards"][0]
    entry |= {"sha256": file_sha256(path), "bytes": path.stat().st_size}
    (shards / "manifest.json").write_text(json.dumps(manifest))
    _, problems = verify(shards)
    assert len(problems) == 3
    assert all("sample '" in text and "[77]" in text for text in problems)


def test_a_missing_and_a_truncated_shard_are_problems_among_others(shards, psp):
    (shards / "val-00000.h5").unlink()
    path = shards / "test-00000.h5"
    path.write_bytes(path.read_bytes()[:-100])
    code, out, err = psp("verify", shards, "--json")
    assert code == 2
    problems = json.loads(out)["problems"]
    assert any("val-00000.h5" in text and "missing" in text for text in problems)
    assert any("test-00000.h5" in text and "copy" in text for text in problems)
    assert err.count("error: ") == 1


def test_verify_of_no_shards_is_one_line(tmp_path, psp):
    code, _, err = psp("verify", tmp_path)
    assert code == 2 and "psp prepare" in err and len(err.strip().splitlines()) == 1


def test_raw_shards_verify_and_hold_the_same_pixels(camvid_raw, shards, tmp_path):
    from psp.data.shards import ShardSplit

    prepare(
        find_card("camvid"),
        camvid_raw,
        tmp_path / "raw",
        allow_incomplete=True,
        conversion=Conversion(store="raw"),
    )
    assert verify(tmp_path / "raw") == (11, [])
    one, two = ShardSplit(shards, "train"), ShardSplit(tmp_path / "raw", "train")
    for index in range(len(one)):
        assert np.array_equal(one.image(index), two.image(index))
        assert np.array_equal(one.label(index), two.label(index))


def test_the_statistics_are_what_an_independent_count_gives(shards, camvid_raw):
    statistics = read_statistics(shards)
    assert [split.name for split in statistics.splits] == ["train", "val", "test"]
    pixels, pictures = np.zeros(12, np.int64), np.zeros(12, np.int64)
    for path in (camvid_raw / "trainannot").iterdir():
        counts = np.bincount(np.array(Image.open(path)).ravel(), minlength=12)
        pixels += counts
        pictures += counts > 0
    assert statistics.splits[0].pixels.tolist() == pixels.tolist()
    assert statistics.splits[0].pictures.tolist() == pictures[:11].tolist()
    assert statistics.splits[0].median == (64, 48)
    assert statistics.absent() == ()


def test_inspect_shows_terms_splits_classes_and_draws_a_sheet(shards, tmp_path, psp):
    _, out, err = psp("inspect", shards, "--sheet", "sheet.png", check=0)
    assert "CC BY-NC" in out and "bicyclist" in out and "48" in out
    page = np.array(Image.open(tmp_path / "sheet.png"))
    assert page.shape[0] > 300 and page.std() > 20
    _, out, _ = psp("inspect", shards, "--json", check=0)
    assert json.loads(out)["splits"]["val"]["images"] == 3
    code, _, err = psp("inspect", shards, "--sheet", "sheet.jpg")
    assert code == 2 and "--sheet" in err and ".png" in err
    code, _, err = psp("inspect", shards, "--sheet", "s.png", "--split", "vall")
    assert code == 2 and "'vall'" in err and "'val'" in err


def test_a_class_that_never_occurs_is_said(camvid_raw, tmp_path, psp):
    for path in camvid_raw.glob("*annot/*.png"):
        ids = np.array(Image.open(path))
        ids[ids == 10] = 8
        Image.fromarray(ids).save(path)
    _, out, _ = psp("prepare", "camvid", camvid_raw, "--allow-incomplete", check=0)
    assert "never occur" in out and "bicyclist" in out


def test_a_split_without_labels_can_be_drawn(camvid_raw, tmp_path, psp):
    text = find_card_text().replace(
        "test = { images = 233 }", "test = { labels = false, required = false }"
    )
    (tmp_path / "camvid.toml").write_text(text)
    shutil.rmtree(camvid_raw / "testannot")
    psp("prepare", "camvid.toml", camvid_raw, "-o", "out", "--allow-incomplete", check=0)
    psp("inspect", "out", "--sheet", "s.png", "--split", "test", check=0)
    psp("verify", "out", check=0)


def find_card_text():
    from psp.data.cardfile import card_path

    return card_path("camvid").read_text(encoding="utf-8")


def edit(shards, change):
    manifest = json.loads((shards / "manifest.json").read_text())
    change(manifest, manifest["splits"]["val"], manifest["splits"]["val"]["shards"][0])
    (shards / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest, split, entry: split.update(labels=False),
        lambda manifest, split, entry: split.update(images=99),
        lambda manifest, split, entry: split.update(skipped=3),
        lambda manifest, split, entry: manifest["conversion"].update(store="raw"),
        lambda manifest, split, entry: manifest.update(conversion={}),
        lambda manifest, split, entry: manifest.update(card={}),
        lambda manifest, split, entry: manifest["splits"].update(train=split),
        lambda manifest, split, entry: entry.update(file="../shards/val-00000.h5"),
        lambda manifest, split, entry: entry.update(file=5),
        lambda manifest, split, entry: entry.update(images=10**11),
        lambda manifest, split, entry: entry.update(images="3"),
        lambda manifest, split, entry: entry.update(bytes="x"),
        lambda manifest, split, entry: entry.update(depth=1),
    ],
)
def test_a_manifest_that_does_not_fit_its_shards_is_found(shards, psp, change):
    edit(shards, change)
    code, _, err = psp("verify", shards, "--workers", "1")
    assert code == 2 and "error: " in err
