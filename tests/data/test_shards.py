"""Shards: the bytes that went in come out, damage is found, the same input gives the same file."""

import json
import pickle
import subprocess
import sys
import zlib

import h5py
import numpy as np
import pytest
from helpers.errors import error_naming

from psp.data.cardfile import find_card
from psp.data.manifest import OLDEST, VERSION, ShardError, read_manifest
from psp.data.shards import ShardSplit
from psp.files import file_sha256
from psp.prepare.conversion import Conversion
from psp.prepare.pipeline import prepare


@pytest.fixture
def folder(camvid_raw, tmp_path):
    prepare(find_card("camvid"), camvid_raw, tmp_path / "out", allow_incomplete=True)
    return tmp_path / "out"


def test_image_bytes_are_the_originals(folder, camvid_raw):
    split = ShardSplit(folder, "train")
    for index, name in enumerate(split.names):
        original = (camvid_raw / "train" / f"{name}.png").read_bytes()
        assert split.image_bytes(index) == original


def test_the_layout_can_be_read_with_plain_hdf5(folder, camvid_raw):
    with h5py.File(folder / "train-00000.h5") as file:
        assert file.attrs["format"] == b"psp-shards"
        assert file.attrs["split"] == b"train"
        start, stop = file["images/offsets"][1:3]
        name = file["name"].asstr()[1]
        data = file["images/bytes"][start:stop].tobytes()
        assert file["images/bytes"].chunks is None  # contiguous: readable by position
        assert file["size"][1].tolist() == [48, 64]
        assert file["pixels"].shape == (6, 12)
        assert file["pixels"][:].sum() == 6 * 48 * 64
    assert data == (camvid_raw / "train" / f"{name}.png").read_bytes()


def test_names_are_sorted_and_counts_right(folder):
    for split, count in {"train": 6, "val": 3, "test": 2}.items():
        found = ShardSplit(folder, split)
        assert len(found) == count
        assert found.names == sorted(found.names)


@pytest.mark.slow
def test_every_flipped_byte_of_a_payload_is_found(folder, rng):
    path = folder / "val-00000.h5"
    whole = path.read_bytes()
    extents = []
    with h5py.File(path) as file:
        for kind in ("images", "labels"):
            base, offsets = file[kind]["bytes"].id.get_offset(), file[kind]["offsets"][:]
            extents += zip(base + offsets[:-1], np.diff(offsets), strict=True)
    for _ in range(200):
        start, length = extents[rng.integers(len(extents))]
        broken = bytearray(whole)
        broken[start + rng.integers(length)] ^= int(rng.integers(1, 256))
        path.write_bytes(broken)
        reader = ShardSplit(folder, "val")
        with error_naming(ShardError, f"{path}: sample '0001TP_val00", "damaged", "psp prepare"):
            for index in range(len(reader)):
                reader.image_bytes(index)
                reader.label_bytes(index)
        reader.close()


def test_a_truncated_shard_is_refused_when_opened(folder):
    path = folder / "val-00000.h5"
    path.write_bytes(path.read_bytes()[:-100])
    with error_naming(ShardError, path, "manifest", "psp prepare"):
        ShardSplit(folder, "val")


def test_a_missing_shard_split_or_folder_is_said(folder, tmp_path):
    with error_naming(ShardError, folder, "'vall'", "'val'"):
        ShardSplit(folder, "vall")
    with error_naming(ShardError, tmp_path / "nowhere", "psp prepare"):
        ShardSplit(tmp_path / "nowhere", "val")
    with error_naming(ShardError, tmp_path, "manifest.json", "psp prepare"):
        ShardSplit(tmp_path, "val")
    (folder / "val-00000.h5").unlink()
    with error_naming(ShardError, folder / "val-00000.h5", "missing", "psp prepare"):
        ShardSplit(folder, "val")


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "{}",
        '{"format": "psp-shards", "version": 2}',
        '{"format": "psp-shards", "version": 2, "source": "", "dataset": "", "card": {},'
        ' "conversion": {}, "splits": {}}',
        '{"format": "psp-shards", "version": 2, "source": "", "dataset": "",'
        ' "card": {}, "conversion": {}, "splits": {"val": {"shards": []}}}',
    ],
)
def test_a_damaged_manifest_is_said(folder, text):
    (folder / "manifest.json").write_text(text)
    with error_naming(ShardError, folder / "manifest.json", "damaged", "--overwrite"):
        read_manifest(folder)


def edit_manifest(folder, change):
    manifest = json.loads((folder / "manifest.json").read_text())
    change(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("change", "subject"),
    [
        (lambda manifest: manifest.update(version=VERSION + 1), str(VERSION + 1)),
        (lambda manifest: manifest.update(depth=1), "'depth'"),
        (lambda manifest: manifest["card"].update(depth=1), "'depth'"),
        (lambda manifest: manifest["card"]["classes"][0].update(depth=1), "'classes.depth'"),
        (lambda manifest: manifest["conversion"].update(depth=1), "'conversion.depth'"),
        (lambda manifest: manifest["splits"]["val"].update(depth=1), "'splits.val.depth'"),
        (
            lambda manifest: manifest["splits"]["val"]["shards"][0].update(depth=1),
            "'splits.val.shards.depth'",
        ),
    ],
)
def test_a_manifest_of_a_newer_psp_asks_for_an_upgrade(folder, change, subject):
    edit_manifest(folder, change)
    with error_naming(
        ShardError, folder / "manifest.json", subject, "newer", "Upgrade psp"
    ) as error:
        read_manifest(folder)
    assert "damaged" not in str(error.value) and "--overwrite" not in str(error.value)


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: manifest.pop("source"),
        lambda manifest: manifest.pop("version"),
        lambda manifest: manifest["card"].pop("classes"),
        lambda manifest: manifest["card"].update(classes={"a": 1}),
        lambda manifest: manifest["conversion"].pop("store"),
        lambda manifest: manifest["splits"]["val"].pop("skipped"),
        lambda manifest: manifest["splits"]["val"]["shards"][0].pop("sha256"),
        lambda manifest: manifest.update(version="2"),
        lambda manifest: manifest.update(dataset=5),
    ],
)
def test_a_manifest_without_a_key_or_with_a_wrong_type_is_damaged(folder, change):
    edit_manifest(folder, change)
    with error_naming(ShardError, folder / "manifest.json", "damaged", "--overwrite"):
        read_manifest(folder)


def test_a_manifest_of_an_older_format_asks_to_make_the_shards_again(folder):
    edit_manifest(folder, lambda manifest: manifest.update(version=OLDEST - 1))
    with error_naming(ShardError, folder / "manifest.json", str(OLDEST - 1), "psp prepare"):
        read_manifest(folder)


def edit_header(folder, key, value):
    """Change an attribute of a shard so that its size stays that in the manifest."""
    path = folder / "val-00000.h5"
    with h5py.File(path, "r+") as file:
        if value is None:
            del file.attrs[key]
        else:
            file.attrs[key] = np.bytes_(value)
    edit_manifest(
        folder,
        lambda manifest: manifest["splits"]["val"]["shards"][0].update(bytes=path.stat().st_size),
    )
    return path


def test_a_shard_of_a_newer_psp_asks_for_an_upgrade(folder):
    card = json.loads(find_card("camvid").to_json())
    conversion = {"store": "encoded", "reencode": None, "max_side": None}
    for key, value, subject in (
        ("depth", "1", "'depth'"),
        ("version", str(VERSION + 1), str(VERSION + 1)),
        ("card", json.dumps({**card, "license": "CC"}), "'license'"),
        ("conversion", json.dumps({**conversion, "crop": 3}), "'conversion.crop'"),
    ):
        with h5py.File(folder / "val-00000.h5") as file:
            before = file.attrs.get(key)
        path = edit_header(folder, key, value)
        with error_naming(ShardError, path, subject, "newer", "Upgrade psp") as error:
            ShardSplit(folder, "val")
        assert "damaged" not in str(error.value)
        edit_header(folder, key, before)
    assert len(ShardSplit(folder, "val")) == 3
    with h5py.File(folder / "val-00000.h5", "r+") as file:
        file["depth"] = np.zeros(3)
    edit_header(folder, "split", "val")
    with error_naming(ShardError, "'/depth'", "newer", "Upgrade psp"):
        ShardSplit(folder, "val")


@pytest.mark.parametrize("key", ["version", "card", "split", "conversion"])
def test_a_shard_without_a_part_of_its_header_is_damaged(folder, key):
    path = edit_header(folder, key, None)
    with error_naming(ShardError, path, "damaged", "psp prepare"):
        ShardSplit(folder, "val")


@pytest.mark.parametrize(
    ("key", "value"),
    [("version", "two"), ("card", "{}"), ("card", "[]"), ("card", "{"), ("conversion", "[]")],
)
def test_a_shard_with_a_header_of_a_wrong_type_is_damaged(folder, key, value):
    path = edit_header(folder, key, value)
    with error_naming(ShardError, path, "damaged", "psp prepare"):
        ShardSplit(folder, "val")


def test_damaged_offsets_are_found_when_opened(folder):
    for value in (2**40, -5):
        with h5py.File(folder / "val-00000.h5", "r+") as file:
            file["labels/offsets"][1] = value
        with error_naming(ShardError, folder / "val-00000.h5", "offsets", "psp prepare"):
            ShardSplit(folder, "val")


def test_two_runs_write_the_same_bytes(folder, camvid_raw, tmp_path):
    prepare(find_card("camvid"), camvid_raw, tmp_path / "again", allow_incomplete=True)
    for path in folder.iterdir():
        assert file_sha256(path) == file_sha256(tmp_path / "again" / path.name), path.name
    one, two = (ShardSplit(path, "val").fingerprint for path in (folder, tmp_path / "again"))
    assert one == two == file_sha256(folder / "manifest.json")


def test_another_process_reads_a_pickled_split(folder, tmp_path):
    split = ShardSplit(folder, "train")
    first = split.image_bytes(0)  # opens a file here, which must not travel
    (tmp_path / "split.pickle").write_bytes(pickle.dumps(split))
    program = (
        "import pickle, sys, zlib; split = pickle.load(open(sys.argv[1], 'rb'));"
        "print(zlib.crc32(split.image_bytes(0)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "split.pickle")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) == zlib.crc32(first)


def test_manifest_adds_up(folder):
    manifest = read_manifest(folder)
    for name, entry in manifest["splits"].items():
        split = ShardSplit(folder, name)
        assert entry["images"] == len(split)
        for shard in entry["shards"]:
            assert shard["sha256"] == file_sha256(folder / shard["file"])
        assert np.array_equal(
            np.sum([shard["pixels"] for shard in entry["shards"]], axis=0), split.pixels.sum(0)
        )


def test_of_a_raw_picture_only_the_rows_asked_for_are_read_once_it_was_checked(
    camvid_raw, tmp_path
):
    out, rows = tmp_path / "raw", slice(7, 20)
    raw = Conversion(store="raw")
    prepare(find_card("camvid"), camvid_raw, out, allow_incomplete=True, conversion=raw)
    split, path = ShardSplit(out, "val"), out / "val-00000.h5"
    whole = [split.image(index) for index in range(2)]
    for index, expected in enumerate(whole):
        assert np.array_equal(split.image_rows(index, rows)[rows], expected[rows])
    assert np.array_equal(split.image_rows(2, rows), ShardSplit(out, "val").image(2))
    good = path.read_bytes()
    at = good.index(whole[0].tobytes())
    path.write_bytes(good[: at + 10] + bytes([good[at + 10] ^ 1]) + good[at + 11 :])
    with error_naming(ShardError, f"{path}: sample '0001TP_val00", "damaged", "psp prepare"):
        ShardSplit(out, "val").image_rows(0, rows)
    path.write_bytes(good[: at + 3000])
    with error_naming(ShardError, path, "damaged", "psp prepare"):
        split.image_rows(0, slice(15, 16))
