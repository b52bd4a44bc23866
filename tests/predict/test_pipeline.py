"""psp predict: a label map of exactly the picture's size for every picture, whatever its name."""

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.photos import EXPECTED, save, tree
from PIL import Image

import psp as package


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


def test_without_a_model_the_newest_finished_run_is_taken_on_a_terminal_and_named(
    journey, psp, photos, tmp_path, monkeypatch
):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/mine").symlink_to(journey.folder / "run")
    code, out, err = psp("predict", photos / "a.jpg")  # as a script would call it
    assert (code, out) == (2, "") and "-m runs/mine" in err and len(err.splitlines()) == 1
    monkeypatch.setattr("psp.cli.predict.on_terminal", lambda: True)
    _, _, err = psp("predict", photos / "a.jpg", check=0)
    assert "runs/mine" in err and "newest finished run" in err


def test_the_model_can_stand_before_the_pictures(journey, psp, photos, tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/mine").symlink_to(journey.folder / "run")
    for order in (("mine", photos / "a.jpg"), (photos / "a.jpg", "runs/mine")):
        _, out, _ = psp("predict", *order, "-o", "out", "--json", check=0)
        assert json.loads(out)["predicted"] + json.loads(out)["skipped"] == ["a"]


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


def test_what_a_training_drew_is_not_taken_for_pictures(journey, psp, tmp_path):
    shutil.copytree(journey.folder / "run", tmp_path / "all/run")
    assert list((tmp_path / "all/run").rglob("samples/*.jpg"))
    save(tmp_path / "all/a.png")
    _, out, _ = psp("predict", "all", "-m", journey.folder / "run", "--json", check=0)
    assert json.loads(out)["predicted"] == ["a"]


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
    expected = predictor.probabilities(photos / "sub/a.jpg", flip=True, blend="taper")
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
    monkeypatch.setattr("psp.predict.stages.MAX_PROBABILITIES", 2 * 9 * 60 * 45)
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
    code, _, err = psp("predict", photos, "-m", journey.folder / "run", "--no-gallery")
    assert code == 3
    assert "a.jpg: " in err and "memory on cpu" in err and "130x97" in err and "--crop" in err
    monkeypatch.setattr(
        SlidingWindow, "label_map", lambda *_: (_ for _ in ()).throw(RuntimeError("x"))
    )
    with pytest.raises(RuntimeError, match="x"):  # a bug stays one
        psp("predict", photos / "sub/a.jpg", "-m", journey.folder / "run", "--no-gallery")


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
from psp.predict.pipeline import PredictRequest, predict
torch.set_num_threads(1)
level = {{}}
def report(event):
    if event.done in (20, 70):
        level[event.done] = int(Path("/proc/self/statm").read_text().split()[1]) * 4096
predict(PredictRequest(pictures=find_pictures([Path("many")]), out=Path("out"),
    weights=Path({str(journey.folder / "run/best.safetensors")!r}),
    procedure=lambda header: Procedure(crop=41, base_size=64),
    device=torch.device("cpu")), report)
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
