"""Machines that share a conversion write the bytes that one process writes."""

import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
from helpers.errors import error_naming
from helpers.trees import save_picture

from psp.data.cardfile import find_card
from psp.data.shards import ShardSplit
from psp.data.verify import verify
from psp.errors import PspError
from psp.events import Notice
from psp.prepare import writing
from psp.prepare.pipeline import prepare
from psp.ranks import Share

CAMVID = find_card("camvid")
SMALL = {"allow_incomplete": True, "shard_mb": 1e-6}  # a shard a picture


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def convert(camvid_raw, tmp_path):
    return partial(prepare, CAMVID, camvid_raw, tmp_path / "out", **SMALL)


@pytest.fixture
def whole(camvid_raw, tmp_path):
    """What one process writes, in a folder of that name."""
    manifest = prepare(CAMVID, camvid_raw, tmp_path / "whole", **SMALL)
    return manifest, contents(tmp_path / "whole")


def test_the_last_part_makes_the_folder_whole_with_the_same_bytes(convert, whole, tmp_path):
    said = []
    for number in (3, 1, 4):
        assert convert(share=Share(number, 4), report=said.append) is None
        assert not (tmp_path / "out").exists()
    notice = [event.text for event in said if isinstance(event, Notice)][-1]
    assert "part 4 of 4" in notice and "come from part 2;" in notice
    assert convert(share=Share(2, 4)) == whole[0]
    assert contents(tmp_path / "out") == whole[1]
    assert {path.name for path in tmp_path.iterdir()} == {"CamVid", "whole", "out"}
    assert convert(share=Share(1, 4)) == whole[0]  # made from this input already
    checked = [verify(tmp_path / "out", share=Share(number, 3)) for number in (1, 2, 3)]
    assert sum(samples for samples, _ in checked) == 11 and min(checked)[0] > 0


def test_parts_at_the_same_time(convert, whole, tmp_path):
    """Exactly one of them finishes; one more than there are shards has nothing to do."""
    count = sum(name.endswith(".h5") for name in whole[1]) + 1
    with ThreadPoolExecutor(count) as pool:
        ends = list(pool.map(lambda k: convert(share=Share(k, count)), range(1, count + 1)))
    assert whole[0] in ends
    assert contents(tmp_path / "out") == whole[1]
    assert {path.name for path in tmp_path.iterdir()} == {"CamVid", "whole", "out"}


@pytest.mark.slow
def test_a_killed_part_continues(convert, whole, tmp_path, monkeypatch):
    written = []
    real = writing.write_shard

    def dies(path, *rest, **how):
        if len(written) == 1:
            raise KeyboardInterrupt
        written.append(path.name)
        return real(path, *rest, **how)

    assert convert(share=Share(1, 2)) is None
    torn = tmp_path / "out.partial/train-00000.4711.tmp"  # of the first part, which may be at work
    torn.write_text("x")
    with monkeypatch.context() as patch:
        patch.setattr(writing, "write_shard", dies)
        with pytest.raises(KeyboardInterrupt):
            convert(share=Share(2, 2))
    assert torn.exists()
    again = []
    monkeypatch.setattr(
        writing,
        "write_shard",
        lambda path, *rest, **how: again.append(path.name) or real(path, *rest, **how),
    )
    convert(share=Share(2, 2))
    assert written[0] not in again
    assert contents(tmp_path / "out") == whole[1]


@pytest.mark.slow
def test_a_last_step_that_was_killed_is_done_again_and_one_process_may_end_what_parts_began(
    convert, whole, tmp_path, monkeypatch
):
    for begin in (lambda: convert(share=Share(2, 2)), convert):
        convert(share=Share(1, 2))
        monkeypatch.setattr("psp.prepare.output._remove", lambda folder: 1 / 0)
        (tmp_path / "out").mkdir()  # so that it is removed first
        with pytest.raises(ZeroDivisionError):
            convert(share=Share(2, 2))
        monkeypatch.undo()
        assert begin() == whole[0]
        assert contents(tmp_path / "out") == whole[1]
        shutil.rmtree(tmp_path / "out")
    convert(share=Share(1, 2))
    assert convert() == whole[0]
    assert contents(tmp_path / "out") == whole[1]


def test_parts_that_differ_are_refused(convert, camvid_raw, tmp_path):
    convert(share=Share(1, 2))
    before = contents(tmp_path / "out.partial")
    with error_naming(PspError, tmp_path / "out.partial", "2 parts, not 3", "remove the folder"):
        convert(share=Share(2, 3))
    with error_naming(PspError, tmp_path / "out.partial", "options", "remove the folder"):
        convert(share=Share(2, 2), shard_mb=1)
    for folder in ("val", "valannot"):
        (camvid_raw / folder / "0001TP_val000.png").unlink()
    with error_naming(PspError, tmp_path / "out.partial", "other pictures", "remove the folder"):
        convert(share=Share(2, 2))
    assert contents(tmp_path / "out.partial") == before


@pytest.mark.slow
def test_a_bad_pair_of_one_part_is_repaired_or_left_out(convert, camvid_raw, whole, tmp_path):
    mask = camvid_raw / "valannot/0001TP_val001.png"
    good, times = mask.read_bytes(), mask.stat()
    save_picture(mask, np.full((48, 64), 12, np.uint8))
    ends = []
    for number in (1, 2):
        try:
            ends.append(convert(share=Share(number, 2)))
        except PspError as error:
            ends.append(str(error))
    told = [end for end in ends if end]
    assert told and all(str(mask) in end and "--skip-bad 1" in end for end in told)
    problems = json.loads((tmp_path / "out.partial/audit.json").read_text())["problems"]
    assert [problem["name"] for problem in problems] == ["0001TP_val001"]
    owner = 1 if isinstance(ends[0], str) else 2
    manifest = convert(share=Share(owner, 2), skip_bad=1)
    assert manifest["splits"]["val"]["skipped"] == ["0001TP_val001"]
    shutil.rmtree(tmp_path / "out")
    mask.write_bytes(good)
    os.utime(mask, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert [convert(share=Share(number, 2)) for number in (1, 2)] == [None, whole[0]]


@pytest.mark.slow
def test_own_photos_are_shared_too(psp, tmp_path):
    rng = np.random.default_rng(0)
    for name in map(str, range(12)):
        save_picture(tmp_path / f"photos/{name}.png", rng.integers(0, 255, (32, 32, 3), np.uint8))
        save_picture(tmp_path / f"masks/{name}.png", rng.integers(0, 3, (32, 32), np.uint8))
    command = ("prepare", "photos", "masks", "--name", "own", "--shard-mb", "0.01", "-q")
    psp(*command, "-o", "whole", check=0)
    _, out, _ = psp(*command, "-o", "out", "--part", "2/2", "--json", check=0)
    assert json.loads(out) == {"out": "out", "part": "2-of-2", "finished": False}
    psp(*command, "-o", "out", "--part", "1/2", check=0)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert len(ShardSplit(tmp_path / "out", "train").paths) > 1
