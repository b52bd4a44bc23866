"""Shards: the bytes that went in come out, damage is found, the same input gives the same file."""

import pickle
import subprocess
import sys

import h5py
import numpy as np
import pytest

from psp.data.cardfile import find_card
from psp.data.shards import (
    ShardError,
    ShardSplit,
    file_sha256,
    read_manifest,
)
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


def test_every_flipped_byte_of_a_payload_is_found(folder, rng):
    path = folder / "val-00000.h5"
    whole = path.read_bytes()
    split = ShardSplit(folder, "val")
    extents = [(int(s), int(n)) for table in (split._image, split._label) for s, n in table]
    for _ in range(200):
        start, length = extents[rng.integers(len(extents))]
        broken = bytearray(whole)
        broken[start + rng.integers(length)] ^= int(rng.integers(1, 256))
        path.write_bytes(broken)
        reader = ShardSplit(folder, "val")
        with pytest.raises(ShardError, match=r"val-00000.h5: sample '0001TP_val00\d': the (im|la)"):
            for index in range(len(reader)):
                reader.image_bytes(index)
                reader.label_bytes(index)
        reader.close()


def test_a_truncated_shard_is_refused_when_opened(folder):
    path = folder / "val-00000.h5"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ShardError, match="the manifest says"):
        ShardSplit(folder, "val")


def test_a_missing_shard_split_or_folder_is_said(folder, tmp_path):
    with pytest.raises(ShardError, match="no split 'vall'.*Did you mean 'val'"):
        ShardSplit(folder, "vall")
    with pytest.raises(ShardError, match="no such folder"):
        ShardSplit(tmp_path / "nowhere", "val")
    with pytest.raises(ShardError, match="not a folder of shards"):
        ShardSplit(tmp_path, "val")
    (folder / "val-00000.h5").unlink()
    with pytest.raises(ShardError, match="the shard is missing"):
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
    with pytest.raises(ShardError, match="damaged.*--overwrite"):
        read_manifest(folder)


def test_damaged_offsets_are_found_when_opened(folder):
    for value in (2**40, -5):
        with h5py.File(folder / "val-00000.h5", "r+") as file:
            file["labels/offsets"][1] = value
        with pytest.raises(ShardError, match="offsets do not fit"):
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
    import zlib

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
