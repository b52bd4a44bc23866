"""Crops that are no squares: the same rectangle in training, validation, weights and windows."""

import json

import numpy as np
import pytest
from PIL import Image

import psp as library
from psp.data.loader import Crops
from psp.data.shards import ShardSplit
from psp.errors import PspError
from psp.model.choice import Choice
from psp.model.procedure import Procedure
from psp.model.weights import read_header
from psp.settings.augmentation import Augmentation
from psp.settings.config import train_config
from psp.train.pace import validation_steps


@pytest.fixture(scope="module")
def wide(journey, tmp_path_factory):
    """A run of one step on crops of 57x41."""
    from helpers.trees import run_psp

    folder = tmp_path_factory.mktemp("wide")
    sizes = ("--crop", "57x41", "--batch", "auto", "--steps", 1, "--set", "pictures=true")
    run_psp("train", journey.folder / "shards", "-o", "run", *sizes, cwd=folder, check=0)
    return folder / "run"


def test_samples_have_the_sides_of_the_crop(journey):
    split = ShardSplit(journey.folder / "shards", "train")
    crops = Crops(split, Augmentation(crop="57x41"), 0)
    shapes = [(image.shape, label.shape) for image, label in (crops[k] for k in range(4))]
    assert shapes == [((41, 57, 3), (41, 57))] * 4


def test_a_run_says_its_rectangle_and_validates_in_such_windows(wide, journey, psp):
    assert json.loads((wide / "config.json").read_text())["settings"]["crop"] == "57x41"
    assert read_header(wide / "last.safetensors").crop == "57x41"
    with Image.open(wide / "samples/crops.jpg") as sheet:
        assert sheet.width > 6 * 160 * 57 / 41  # six of them side by side
    assert "57x41" in (wide / "log.txt").read_text()  # how many fit the memory
    lines = (wide / "metrics.jsonl").read_text().splitlines()
    validation = json.loads(lines[-1])
    found = json.loads(psp("evaluate", wide, "--no-flip", "--json", check=0)[1])
    assert (found["procedure"]["windows"], found["procedure"]["crop"]) == ("57x41", None)
    assert found["miou"] == validation["miou"]
    assert "windows of 57x41" in (wide / "evaluations/val-ss.html").read_text()


def test_weights_of_a_rectangle_are_applied_in_such_windows(wide, rng, psp):
    predictor = library.load(wide)
    photo = rng.integers(0, 256, (60, 90, 3), dtype=np.uint8)
    same = predictor.probabilities(photo, windows="57x41")
    assert np.array_equal(predictor.probabilities(photo), same)
    assert not np.array_equal(predictor.probabilities(photo, crop=41), same)
    shown = json.loads(psp("inspect", wide, "--json", check=0)[1])
    assert shown["crop"] == "57x41" and shown["flops"] > 0
    assert "57x41" in psp("inspect", wide, check=0)[1]


def test_only_a_given_side_makes_square_windows(wide):
    header = read_header(wide / "best.safetensors")
    with pytest.raises(PspError, match=r"--windows square: .*57x41.*--crop"):
        Choice(windows="square")(header)
    assert Choice(windows="square", crop=41, flip=False)(header) == Procedure(41)
    assert Choice(windows="whole")(header).window is None


def test_a_run_cannot_be_resumed_with_another_rectangle(wide, journey, psp):
    again = ("train", journey.folder / "shards", "-o", wide, "--resume", "--crop", "41x57")
    assert "crop: 57x41 -> 41x57" in psp(*again, check=2)[2]


def test_a_validation_costs_its_windows_in_both_directions(journey):
    """Pictures of 64x48: a window of 65x41 covers the width, one of 41x65 the height."""
    data = ShardSplit(journey.folder / "shards", "val")
    costs = [
        validation_steps(data, train_config(crop=crop, batch=1)) / len(data)
        for crop in ("65x41", "41x65", "65x49", 65)
    ]
    assert costs == [1, 1, 0.5, 0.5]


@pytest.mark.slow
def test_a_rectangle_is_exported(wide, tmp_path, psp):
    pytest.importorskip("onnxruntime")
    said = json.loads(psp("export", wide, "wide.onnx", "--json", check=0)[1])
    assert said["size"] == [57, 41]
