"""Labels in shards: the ids that went in come out; a frame that is not theirs is refused."""

import json
import threading
import zlib

import h5py
import numpy as np
import pytest
import zstandard
from helpers.errors import error_naming

from psp.data.cardfile import find_card
from psp.data.label_codec import LEVEL, decode_ids, encode_ids, label_codec
from psp.data.manifest import ShardError, read_manifest
from psp.data.shards import ShardSplit
from psp.data.verify import verify
from psp.prepare.conversion import Conversion
from psp.prepare.pipeline import prepare


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (48, 64), (1, 70_000)])
def test_ids_come_back_and_zstd_alone_reads_them(rng, shape):
    label = rng.choice(np.array([0, 3, 255], np.uint8), shape)
    for given in (label, np.asfortranarray(label)):
        frame = encode_ids(given)
        back = decode_ids(frame, *shape)
        assert np.array_equal(back, label) and back.dtype == np.uint8 and back.flags.writeable
        assert zstandard.decompress(frame) == label.tobytes()
        assert frame == encode_ids(label)


def test_threads_do_not_disturb_each_other(rng):
    labels = [rng.integers(0, 9, (200, 200), dtype=np.uint8) for _ in range(4)]
    wrong = []

    def work(label):
        for _ in range(30):
            if not np.array_equal(decode_ids(encode_ids(label), 200, 200), label):
                wrong.append(label)

    threads = [threading.Thread(target=work, args=(label,)) for label in labels]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


LABEL = np.arange(48 * 64, dtype=np.uint32).reshape(48, 64).astype(np.uint8)
FRAME = encode_ids(LABEL)
BOMB = zstandard.ZstdCompressor().compress(bytes(1 << 24))  # 500 bytes
STREAM = zstandard.ZstdCompressor().compressobj()
BAD = {
    "empty": (b"", "not a zstd frame"),
    "a PNG": (b"\x89PNG\r\n\x1a\n" + bytes(40), "not a zstd frame"),
    "cut": (FRAME[:-1], "damaged"),
    "followed": (FRAME + b"x", "damaged"),
    "two": (FRAME + FRAME, "damaged"),
    "torn": (FRAME[:7] + b"\xff" * 3 + FRAME[10:], "damaged"),
    "larger": (BOMB, "16,777,216"),
    "smaller": (encode_ids(LABEL[:40]), "2,560"),
    "without size": (STREAM.compress(LABEL.tobytes()) + STREAM.flush(), "not state"),
}


@pytest.mark.parametrize("how", BAD)
def test_a_frame_that_is_not_the_labels_is_refused(how):
    frame, cause = BAD[how]
    with pytest.raises(ValueError, match=f"its label.*{cause}"):
        decode_ids(frame, *LABEL.shape)


def test_a_bad_frame_is_refused_where_all_checksums_are_right(camvid_raw, tmp_path):
    """As in a file that another program wrote: the shard and the sample are named."""
    frame, cause = BAD["larger"]
    prepare(find_card("camvid"), camvid_raw, tmp_path / "out", allow_incomplete=True)
    path = tmp_path / "out/val-00000.h5"
    with h5py.File(path, "r+") as file:
        del file.attrs["checksums"]
        del file["labels/bytes"], file["labels/offsets"]
        labels = [frame, FRAME, FRAME]
        file["labels/bytes"] = np.frombuffer(b"".join(labels), np.uint8)
        file["labels/offsets"] = np.cumsum([0, *map(len, labels)])
        file["crc32"][:, 1] = [zlib.crc32(label) for label in labels]
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    manifest["splits"]["val"]["shards"][0]["bytes"] = path.stat().st_size
    (tmp_path / "out/manifest.json").write_text(json.dumps(manifest))
    split = ShardSplit(tmp_path / "out", "val")
    with error_naming(ShardError, path, "sample '0001TP_val00", "label", cause, "psp prepare"):
        split.label(0)
    assert np.array_equal(split.label(1), LABEL)
    _, problems = verify(tmp_path / "out")
    assert any(cause in text and "sample '" in text for text in problems)


def test_a_label_that_memory_cannot_hold_is_refused_before_it_is_decoded(monkeypatch):
    monkeypatch.setattr("psp.data.label_codec.available_memory", lambda: 1 << 20)
    side = 16_384
    frame = zstandard.ZstdCompressor().compress(bytes(side * side))
    with pytest.raises(MemoryError, match="16384x16384"):
        decode_ids(frame, side, side)


def test_the_shards_say_which_codec_wrote_the_labels(camvid_raw, tmp_path, psp):
    prepare(find_card("camvid"), camvid_raw, tmp_path / "out", allow_incomplete=True)
    version = ".".join(map(str, zstandard.ZSTD_VERSION))
    known = {"codec": "zstd", "level": LEVEL, "version": version}
    assert read_manifest(tmp_path / "out")["conversion"]["labels"] == known
    assert ShardSplit(tmp_path / "out", "val").conversion["labels"] == known
    _, out, _ = psp("inspect", tmp_path / "out", check=0)
    assert f"zstd {version}" in out


def test_another_version_of_zstd_does_not_continue_half_a_set(camvid_raw, tmp_path, monkeypatch):
    """Its shards are made again, so that one version wrote all; a finished set stays as it is."""
    from psp.prepare import writing

    real, out = writing.write_shard, tmp_path / "out"

    def dies(path, split, *arguments, **options):
        if split == "test":
            raise KeyboardInterrupt
        return real(path, split, *arguments, **options)

    other = {**label_codec(), "version": "1.0.0"}
    with monkeypatch.context() as patch:
        patch.setattr("psp.prepare.conversion.label_codec", lambda: other)
        patch.setattr(writing, "write_shard", dies)
        with pytest.raises(KeyboardInterrupt):
            prepare(find_card("camvid"), camvid_raw, out, allow_incomplete=True)
    assert (tmp_path / "out.partial/val-00000.h5").exists()
    made = prepare(find_card("camvid"), camvid_raw, out, allow_incomplete=True)
    assert verify(out) == (11, [])
    monkeypatch.setattr("psp.prepare.conversion.label_codec", lambda: other)
    assert prepare(find_card("camvid"), camvid_raw, out, allow_incomplete=True) == made


def test_raw_shards_name_no_codec():
    assert "labels" not in Conversion(store="raw").header()
