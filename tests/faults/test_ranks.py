"""Two ranks, started as torchrun starts them: none ends with another code than 0 while one works.

torchrun ends all ranks as soon as one has ended with another exit code than 0.
"""

import json
import shutil

import pytest
from faults.commands import difference, outcome
from helpers.ranks import ends, forked

pytestmark = pytest.mark.ranks


@pytest.fixture
def two_ranks(warm):
    """two_ranks(arguments..., cwd=...) are the ends of rank 0 and rank 1."""

    def run(*args, cwd):
        return ends(forked(warm, 2, *args, cwd=cwd))

    return run


def test_predict_says_the_sum_and_ends_with_0(two_ranks, inputs, place):
    folder = place("predict")
    shutil.copytree(inputs / "photos", folder / "photos")
    for name in ("0a", "1a", "2a"):  # two are the first rank's, one is the other's
        (folder / f"photos/{name}.png").write_bytes(b"\x89PNG")
    first, other = two_ranks("predict", "photos", "-m", inputs / "run", "-o", "out", cwd=folder)
    assert (first.code, other.code) == (0, 0), f"{first}{other}"
    assert "5 pictures predicted" in first.err and "3 pictures failed" in first.err
    assert "predictions.jsonl" in first.err
    assert first.out.strip() == "out" and not other.out
    assert "pictures" not in other.err
    lines = (folder / "out/predictions.jsonl").read_text().splitlines()
    failed = [r["name"] for r in map(json.loads, lines) if "error" in r]
    assert failed == ["0a", "1a", "2a"] and len(lines) == 8
    first, other = two_ranks("predict", "photos", "-m", inputs / "run", "-o", "out", cwd=folder)
    assert "5 pictures predicted already" in first.err and "3 pictures failed" in first.err


def test_ranks_share_the_shards_of_prepare_and_verify(two_ranks, command, place):
    folder, chosen = place("prepare"), command("prepare-1")
    ends = two_ranks(*chosen.args, cwd=folder)
    assert [end.code for end in ends] == [0, 0], f"{ends[0]}{ends[1]}"
    (last,) = (end for end in ends if end.out)
    assert "images" in last.out and "next: psp train" in last.err
    assert not difference(chosen.undisturbed, outcome(folder))
    ends = two_ranks("verify", "data", "--json", cwd=folder)
    assert [end.code for end in ends] == [0, 0], f"{ends[0]}{ends[1]}"
    assert sum(json.loads(end.out)["samples"] for end in ends) == 80


def test_prepare_that_leaves_pictures_out_ends_with_0(two_ranks, inputs, place):
    folder = place("incomplete")
    shutil.copytree(inputs / "raw", folder / "raw")
    shutil.copy(inputs / "tiny.toml", folder)
    (folder / "raw/images/train/clip.mp4").write_bytes(b"....ftypmp42")
    alone = two_ranks("prepare", "tiny.toml", "raw", "-o", "data", cwd=folder)
    assert [end.code for end in alone] == [0, 0], "".join(map(str, alone))
    said = alone[0].err + alone[1].err  # by the rank that is done last
    assert "clip.mp4" in said or "video" in said


def test_evaluate_counts_once(two_ranks, inputs, warm, place):
    folder = place("evaluate")
    shutil.copytree(inputs / "run", folder / "run")
    first, other = two_ranks("evaluate", "run", "--json", "-q", cwd=folder)
    assert (first.code, other.code) == (0, 0), f"{first}{other}"
    assert not other.out
    alone = warm.run("evaluate", "run", "--json", "-q", cwd=folder, check=0)
    assert json.loads(first.out)["confusion"] == json.loads(alone.out)["confusion"]


def test_a_rank_that_fails_leaves_the_other_one_line(two_ranks, inputs, place):
    """A sample that only one of them reads is damaged."""
    folder = place("damaged")
    shutil.copytree(inputs / "run", folder / "run")
    shutil.copytree(inputs / "shards", folder / "shards")
    path = folder / "shards/val-00000.h5"
    data = bytearray(path.read_bytes())
    data[data.index(b"\x89PNG") + 200] ^= 1  # in the first picture
    path.write_bytes(data)
    first, other = two_ranks("evaluate", "run", "--data", "shards", cwd=folder)
    for end in (first, other):
        assert end.code == 2 and "Traceback" not in end.err, str(end)
    assert "val-00000.h5" in first.err
    assert "another rank" in other.err


def test_ranks_that_cannot_find_each_other_say_so(warm, inputs, place):
    folder = place("alone")
    alone = {"RANK": "0", "WORLD_SIZE": "2"}
    end = warm.run("evaluate", inputs / "run", cwd=folder, env=alone, check=2)
    assert "MASTER_ADDR" in end.lines[-1] and "torchrun" in end.lines[-1]
    args = ("predict", inputs / "photos", "-m", inputs / "run", "-o", "out")
    for rank in ("1", "0"):  # they need not: each does its share, and says what it did
        warm.run(*args, cwd=folder, env={**alone, "RANK": rank}, check=0)
    assert len((folder / "out/predictions.jsonl").read_text().splitlines()) == 5
