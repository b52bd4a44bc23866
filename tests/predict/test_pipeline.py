"""psp predict: a label map of exactly the picture's size for every picture, whatever its name."""

import fcntl
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import psp as package


def save(path, size=(50, 40), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(3).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, **options)


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    save(folder / "a.jpg", (50, 40))
    save(folder / "a.png", (60, 41))
    save(folder / "b.c.jpg", (1, 1))
    save(folder / "sub/a.jpg", (130, 97))
    save(folder / "Straße 7.png", (45, 45))
    Image.new("L", (33, 44)).save(folder / "gray.png")
    Image.new("RGBA", (33, 44)).save(folder / "alpha.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    save(folder / "turned.jpg", (60, 20), exif=exif)
    return folder


EXPECTED = {
    "a.jpg": (50, 40),
    "a.png": (60, 41),
    "b.c": (1, 1),
    "sub/a": (130, 97),
    "Straße 7": (45, 45),
    "gray": (33, 44),
    "alpha": (33, 44),
    "turned": (20, 60),
}


def test_every_picture_gets_a_map_of_its_size_and_no_two_collide(journey, psp, photos):
    _, out, err = psp("predict", photos, "-m", journey.folder / "run", check=0)
    result = photos.with_name("photos-predicted")
    assert Path(out.strip()) == result
    maps = {
        str(p.relative_to(result / "labels").with_suffix("")): Image.open(p)
        for p in (result / "labels").rglob("*.png")
    }
    assert {name: picture.size for name, picture in maps.items()} == EXPECTED
    for picture in maps.values():
        assert picture.mode == "P"
        assert np.array(picture).max() < 9
        assert picture.getpalette()[:3] == [30, 250, 64]  # the card's first color
    overlays = {
        str(p.relative_to(result / "overlays").with_suffix("")): Image.open(p).size
        for p in (result / "overlays").rglob("*.jpg")
    }
    assert overlays == EXPECTED
    assert Image.open(result / "legend.png").size[0] > 100
    assert "8 pictures predicted" in err


def test_a_picture_gets_the_same_map_alone_and_among_others(journey, psp, photos):
    psp("predict", photos, "-m", journey.folder / "run", "-o", "all", check=0)
    psp("predict", photos / "sub/a.jpg", "-m", journey.folder / "run", "-o", "one", check=0)
    folder = photos.parent
    assert (folder / "all/labels/sub/a.png").read_bytes() == (
        folder / "one/labels/a.png"
    ).read_bytes()


def test_broken_pictures_are_listed_the_rest_is_done_exit_3(journey, psp, photos):
    (photos / "broken.png").write_bytes((photos / "a.png").read_bytes()[:300])
    (photos / "page.jpg").write_text("<html>")
    code, out, err = psp("predict", photos, "-m", journey.folder / "run", "--json")
    assert code == 3
    record = json.loads(out)
    assert {entry["name"] for entry in record["failed"]} == {"broken", "page"}
    assert len(record["predicted"]) == 8
    assert "broken.png: " in err and "page.jpg: " in err
    assert not (photos.with_name("photos-predicted") / "labels/broken.png").exists()


def test_nothing_but_broken_pictures_is_exit_2_and_leaves_nothing(journey, psp, tmp_path):
    for name in ("photo.jpg", "other.png"):
        (tmp_path / name).write_bytes(b"\xff\xd8\xff")
    code, _, err = psp("predict", "photo.jpg", "-m", journey.folder / "run")
    assert code == 2
    assert err.startswith("error: photo.jpg: ")
    assert len(err.splitlines()) == 1
    code, _, err = psp("predict", ".", "-m", journey.folder / "run", "-o", "out")
    assert code == 2
    assert "error: out: " in err and "photo.jpg: " in err and "other.png: " in err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["other.png", "photo.jpg"]


def test_without_a_model_the_newest_run_is_taken_and_named(journey, psp, photos, tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/mine").symlink_to(journey.folder / "run")
    _, _, err = psp("predict", photos / "a.jpg", check=0)
    assert "runs/mine" in err and "newest run" in err


def test_output_inside_the_input_is_not_an_input(journey, psp, photos):
    run = journey.folder / "run"
    psp("predict", photos, "-m", run, "-o", photos / "out", check=0)
    _, _, err = psp("predict", photos, "-m", run, "-o", photos / "out", "--overwrite", check=0)
    assert "8 pictures predicted" in err


@pytest.mark.parametrize(
    ("arguments", "subject", "remedy"),
    [
        (["nowhere"], "nowhere: ", "no such file"),
        (["empty"], "empty: ", ".jpg"),
        (["photos"], "runs/", "-m MODEL"),
        (["photos", "-m", "runs/x"], "runs/x: ", "psp models"),
        (["photos", "-m", "photos/a.jpg"], "photos/a.jpg: ", "weights file"),
    ],
)
def test_wrong_input_is_one_line_and_exit_2(psp, photos, tmp_path, arguments, subject, remedy):
    (tmp_path / "empty").mkdir()
    code, out, err = psp("predict", *arguments)
    assert (code, out) == (2, "")
    assert subject in err and remedy in err
    assert len(err.strip().splitlines()) == 1
    assert not (tmp_path / "photos-predicted").exists()


def test_what_psp_wrote_is_not_taken_for_pictures(journey, psp, photos):
    psp("predict", photos / "gray.png", "-m", journey.folder / "run", check=0)
    assert (photos / "gray-predicted/legend.png").exists()
    _, out, _ = psp("predict", photos, "-m", journey.folder / "run", "--json", check=0)
    assert set(json.loads(out)["predicted"]) == set(EXPECTED)


def records(out, name="predictions.jsonl"):
    lines = (out / name).read_text(encoding="utf-8").splitlines()
    return {record["name"]: record for record in map(json.loads, lines)}


def tree(out):
    """Every file's bytes, but for the seconds in the records."""
    found = {}
    for path in sorted(p for p in out.rglob("*") if p.is_file()):
        name = str(path.relative_to(out))
        if path.suffix == ".jsonl":
            found[name] = [{**r, "seconds": 0} for r in records(out, name).values()]
        else:
            found[name] = path.read_bytes()
    return found


def test_the_records_are_the_label_maps_shares(journey, psp, photos):
    (photos / "broken.png").write_bytes(b"\x89PNG")
    psp("predict", photos, "-m", journey.folder / "run", "-o", "out", check=3)
    out = photos.parent / "out"
    found = records(out)
    assert list(found) == sorted([*EXPECTED, "broken"])
    assert "broken.png: " in found.pop("broken")["error"]
    classes = json.loads((out / "settings.json").read_text())["classes"]
    for name, record in found.items():
        label = np.array(Image.open(out / f"labels/{name}.png"))
        assert (record["height"], record["width"]) == label.shape
        for number, title in enumerate(classes):
            share = (label == number).mean()
            assert record["shares"].get(title, 0) == pytest.approx(share, abs=1e-6)
            assert (title in record["shares"]) == (share > 0)
        assert record["seconds"] > 0


def test_a_second_call_does_nothing_and_says_so(journey, psp, photos, monkeypatch):
    arguments = ("predict", photos, "-m", journey.folder / "run")
    _, first, _ = psp(*arguments, check=0)
    out = photos.with_name("photos-predicted")
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.*g")}
    monkeypatch.setattr("psp.predict.pipeline.load_sliding_window", None)  # nothing needs it
    _, second, err = psp(*arguments, check=0)
    assert first == second
    assert "8 pictures" in err and "skipped" in err and "0 pictures predicted" in err
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_what_is_not_finished_is_done_again(journey, psp, photos, tmp_path):
    """A new picture, a changed one, one whose map is gone, one whose map is empty, one that failed,
    a missing legend."""
    (photos / "bad.jpg").write_bytes(b"")
    arguments = ("predict", photos, "-m", journey.folder / "run", "-o", "out", "--json")
    psp(*arguments, check=3)
    out = tmp_path / "out"
    save(photos / "new.jpg")
    save(photos / "bad.jpg", (30, 20))
    save(photos / "gray.png", (20, 10))
    (out / "labels/sub/a.png").unlink()
    (out / "labels/alpha.png").write_bytes(b"")
    (out / "legend.png").unlink()
    found = json.loads(psp(*arguments, check=0)[1])
    assert sorted(found["predicted"]) == ["alpha", "bad", "gray", "new", "sub/a"]
    assert len(found["skipped"]) == 5
    assert Image.open(out / "labels/gray.png").size == (20, 10)
    assert Image.open(out / "legend.png").size[0] > 100
    assert list(records(out)) == sorted([*EXPECTED, "bad", "new"])
    assert not any("error" in record for record in records(out).values())


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (["--crop", "89"], "crop 41, now 89"),
        (["--flip"], "flip False, now True"),
        (["--scales", "1,1.5"], "scales 1.0, now 1.0,1.5"),
        (["--precision", "bf16"], "precision fp32, now bf16"),
        (["--procedure", "caffe"], "procedure torch, now caffe"),
        (["--weights", "last"], "(weights)"),
    ],
)
def test_other_settings_never_mix_in_a_folder(journey, psp, photos, tmp_path, other, reason):
    run = tmp_path / "run"
    shutil.copytree(journey.folder / "run", run)
    last = run / "last.safetensors"
    last.write_bytes(last.read_bytes()[:-1] + b"\x01")  # other weights
    arguments = ("predict", photos / "a.jpg", photos / "gray.png", "-m", run)
    psp(*arguments, "-o", "out", "--precision", "fp32", check=0)
    other = other if "--precision" in other else [*other, "--precision", "fp32"]
    before = tree(tmp_path / "out")
    code, out, err = psp(*arguments, "-o", "out", *other)
    assert (code, out) == (2, "") and reason in err and len(err.splitlines()) == 1
    assert tree(tmp_path / "out") == before
    psp(*arguments, "-o", "out", *other, "--overwrite", check=0)
    psp(*arguments, "-o", "fresh", *other, check=0)
    assert tree(tmp_path / "out") == tree(tmp_path / "fresh")


def test_a_default_folder_goes_on_or_gets_a_number_and_an_explicit_one_is_refused(
    journey, psp, photos, tmp_path
):
    run, one = journey.folder / "run", photos / "a.jpg"

    def out(*more):
        return Path(psp("predict", one, "-m", run, *more, check=0)[1].strip()).name

    assert [out(), out(), out("--flip"), out("--flip"), out()] == [
        "a-predicted",
        "a-predicted",
        "a-predicted-2",
        "a-predicted-2",
        "a-predicted",
    ]
    (tmp_path / "mine").mkdir()
    psp("predict", one, "-m", run, "-o", "mine", check=0)  # an empty folder is as good as none
    (tmp_path / "other").mkdir()
    (tmp_path / "other/letter.txt").write_text("dear")
    code, _, err = psp("predict", one, "-m", run, "-o", "other")
    assert code == 2 and "other: " in err and "another -o" in err and "--overwrite" in err
    code, _, err = psp("predict", one, "-m", run, "-o", "other/letter.txt")
    assert code == 2 and "other/letter.txt: " in err and "folder" in err
    psp("predict", one, "-m", run, "-o", "other", "--overwrite", check=0)
    assert (tmp_path / "other/letter.txt").read_text() == "dear"


def test_a_name_is_never_given_to_another_picture(journey, psp, photos, tmp_path):
    run = journey.folder / "run"
    psp("predict", photos / "a.jpg", "-m", run, "-o", "out", check=0)
    before = tree(tmp_path / "out")
    code, _, err = psp("predict", photos / "sub/a.jpg", "-m", run, "-o", "out")
    assert code == 2 and "out: 'a'" in err and "sub/a.jpg" in err and "--overwrite" in err
    assert tree(tmp_path / "out") == before
    photos.rename(tmp_path / "moved")  # the same file, elsewhere: it is finished
    _, out, _ = psp("predict", "moved/a.jpg", "-m", run, "-o", "out", "--json", check=0)
    assert json.loads(out)["skipped"] == ["a"]


def test_shares_do_everything_once_and_end_as_one_call_does(journey, psp, photos, tmp_path):
    (photos / "broken.png").write_bytes(b"\x89PNG")
    arguments = ("predict", photos, "-m", journey.folder / "run", "--json")
    psp(*arguments, "-o", "whole", check=3)
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


def test_more_shares_than_pictures(journey, psp, photos):
    arguments = ("predict", photos / "a.jpg", "-m", journey.folder / "run", "-o", "out")
    _, _, err = psp(*arguments, "--part", "2/2", check=0)
    assert "0 pictures predicted" in err
    _, _, err = psp(*arguments, "--part", "1/2", check=0)
    assert "1 picture predicted" in err


@pytest.mark.slow
@pytest.mark.ranks
def test_ranks_of_torchrun_share_a_folder(journey, psp, photos, tmp_path):
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
    psp("predict", photos, "-m", journey.folder / "run", "-o", "one", check=0)
    one, ranks = tree(tmp_path / "one"), tree(tmp_path / "photos-predicted")
    assert {name: ranks[name] for name in one} == one
    assert len(ranks["predictions/1-of-2.jsonl"]) == len(ranks["predictions/2-of-2.jsonl"]) == 4


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


def test_a_list_on_standard_input(journey, psp, photos, tmp_path, monkeypatch):
    names = ["a.jpg", "sub/a.jpg", "Straße 7.png", "gone.jpg"]

    def call(data, **options):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        arguments = ("predict", "-", "-m", journey.folder / "run", "-o", tmp_path / "out", "--json")
        return psp(*arguments, cwd=photos, **options)

    for end in ("\n", "\r\n", "\0"):
        _, out, err = call(end.join([*names, ""]).encode(), check=3)
        found = json.loads(out)
        assert [entry["name"] for entry in found["failed"]] == ["gone"]
        assert "gone.jpg: " in err and "No such file" in err
        assert sorted(found["predicted"] + found["skipped"]) == ["Straße 7", "a", "sub/a"]
    err = call(b"\n", check=2)[2]
    assert "-: " in err and "standard input" in err
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    err = call(b"a.jpg\n", check=2)[2]
    assert "-: " in err and "torchrun" in err and "--part" in err


def test_names_that_are_no_utf8_and_names_of_any_length(journey, psp, tmp_path):
    folder = tmp_path / "odd"
    save(folder / "a.jpg")
    odd = os.fsdecode(b"\xff\xfe\n.jpg")
    shutil.copy(folder / "a.jpg", folder / odd)
    shutil.copy(folder / "a.jpg", folder / ("n" * 251 + ".jpg"))
    _, out, _ = psp("predict", "odd", "-m", journey.folder / "run", "--json", "-v", check=0)
    assert sorted(json.loads(out)["predicted"]) == sorted(["a", odd[:-4], "n" * 251])
    _, out, _ = psp("predict", "odd", "-m", journey.folder / "run", "--json", check=0)
    assert len(json.loads(out)["skipped"]) == 3
    assert not list((tmp_path / "odd-predicted").rglob("*.tmp"))


def test_a_result_that_cannot_have_its_name_is_one_failure(journey, psp, tmp_path):
    folder = tmp_path / "odd"
    save(folder / "a.jpg")
    save(folder / ("n" * 251 + ".jpg"))
    save(folder / ("n" * 251 + ".bmp"))  # both keep their suffix, and the names become too long
    save(folder / "b.jpg")
    save(folder / "b.png/c.jpg")  # labels/b.png is a file and a folder
    code, out, err = psp("predict", "odd", "-m", journey.folder / "run", "--json")
    found = json.loads(out)
    assert code == 3 and "File name too long" in err and "Traceback" not in err
    assert "a" in found["predicted"] and len(found["predicted"]) == 2 and len(found["failed"]) == 3
    assert not list((tmp_path / "odd-predicted").rglob("*.tmp"))


def test_a_full_disk_ends_it_and_keeps_what_is_whole(journey, psp, photos, monkeypatch):
    from psp import files

    real, done = files.sync, []

    def full(path):
        if path.name.endswith(".png.tmp") and path.parent.name == "labels":
            done.append(path)
            if len(done) > 2:
                raise OSError(28, "No space left on device")
        real(path)

    monkeypatch.setattr(files, "sync", full)
    code, _, err = psp("predict", photos, "-m", journey.folder / "run", "-o", "out")
    assert code == 2 and "labels/" in err and "No space left on device" in err
    out = photos.parent / "out"
    assert not list(out.rglob("*.tmp"))
    for path in out.rglob("*.png"):
        Image.open(path).verify()
    monkeypatch.setattr(files, "sync", real)
    _, text, _ = psp(
        "predict", photos, "-m", journey.folder / "run", "-o", "out", "--json", check=0
    )
    assert sorted(json.loads(text)["predicted"] + json.loads(text)["skipped"]) == sorted(EXPECTED)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_what_is_stopped_leaves_whole_files_and_goes_on(journey, psp, tmp_path, number):
    for index in range(40):
        save(tmp_path / f"many/{index:03d}.jpg", (64, 48))
    process = subprocess.Popen(
        [sys.executable, "-m", "psp", "predict", "many", "-m", str(journey.folder / "run")],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        # A shell in the background may have the tests ignore Ctrl-C, which is inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    out = tmp_path / "many-predicted"
    while len(list(out.glob("labels/*.png"))) < 3:
        assert process.poll() is None
        time.sleep(0.01)
    os.kill(process.pid, number)
    err = process.stderr.read()
    assert process.wait() == (130 if number == signal.SIGINT else -9)
    done = list(out.glob("labels/*.png"))
    assert 3 <= len(done) < 40
    for path in done:
        assert Image.open(path).size == (64, 48) and np.array(Image.open(path)).max() < 9
    if number == signal.SIGINT:
        assert "Traceback" not in err and "same command" in err
        assert not list(out.rglob("*.tmp"))
    with (out / "predictions.jsonl").open("ab") as file:
        file.write(b'{"name": "039", "sou')  # as a kill in the middle of a line leaves it
    (out / "legend.png").unlink()
    _, text, _ = psp("predict", "many", "-m", journey.folder / "run", "--json")
    found = json.loads(text)
    assert len(found["skipped"]) + len(found["predicted"]) == 40
    assert len(done) - 6 <= len(found["skipped"]) <= len(done)  # some were whole but unrecorded
    assert len(records(out)) == len(list(out.glob("labels/*.png"))) == 40
    assert (out / "legend.png").exists() and not list(out.rglob("*.tmp"))


def test_two_at_once_on_the_same_share_are_refused(journey, psp, photos):
    arguments = ("predict", photos, "-m", journey.folder / "run", "-o", "out")
    psp(*arguments, check=0)
    save(photos / "new.jpg")
    with (photos.parent / "out/predictions.jsonl").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        code, _, err = psp(*arguments)
    assert code == 2 and "out: another psp predict" in err and "--part" in err
    psp(*arguments, check=0)


def test_probabilities_are_written_and_agree_with_the_label_map(journey, psp, photos, tmp_path):
    run = journey.folder / "run"
    psp("predict", photos, "-m", run, "-o", "out", "--probabilities", "--flip", check=0)
    predictor = package.load(run, "cpu")
    for name, (width, height) in EXPECTED.items():
        with np.load(tmp_path / f"out/probabilities/{name}.npz") as archive:
            assert archive.files == ["probabilities"]
            found = archive["probabilities"]
        assert (found.shape, found.dtype) == ((9, height, width), np.float16)
        assert np.abs(found.sum(0, dtype=np.float64) - 1).max() < 5e-3
        label = np.array(Image.open(tmp_path / f"out/labels/{name}.png"))
        best = np.take_along_axis(found, label[None].astype(int), 0)[0]
        assert (best == found.max(0)).all()
    expected = predictor.probabilities(photos / "sub/a.jpg", flip=True)
    with np.load(tmp_path / "out/probabilities/sub/a.npz") as archive:
        assert np.abs(archive["probabilities"] - expected).max() < 1e-3
    _, out, _ = psp("predict", photos, "-m", run, "-o", "out", "--flip", "--json", check=0)
    assert len(json.loads(out)["skipped"]) == 8


def test_probabilities_asked_for_later_are_made_later(journey, psp, photos):
    arguments = ("predict", photos / "a.jpg", "-m", journey.folder / "run", "-o", "out", "--json")
    psp(*arguments, check=0)
    _, out, _ = psp(*arguments, "--probabilities", check=0)
    assert json.loads(out)["predicted"] == ["a"]


def test_too_many_probabilities_are_refused_for_that_picture_alone(
    journey, psp, photos, monkeypatch
):
    monkeypatch.setattr("psp.predict.pipeline.MAX_PROBABILITIES", 2 * 9 * 60 * 45)
    code, out, err = psp(
        "predict", photos, "-m", journey.folder / "run", "--probabilities", "--json"
    )
    assert code == 3
    assert [entry["name"] for entry in json.loads(out)["failed"]] == ["sub/a"]
    assert "sub/a.jpg: " in err and "GB" in err and "--probabilities" in err


@pytest.mark.parametrize("text", ["CUDA out of memory. Tried", "can't allocate memory: you tried"])
def test_a_picture_that_memory_does_not_hold_is_one_failure(
    journey, psp, photos, monkeypatch, text
):
    from psp.model.inference import SlidingWindow

    real = SlidingWindow.label_map

    def greedy(self, image, procedure):
        if image.shape[:2] == (97, 130):
            raise RuntimeError(text)
        return real(self, image, procedure)

    monkeypatch.setattr(SlidingWindow, "label_map", greedy)
    code, _, err = psp("predict", photos, "-m", journey.folder / "run")
    assert code == 3
    assert "a.jpg: " in err and "memory on cpu" in err and "130x97" in err and "--crop" in err
    monkeypatch.setattr(
        SlidingWindow, "label_map", lambda *_: (_ for _ in ()).throw(RuntimeError("x"))
    )
    with pytest.raises(RuntimeError, match="x"):  # a bug stays one
        psp("predict", photos / "sub/a.jpg", "-m", journey.folder / "run")


def test_neither_order_nor_company_changes_a_result(journey, psp, photos, tmp_path):
    run = journey.folder / "run"
    psp("predict", photos, "-m", run, "-o", "all", check=0)
    names = sorted(str(p.relative_to(photos)) for p in photos.rglob("*.*g"))
    psp("predict", *[photos / name for name in names[::-1]], "-m", run, "-o", "turned", check=0)
    assert tree(tmp_path / "all") == tree(tmp_path / "turned")


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (41, 41), (4000, 3000)])
def test_a_map_has_its_pictures_size_from_one_pixel_to_megapixels(journey, psp, tmp_path, size):
    Image.new("RGB", size, (90, 120, 200)).save(tmp_path / "x.png")
    run = journey.folder / "run"
    psp("predict", "x.png", "-m", run, "--base-size", "64", "-o", "out", check=0)
    assert Image.open(tmp_path / "out/labels/x.png").size == size
    assert Image.open(tmp_path / "out/overlays/x.jpg").size == size


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_pictures(journey, photos, tmp_path):
    """The first 20 of 70 pictures set the level; the rest must not raise it."""
    save(tmp_path / "one.jpg", (400, 300))
    for index in range(70):
        path = tmp_path / f"many/{index:03d}.jpg"
        path.parent.mkdir(exist_ok=True)
        os.link(tmp_path / "one.jpg", path)
    program = f"""
import os, torch
from pathlib import Path
from psp.model.procedure import Procedure
from psp.predict.inputs import find_pictures
from psp.predict.pipeline import predict
torch.set_num_threads(1)
level = {{}}
def report(event):
    if event.done in (20, 70):
        level[event.done] = int(Path("/proc/self/statm").read_text().split()[1]) * 4096
predict(find_pictures([Path("many")]), Path({str(journey.folder / "run/best.safetensors")!r}),
    Path("out"), procedure=lambda header: Procedure(crop=41, base_size=64),
    device=torch.device("cpu"), report=report)
print((level[70] - level[20]) / 2**20)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert (
        float(done.stdout) < 10
    )  # MB; the 50 pictures decoded are 18 MB, and as much again as overlays


def test_results_go_into_a_folder_behind_a_link(journey, psp, photos, tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk")
    psp("predict", photos / "a.jpg", "-m", journey.folder / "run", "-o", "out", check=0)
    assert (tmp_path / "disk/labels/a.png").exists()


@pytest.mark.parametrize(
    ("arguments", "subject", "remedy"),
    [
        (["a.jpg", "--part", "0/4"], "--part 0/4: ", "3/64"),
        (["a.jpg", "--part", "5/4"], "--part 5/4: ", "3/64"),
        (["a.jpg", "--part", "half"], "--part half: ", "3/64"),
        (["*.tiff"], "*.tiff: ", "pattern"),
    ],
)
def test_mistakes_about_shares_and_patterns(journey, psp, photos, arguments, subject, remedy):
    code, out, err = psp("predict", *arguments, "-m", journey.folder / "run", cwd=photos)
    assert (code, out) == (2, "")
    assert subject in err and remedy in err and len(err.strip().splitlines()) == 1
