"""Small data sets in official layouts, and one training whose results many tests use.

What several processes of pytest-xdist need is made by the first; each of the others gets a copy.

The suite tests the installed package. Tests on real files find them through PSP_TEST_DATA.
"""

import fcntl
import json
import os
import shutil
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.plugin import PLUGIN, write_metadata
from helpers.trees import VOC_VOID, noise, run_psp, save_picture, save_voc_mask, small_card
from PIL import Image

from psp.cli import main

# With -n auto there is one process per core: more threads would only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# If a shell started the suite in the background, SIGINT is ignored, and it would also be ignored by
# the commands that tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items):
    """What needs the training below is slow, too: it takes 15 seconds.

    Files of long tests come first, so that no process is left with one at the end.
    """
    for item in items:
        if "journey" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)
    long = {item.path for item in items if item.get_closest_marker("ranks")}
    items.sort(key=lambda item: item.path not in long)


@pytest.fixture(scope="session", autouse=True)
def disks_are_not_waited_for():
    """Nothing here is read after the power has failed, which is all that fsync is for.

    Commands in processes of their own still wait, those of tests/faults among them.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        yield


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.fixture
def one_thread():
    """Maps in tests are so small that a second thread only waits for the first."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def camvid_raw(tmp_path, rng):
    """CamVid in SegNet's version: 6 + 3 + 2 pairs of 48x64."""
    root = tmp_path / "CamVid"
    for split, count in {"train": 6, "val": 3, "test": 2}.items():
        for number in range(count):
            name = f"0001TP_{split}{number:03d}.png"
            save_picture(root / split / name, noise(rng, 48, 64))
            label = rng.integers(0, 12, (6, 8), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
            save_picture(root / f"{split}annot" / name, label)
    return root


@pytest.fixture
def voc_raw(tmp_path, rng):
    """VOC 2012: JPEGs, palette masks with void, lists; 5 + 3 pairs of different sizes."""
    root = tmp_path / "VOCdevkit" / "VOC2012"
    for split, count in {"train": 5, "val": 3}.items():
        ids = [f"2007_{split.encode()[0]:03d}{number:03d}" for number in range(count)]
        for number, name in enumerate(ids):
            height, width = 40 + 3 * number, 60 - 2 * number
            image = root / f"JPEGImages/{name}.jpg"
            image.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(noise(rng, height, width)).save(image, quality=90)
            ids_map = rng.integers(0, 21, (height, width))
            ids_map[:, :3] = VOC_VOID
            save_voc_mask(root / f"SegmentationClass/{name}.png", ids_map)
        listed = root / f"ImageSets/Segmentation/{split}.txt"
        listed.parent.mkdir(parents=True, exist_ok=True)
        listed.write_text("\r\n".join(ids) + "\r\n\n")
    return tmp_path / "VOCdevkit"


@pytest.fixture
def psp(tmp_path, monkeypatch, capfd):
    """psp(*arguments) runs a command in this process and returns (exit code, stdout, stderr)."""

    def call(*arguments, cwd=tmp_path, check=None):
        monkeypatch.chdir(cwd)
        monkeypatch.setattr(sys, "argv", ["psp", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = capfd.readouterr()
        code = stop.value.code or 0
        if check is not None:
            assert code == check, out + err
        return code, out, err

    return call


@pytest.fixture
def plugin(tmp_path_factory, monkeypatch):
    """tests/plugin as an installed package, whose entry points psp finds."""
    site = tmp_path_factory.mktemp("site")
    write_metadata(site)
    monkeypatch.syspath_prepend(site)
    monkeypatch.syspath_prepend(PLUGIN)


@pytest.fixture
def no_plugin(tmp_path_factory, monkeypatch):
    """tests/plugin as not installed, even where it is."""
    site = tmp_path_factory.mktemp("site")
    write_metadata(site, entry_points=False)
    monkeypatch.syspath_prepend(site)


def travel(folder):
    """Run the four commands one after the other; return what they say."""
    from psp.data.scenes import SceneSpec, paint_set

    spec = SceneSpec(height=48, width=64)
    for _ in paint_set(folder / "raw", {"train": 12, "val": 4}, spec=spec):
        pass
    (folder / "tiny.toml").write_text(small_card())
    says = {}
    for command in (
        ["prepare", "tiny.toml", "raw", "-o", "shards"],
        ["train", "shards", "-o", "run", "--set", "pictures=true"],
        ["evaluate", "run"],
        ["predict", "raw/images/val", "-m", "run", "-o", "predicted"],
    ):
        says[command[0]] = run_psp(*command, cwd=folder, check=0)
    return says


@pytest.fixture(scope="session")
def journey(tmp_path_factory):
    """The four commands, run one after the other on a few painted scenes.

    journey.folder has raw/, tiny.toml, shards/, run/, predicted/; journey.says has the outputs.
    """
    folder = tmp_path_factory.mktemp("journey")
    if "PYTEST_XDIST_WORKER" not in os.environ:
        says = travel(folder)
    else:
        original = tmp_path_factory.getbasetemp().parent / "journey"
        with (original.parent / "journey.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            said = original / "says.json"
            if not said.exists():
                shutil.rmtree(original, ignore_errors=True)
                original.mkdir()
                said.write_text(json.dumps(travel(original)))
        shutil.copytree(original, folder, dirs_exist_ok=True)
        for path in folder.rglob("*.json*"):  # some say where things are
            if str(original) in (text := path.read_text()):
                path.write_text(text.replace(str(original), str(folder)))
        said = folder / "says.json"
        says = json.loads(said.read_text())
        said.unlink()

    class Journey:
        pass

    result = Journey()
    result.folder, result.says = folder, says
    result.evaluation = json.loads((folder / "run/evaluations/val-ss-flip.json").read_text())
    return result


@pytest.fixture(scope="session")
def warm(tmp_path_factory):
    """A process that has imported torch, and runs commands in children: see faults/victims.py."""
    from faults.victims import Warm

    folder = tmp_path_factory.mktemp("warm")
    (folder / "site").mkdir()
    write_metadata(folder / "site")
    made = Warm(folder)
    yield made
    made.close()


@pytest.fixture(scope="session")
def real_data():
    """The folder of real files in official formats; without one, the test is skipped."""
    folder = os.environ.get("PSP_TEST_DATA")
    if not folder:
        pytest.skip("PSP_TEST_DATA does not name a folder of real files")
    return Path(folder)
