"""Published weights by name: downloaded, imported and kept, or an error in one line."""

import json
import os
import resource
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from helpers.plain_nets import MMSegmentation, randomize
from helpers.trees import noise, save_picture

import psp as package
import psp.zoo.catalog
from psp.data.cardfile import find_card
from psp.errors import PspError
from psp.events import Notice, Progress
from psp.zoo.catalog import entries
from psp.zoo.find import find_model
from psp.zoo.published import obtain

pytestmark = pytest.mark.slow  # whole networks are read

VOC = find_card("voc2012")


@pytest.fixture
def photos(tmp_path, rng):
    for number in range(2):
        save_picture(tmp_path / f"photos/{number}.png", noise(rng, 40, 64))
    return tmp_path / "photos"


def kept(cache):
    """Every file and folder in the cache but those that are empty by design."""
    found = [str(path.relative_to(cache)) for path in cache.rglob("*")] if cache.exists() else []
    return sorted(path for path in found if path.count("/"))


def test_the_first_use_fetches_and_the_second_needs_no_network(
    catalog, publisher, cache, photos, psp
):
    _, out, err = psp("predict", photos, "-m", "small-csail", "-o", "one", check=0)
    assert out == "one\n"
    assert "A csail of this machine" in err and "terms: as you like" in err
    assert f"{publisher.address}/decoder_epoch_20.pth" in err and "no checksum" in err
    assert err.index("terms:") < err.index("CSAIL's resnet18dilated") < err.index("2 pictures")
    assert kept(cache) == ["weights-1/small-csail.safetensors"]  # and no download
    assert publisher.asked == ["encoder_epoch_20.pth", "decoder_epoch_20.pth"]
    publisher.close()
    _, _, again = psp("predict", photos, "-m", "small-csail", "-o", "two", check=0)
    assert "terms" not in again and "kept" not in again and "http" not in again
    for name in ("one", "two"):
        assert (photos.parent / name / "labels/0.png").is_file()
    one, two = (photos.parent / name / "labels/1.png" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    _, out, _ = psp("inspect", "small-csail", check=0)
    assert "terms: as you like" in out and "long side of 96" in out
    listed = {entry["name"]: entry for entry in json.loads(psp("models", "--json", check=0)[1])}
    assert listed["small-csail"]["cached"] == str(cache / kept(cache)[0])
    assert listed["small-mmseg"]["cached"] is None
    assert "yes" in psp("models", check=0)[1]
    assert str(cache) in psp("models", "show", "small-csail", check=0)[1]


def test_load_hears_of_it_and_computes_what_the_file_says(catalog, published, cache):
    events = []
    predictor = package.load("small-mmseg", "cpu", "fp32", report=events.append)
    said = [event.text for event in events if isinstance(event, Notice)]
    kinds = [type(event) for event in events]
    before = said[: kinds.index(Progress)]
    assert any("as you like" in text for text in before)
    after = said[len(before) :]
    assert any("mmsegmentation PSPNet" in text for text in after)
    size = (published / "mm.pth").stat().st_size
    assert [e.done for e in events if isinstance(e, Progress)][-1] == size
    assert all(e.total == size for e in events if isinstance(e, Progress))
    assert predictor.classes == VOC.names and (
        predictor.header.crop,
        predictor.header.base_size,
    ) == (65, 96)
    theirs = randomize(MMSegmentation(18, 21))
    theirs.load_state_dict({n: t.half().to(t.dtype) for n, t in theirs.state_dict().items()})
    images = torch.randn(1, 3, 65, 65)
    with torch.inference_mode():
        ours, expected = predictor.network(images).main, theirs(images)[0]
    assert (ours - expected).abs().max() <= 1e-5 * (expected.max() - expected.min())
    assert predictor(np.zeros((30, 40, 3), np.uint8)).shape == (30, 40)
    events.clear()
    package.load("small-mmseg", "cpu", "fp32", report=events.append)
    assert not events


@pytest.mark.parametrize(
    ("name", "setup", "reason"),
    [
        ("gone", None, "404 Not Found"),
        ("other", None, "01234567"),
        ("small-mmseg", "half", "broke off"),
        ("small-mmseg", "dead", "Connection refused"),
        ("deeper", None, "not the resnet50"),
        ("corners", None, "align_corners False"),
        ("stem", None, "with the deep stem"),
        ("classifier", None, "classifier.pth: an ImageNet classifier"),
        ("page", None, "a web page"),
    ],
)
def test_what_cannot_be_had_is_one_line_and_nothing_kept(
    catalog, publisher, cache, photos, psp, name, setup, reason
):
    publisher.half = setup == "half"
    if setup == "dead":
        publisher.close()
    code, out, err = psp("predict", photos, "-m", name, "-q")
    assert code == 2 and out == "" and err.count("\n") == 1, err
    assert f"{name}: " in err and reason in err
    file = entries()[name].files[0]
    assert file.address in err
    assert f"{file.name} from {publisher.address}/ into {cache / name}" in err
    assert kept(cache) == []


def test_a_file_that_moved_is_asked_for_at_its_other_address(catalog, publisher, cache):
    said = []
    obtain(entries()["moved-mmseg"], said.append)
    (text,) = (e.text for e in said if isinstance(e, Notice) and "Asking" in e.text)
    old, new = entries()["moved-mmseg"].files[0].addresses
    assert f"{old} could not be fetched (Connection refused)" in text and new in text
    assert "weights-1/moved-mmseg.safetensors" in kept(cache)
    with pytest.raises(PspError) as error:
        obtain(entries()["moved-other"])
    text = str(error.value)
    assert "Connection refused" in text and "01234567" in text and "\n" not in text
    assert f"from {old.removesuffix('mm.pth')} or {publisher.address}/ into" in text


def test_both_halves_are_named_and_taken_from_where_they_were_put(
    catalog, publisher, published, cache, psp
):
    publisher.close()
    code, _, err = psp("inspect", "small-csail")
    assert code == 2 and "encoder_epoch_20.pth and decoder_epoch_20.pth" in err
    folder = cache / "small-csail"
    assert str(folder) in err and folder.is_dir()
    for half in ("encoder", "decoder"):
        name = f"{half}_epoch_20.pth"
        (folder / name).write_bytes((published / name).read_bytes())
    assert "resnet18" in psp("inspect", "small-csail", check=0)[1]
    assert "weights-1/small-csail.safetensors" in kept(cache)
    (cache / "small-mmseg").mkdir()
    (cache / "small-mmseg/mm.pth").write_bytes(b"half of it")
    code, _, err = psp("inspect", "small-mmseg")
    assert code == 2 and "small-mmseg/mm.pth: " in err and "Remove it" in err


def test_a_full_disk_is_said_and_leaves_nothing(catalog, cache):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    for limit, when in ((1 << 20, "fetching"), (30 << 20, "importing")):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
        try:
            with pytest.raises(PspError) as error:
                obtain(entries()["small-mmseg"])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        text = str(error.value)
        assert "File too large" in text and "PSP_CACHE" in text and str(cache) in text, when
        assert "\n" not in text and "http" not in text, when  # it is not the network's fault
        assert kept(cache) == [], when


def run(catalog, *arguments):
    """Start the command line in another process, with the test's catalog."""
    program = (
        "import sys, pathlib, psp.zoo.catalog; from psp.cli import main\n"
        f"psp.zoo.catalog.CATALOG = pathlib.Path({str(catalog)!r})\n"
        f"sys.argv = ['psp', *{list(map(str, arguments))!r}]; main()"
    )
    return subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_an_interrupted_download_leaves_nothing(catalog, publisher, cache):
    publisher.stall = True
    process = run(catalog, "inspect", "small-mmseg")
    assert publisher.waiting.wait(60)
    assert len(kept(cache)) == 2  # a folder of its own, and the file in it
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGINT and "interrupted" in err
    assert kept(cache) == []


def test_two_processes_at_once_both_have_it(catalog, publisher, cache):
    publisher.stall = True
    both = [run(catalog, "inspect", "small-mmseg", "--json") for _ in range(2)]
    deadline = time.monotonic() + 60
    while len(publisher.asked) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert publisher.asked == ["mm.pth", "mm.pth"]  # both are in the middle of it
    publisher.go.set()
    answers = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], answers
    assert json.loads(answers[0][0]) == json.loads(answers[1][0])
    assert kept(cache) == ["weights-1/small-mmseg.safetensors"]


def test_what_a_killed_process_left_is_removed_in_time(catalog, cache):
    for name, age in ((".small-old-a1b2c3d4", 100_000), (".small-new-a1b2c3d4", 10)):
        folder = cache / "weights-1" / name
        folder.mkdir(parents=True)
        (folder / "mm.pth").write_bytes(b"half")
        then = time.time() - age
        os.utime(folder, (then, then))
    obtain(entries()["small-mmseg"])
    assert [p for p in kept(cache) if p.startswith("weights-1/.")] == [
        "weights-1/.small-new-a1b2c3d4",
        "weights-1/.small-new-a1b2c3d4/mm.pth",
    ]


def test_a_folder_that_cannot_be_made_is_said(catalog, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PSP_CACHE", str(tmp_path / "file"))
    with pytest.raises(PspError) as error:
        obtain(entries()["small-mmseg"])
    assert "file/weights-1: " in str(error.value) and "PSP_CACHE" in str(error.value)


def test_a_path_wins_over_a_name_and_a_near_one_is_proposed(catalog, journey, tmp_path, psp):
    (tmp_path / "small-mmseg").write_bytes((journey.folder / "run/best.safetensors").read_bytes())
    _, out, _ = psp("inspect", "small-mmseg", check=0)
    assert "of tiny" in out
    for command in (
        ["predict", "photos", "-m", "small-mmsegg"],
        ["evaluate", "small-mmsegg"],
        ["inspect", "small-mmsegg"],
        ["export", "small-mmsegg", "x.onnx"],
        ["train", journey.folder / "shards", "--init", "small-mmsegg"],
        ["models", "show", "small-mmsegg"],
    ):
        save_picture(tmp_path / "photos/1.png", np.zeros((9, 9, 3), np.uint8))
        code, _, err = psp(*command)
        assert code == 2 and "Did you mean 'small-mmseg'?" in err and "psp models" in err, command
        assert err.strip().splitlines()[-1].startswith("error: "), err
    code, _, err = psp("evaluate", "gone")
    assert code == 2 and "gone: " in err and "--data" in err
    with pytest.raises(PspError) as error:
        find_model("gone", "last")
    assert "gone: --weights last" in str(error.value)


def test_every_command_takes_a_name(catalog, cache, journey, psp, tmp_path):
    path = entries()["small-mmseg"].path
    path.parent.mkdir(parents=True)
    path.write_bytes((journey.folder / "run/best.safetensors").read_bytes())
    shards = journey.folder / "shards"
    name, best = "small-mmseg", journey.evaluation
    _, out, _ = psp("evaluate", name, "--data", shards, "--json", check=0)
    assert json.loads(out)["miou"] == pytest.approx(best["miou"], abs=1e-9)
    _, out, _ = psp("train", shards, "--init", name, "-o", "run", "--steps", "1", check=0)
    assert f"initial weights from {path}" in (tmp_path / "run/log.txt").read_text()


def test_weights_are_brought_to_a_machine_without_a_network(
    catalog, publisher, cache, tmp_path, monkeypatch, psp
):
    """Fetched into a folder, used there by path or as the cache; what is missing is one line."""
    _, out, _ = psp("models", "fetch", "small-mmseg", "--to", "bag", check=0)
    assert out == "bag/weights-1/small-mmseg.safetensors\n" and kept(cache) == []
    assert kept(tmp_path / "bag") == ["weights-1/small-mmseg.safetensors"]
    monkeypatch.setenv("PSP_OFFLINE", "1")
    asked = len(publisher.asked)
    code, _, err = psp("inspect", "small-mmseg")
    assert code == 2 and len(err.splitlines()) == 1
    for text in ("PSP_OFFLINE", "psp models fetch small-mmseg --to", "PSP_CACHE", "mm.pth"):
        assert text in err
    psp("inspect", "bag/weights-1/small-mmseg.safetensors", check=0)
    monkeypatch.setenv("PSP_CACHE", str(tmp_path / "bag"))
    psp("inspect", "small-mmseg", check=0)
    _, out, _ = psp("models", "fetch", "small-mmseg", "--to", "again", check=0)  # from the cache
    one, two = (tmp_path / name / "weights-1/small-mmseg.safetensors" for name in ("bag", "again"))
    assert one.read_bytes() == two.read_bytes()
    assert len(publisher.asked) == asked


def test_offline_takes_files_that_were_put_there(catalog, publisher, cache, published, monkeypatch):
    monkeypatch.setenv("PSP_OFFLINE", "1")
    (cache / "small-mmseg").mkdir(parents=True)
    (cache / "small-mmseg/mm.pth").write_bytes((published / "mm.pth").read_bytes())
    assert obtain(entries()["small-mmseg"]).is_file() and publisher.asked == []
