"""Calls and ranks that share the pictures: together they do what one call does."""

import json
import os
import subprocess
import sys

import pytest
from helpers.photos import EXPECTED, tree


def test_shares_do_everything_once_and_end_as_one_call_does(journey, psp, photos, tmp_path):
    (photos / "broken.png").write_bytes(b"\x89PNG")
    arguments = ("predict", photos, "-m", journey.folder / "run", "--json")
    psp(*arguments, "-o", "whole", "--no-gallery", check=3)
    seen = []
    for number in (3, 1, 4, 2):
        assert not (tmp_path / "parts/predictions.jsonl").exists()
        code, out, _ = psp(*arguments, "-o", "parts", "--part", f"{number}/4")
        found = json.loads(out)
        failed = [entry["name"] for entry in found["failed"]]
        assert code == (3 if failed else 0)
        seen += found["predicted"] + failed
    assert sorted(seen) == sorted([*EXPECTED, "broken"])
    whole, parts = tree(tmp_path / "whole"), tree(tmp_path / "parts")
    assert {name: parts[name] for name in whole} == whole
    assert sorted(set(parts) - set(whole)) == [f"predictions/{k}-of-4.jsonl" for k in range(1, 5)]
    found = json.loads(psp(*arguments, "-o", "parts", check=3)[1])
    assert len(found["skipped"]) == 8 and not found["predicted"]
    assert len(list((tmp_path / "parts/gallery").rglob("*.jpg"))) == 8  # of one call, not a share


def test_more_shares_than_pictures(journey, psp, photos):
    arguments = ("predict", photos / "a.jpg", "-m", journey.folder / "run", "-o", "out")
    _, _, err = psp(*arguments, "--part", "2/2", check=0)
    assert "0 pictures predicted" in err
    _, _, err = psp(*arguments, "--part", "1/2", check=0)
    assert "1 picture predicted" in err


@pytest.mark.slow
@pytest.mark.ranks
def test_ranks_of_torchrun_share_a_folder(journey, psp, photos, tmp_path):
    """And a broken picture of one rank does not end the other."""
    (photos / "aaa.png").write_bytes(b"\x89PNG")  # the first one
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "-m",
        "psp",
        "predict",
        str(photos),
        "-m",
        str(journey.folder / "run"),
        "--device",
        "cpu",
    ]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "photos-predicted")
    assert "1 picture failed, listed above and in predictions.jsonl" in done.stderr
    psp("predict", photos, "-m", journey.folder / "run", "-o", "one", check=3)
    one, ranks = tree(tmp_path / "one"), tree(tmp_path / "photos-predicted")
    assert {name: ranks[name] for name in one} == one
    assert len(ranks["predictions/1-of-2.jsonl"]) == 5
    assert len(ranks["predictions/2-of-2.jsonl"]) == 4


def test_ranks_within_shares_do_everything_once():
    from psp.ranks import Share, share_from, within

    items = list(range(23))
    for parts, ranks in ((1, 1), (3, 1), (1, 4), (3, (2, 1, 4)), (30, 2)):
        seen = []
        for number in range(1, parts + 1):
            count = ranks[number - 1] if isinstance(ranks, tuple) else ranks
            whole = Share(number, parts)
            mine = [within(whole, Share(rank, count)).of(items) for rank in range(1, count + 1)]
            flat = [item for rank in mine for item in rank]
            assert sorted(flat) == whole.of(items)
            seen += flat
        assert sorted(seen) == items
    assert share_from("3/64") == Share(3, 64)
