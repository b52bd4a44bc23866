"""Converting pairs: problems are collected, other storage, workers, continuing a stopped run."""

import errno
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from helpers.errors import error_naming
from helpers.trees import Double, run_psp, save_picture
from PIL import Image

from psp.data.cardfile import find_card
from psp.data.shards import ShardSplit
from psp.errors import PspError
from psp.events import Notice
from psp.files import file_sha256
from psp.prepare.audit import AuditError
from psp.prepare.conversion import Conversion
from psp.prepare.output import OccupiedError
from psp.prepare.pipeline import prepare
from psp.workers import map_in_processes

CAMVID = find_card("camvid")


def spoil(root, count=3):
    """Break a pair of each split differently; return a text that must be in each problem."""
    save_picture(root / "trainannot/0001TP_train001.png", np.full((48, 64), 200, np.uint8))
    path = root / "val/0001TP_val001.png"
    path.write_bytes(path.read_bytes()[:100])
    save_picture(root / "testannot/0001TP_test000.png", np.zeros((20, 20), np.uint8))
    return {
        ("train", "0001TP_train001"): "200",
        ("val", "0001TP_val001"): "broken picture",
        ("test", "0001TP_test000"): "20x20 pixels",
    }


@pytest.mark.parametrize("workers", [1, 2])
def test_all_problems_are_collected_and_nothing_is_put_in_place(camvid_raw, tmp_path, workers):
    expected = spoil(camvid_raw)
    with error_naming(AuditError, "2 more", "audit.json", "--skip-bad 3"):
        prepare(CAMVID, camvid_raw, tmp_path / "out", allow_incomplete=True, workers=workers)
    assert not (tmp_path / "out").exists()
    audit = json.loads((tmp_path / "out.partial/audit.json").read_text())
    found = {(p["split"], p["name"]): p["problem"] for p in audit["problems"]}
    assert found.keys() == expected.keys()
    assert all(text in found[key] for key, text in expected.items())


def test_bad_pairs_can_be_left_out_up_to_a_number(camvid_raw, tmp_path):
    spoil(camvid_raw)
    options = {"allow_incomplete": True}
    with pytest.raises(AuditError):
        prepare(CAMVID, camvid_raw, tmp_path / "out", skip_bad=2, **options)
    events = []
    manifest = prepare(
        CAMVID, camvid_raw, tmp_path / "out", skip_bad=3, report=events.append, **options
    )
    said = [event.text for event in events if isinstance(event, Notice)]
    assert len([text for text in said if text.startswith("left out: ")]) == 3
    assert {name: entry["images"] for name, entry in manifest["splits"].items()} == {
        "train": 5,
        "val": 2,
        "test": 1,
    }
    assert manifest["splits"]["val"]["skipped"] == ["0001TP_val001"]
    assert "0001TP_val001" not in ShardSplit(tmp_path / "out", "val").names
    audit = json.loads((tmp_path / "out/audit.json").read_text())
    assert len(audit["problems"]) == 3 and audit["splits"]["train"]["images"] == 5


def test_a_split_of_nothing_but_bad_pairs_is_refused(camvid_raw, tmp_path):
    for path in (camvid_raw / "testannot").iterdir():
        save_picture(path, np.full((48, 64), 200, np.uint8))
    with error_naming(AuditError, "split 'test'"):
        prepare(CAMVID, camvid_raw, tmp_path / "out", skip_bad=9, allow_incomplete=True)


def test_with_repaired_files_a_run_continues_where_it_stopped(camvid_raw, tmp_path):
    good = (camvid_raw / "val/0001TP_val001.png").read_bytes()
    label = (camvid_raw / "valannot/0001TP_val001.png").read_bytes()
    (camvid_raw / "val/0001TP_val001.png").write_bytes(good[:100])
    options = {"allow_incomplete": True, "shard_mb": 1e-6}
    with pytest.raises(AuditError):
        prepare(CAMVID, camvid_raw, tmp_path / "out", **options)
    kept = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "out.partial").glob("*.h5")}
    assert len(kept) == 10
    (camvid_raw / "val/0001TP_val001.png").write_bytes(good)
    (camvid_raw / "valannot/0001TP_val001.png").write_bytes(label)
    prepare(CAMVID, camvid_raw, tmp_path / "out", **options)
    after = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "out").glob("*.h5")}
    assert len(after) == 11 and all(after[name] == time for name, time in kept.items())


@pytest.mark.slow
def test_any_number_of_workers_and_any_run_write_the_same_bytes(camvid_raw, tmp_path):
    for extra in range(40):  # enough for several messages to the workers
        for kind in ("train", "trainannot"):
            source = camvid_raw / kind / "0001TP_train000.png"
            (camvid_raw / kind / f"0001TP_x{extra:03d}.png").write_bytes(source.read_bytes())
    for name, workers in {"one": 1, "three": 3, "again": 3}.items():
        prepare(
            CAMVID,
            camvid_raw,
            tmp_path / name,
            workers=workers,
            allow_incomplete=True,
            shard_mb=0.01,
        )
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert len(names) > 5 and "audit.json" in names
    for name in names:
        sums = {file_sha256(tmp_path / run / name) for run in ("one", "three", "again")}
        assert len(sums) == 1, name


def test_a_shard_is_bounded(camvid_raw, tmp_path):
    prepare(CAMVID, camvid_raw, tmp_path / "out", allow_incomplete=True, shard_mb=0.02)
    pairs = max(path.stat().st_size for path in (camvid_raw / "train").iterdir())
    for path in (tmp_path / "out").glob("*.h5"):
        assert path.stat().st_size < max(20_000, 2 * pairs) + 40_000  # and the tables


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are counted in /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_killed_command_leaves_no_process_and_goes_on(camvid_raw, tmp_path, number):
    rng = np.random.default_rng(0)
    for extra in range(120):
        save_picture(
            camvid_raw / f"train/x{extra:03d}.png",
            rng.integers(0, 256, (200, 200, 3), dtype=np.uint8),
        )
        save_picture(camvid_raw / f"trainannot/x{extra:03d}.png", np.zeros((200, 200), np.uint8))
    arguments = [
        "prepare",
        "camvid",
        str(camvid_raw),
        "-o",
        "out",
        "--allow-incomplete",
        "--shard-mb",
        "1",
        "--workers",
        "2",
    ]
    assert os.getpid() in group(os.getsid(0))
    process = subprocess.Popen(
        [sys.executable, "-m", "psp", *arguments],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    partial = tmp_path / "out.partial"
    deadline = time.monotonic() + 30
    while len(list(partial.glob("*.h5"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # as a terminal does
    else:
        process.kill()  # the workers are not told
    _, err = process.communicate(timeout=30)
    assert "Traceback" not in err
    assert process.returncode == (130 if number == signal.SIGINT else -9)
    assert not (tmp_path / "out").exists()
    while group(process.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not group(process.pid)
    finished = {
        path: path.stat().st_ino
        for path in partial.glob("*.h5")
        if path.with_suffix(".json").exists()
    }
    assert finished
    run_psp(*arguments, cwd=tmp_path, check=0)
    kept = {path.stat().st_ino for path in (tmp_path / "out").glob("*.h5")}
    assert set(finished.values()) <= kept
    prepare(CAMVID, camvid_raw, tmp_path / "whole", allow_incomplete=True, shard_mb=1)
    for path in (tmp_path / "whole").iterdir():
        assert path.read_bytes() == (tmp_path / "out" / path.name).read_bytes(), path.name


def group(session):
    """Return the processes that still belong to a session."""
    processes = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == session and fields[0] != "Z":
                processes.append(int(entry.name))
    return processes


@pytest.mark.slow
def test_max_side_shrinks_both_alike_and_says_so(tmp_path, camvid_raw, psp):
    rng = np.random.default_rng(0)
    label = rng.integers(0, 12, (10, 15), dtype=np.uint8).repeat(20, 0).repeat(20, 1)
    save_picture(camvid_raw / "train/0001TP_train000.png", np.dstack([label * 20] * 3))
    save_picture(camvid_raw / "trainannot/0001TP_train000.png", label)
    _, _, err = psp(
        "prepare",
        "camvid",
        camvid_raw,
        "-o",
        "out",
        "--allow-incomplete",
        "--max-side",
        "150",
        check=0,
    )
    assert "150 pixels" in err
    split = ShardSplit(tmp_path / "out", "train")
    assert split.conversion["max_side"] == 150
    assert split.sizes[0].tolist() == [100, 150] and split.sizes[1].tolist() == [48, 64]
    found, image = split.label(0).astype(int), split.image(0)
    # Nearest: values of the original alone, and each where the picture has its color.
    expected = label[::2, ::2].astype(int)
    expected[expected == 11] = 255
    assert np.array_equal(found, expected)
    inner = found != 255
    assert np.array_equal(image[..., 0][inner] // 20, found[inner])
    # What is small enough keeps its bytes.
    raw = (camvid_raw / "train/0001TP_train001.png").read_bytes()
    assert split.image_bytes(1) == raw
    _, out, _ = psp("inspect", "out", check=0)
    assert "150" in out


def test_reencode_compresses_lossless_pictures_alone_and_says_so(tmp_path, camvid_raw, psp):
    Image.new("RGB", (64, 48), (10, 200, 30)).save(camvid_raw / "val/0001TP_val000.jpg")
    (camvid_raw / "val/0001TP_val000.png").unlink()
    jpeg = (camvid_raw / "val/0001TP_val000.jpg").read_bytes()
    _, _, err = psp(
        "prepare",
        "camvid",
        camvid_raw,
        "-o",
        "out",
        "--allow-incomplete",
        "--reencode",
        "jpeg:90",
        check=0,
    )
    assert "lossy" in err
    split = ShardSplit(tmp_path / "out", "val")
    assert split.image_bytes(0) == jpeg
    assert Image.open(io.BytesIO(split.image_bytes(1))).format == "JPEG"
    raw = np.array(Image.open(camvid_raw / "val/0001TP_val001.png")).astype(int)
    assert np.abs(split.image(1) - raw).mean() < 12
    label = np.array(Image.open(camvid_raw / "valannot/0001TP_val001.png"))
    assert np.array_equal(split.label(1), np.where(label == 11, 255, label))


@pytest.mark.parametrize(
    ("options", "texts"),
    [
        (["--reencode", "webp:3"], ["--reencode webp:3", "jpeg:QUALITY"]),
        (["--reencode", "jpeg:0"], ["--reencode jpeg:0", "jpeg:QUALITY"]),
        (["--store", "zip"], ["--store zip", "encoded, raw"]),
        (["--store", "raw", "--reencode", "jpeg:90"], ["--store raw", "--reencode"]),
        (["--sbd", "."], ["--sbd", "camvid", "Leave out"]),
    ],
)
def test_wrong_options_are_one_line(camvid_raw, psp, options, texts):
    code, _, err = psp("prepare", "camvid", camvid_raw, "--allow-incomplete", *options)
    assert code == 2 and len(err.strip().splitlines()) == 1
    assert all(text in err for text in texts), err


def test_other_options_are_other_input(camvid_raw, tmp_path):
    prepare(CAMVID, camvid_raw, tmp_path / "out", allow_incomplete=True)
    for change in ({"shard_mb": 1}, {"conversion": Conversion(store="raw")}):
        with error_naming(OccupiedError, tmp_path / "out", "--overwrite"):
            prepare(CAMVID, camvid_raw, tmp_path / "out", allow_incomplete=True, **change)


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_order_and_errors_come_through(workers):
    items = [(number, 1 << 20) for number in range(12)]
    assert list(map_in_processes(Double, (), items, workers)) == [2 * n for n in range(12)]
    with pytest.raises(PspError, match="thirteen"):
        list(map_in_processes(Double, (), [(n, 1) for n in range(40) if n != 17], workers))


def test_a_worker_that_dies_is_one_line():
    with error_naming(PspError, "worker", "--workers"):
        list(map_in_processes(Double, (), [(17, 1)], 2))


def test_workers_that_cannot_be_started_are_one_line(monkeypatch):
    def no_locks(*arguments):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr("psp.workers.ProcessPoolExecutor", no_locks)
    with error_naming(PspError, "/dev/shm", "--workers 1"):
        list(map_in_processes(Double, (), [(1, 1)], 2))
