"""psp.load: a trained network as a function of pictures."""

import numpy as np
import pytest
from PIL import Image

import psp as package
from psp.errors import PspError


def test_load_takes_a_run_and_any_kind_of_picture(journey, tmp_path):
    predictor = package.load(journey.folder / "run", device="cpu")
    path = sorted((journey.folder / "raw/images/val").iterdir())[0]
    picture = Image.open(path)
    labels = predictor(path)
    assert labels.dtype == np.uint8 and labels.shape == (picture.height, picture.width)
    assert np.array_equal(predictor(picture), labels)
    assert np.array_equal(predictor(np.array(picture.convert("RGB"))), labels)
    saved = np.array(Image.open(journey.folder / "predicted/labels" / path.name))
    assert np.array_equal(saved, labels)
    assert len(predictor.classes) == len(predictor.palette) == 9
    probabilities = predictor.probabilities(path, scales=(0.5, 1.0), flip=True)
    assert probabilities.dtype == np.float32 and probabilities.shape == (9, *labels.shape)
    assert np.abs(probabilities.sum(0) - 1).max() < 1e-5
    assert not predictor.network.training


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 4), np.uint8), r"\(H, W, 3\).*uint8 \(4, 4\)"),
        (np.zeros((4, 4, 3)), r"\(H, W, 3\).*float64"),
        (np.zeros((0, 4, 3), np.uint8), r"\(H, W, 3\).*\(0, 4, 3\)"),
        (7, "path.*Pillow.*uint8"),
        ("nowhere.png", "nowhere.png: "),
    ],
)
def test_what_is_no_picture_is_said(journey, image, message):
    predictor = package.load(journey.folder / "run", device="cpu")
    with pytest.raises(PspError, match=message):
        predictor(image)


def test_load_of_nothing_is_said(tmp_path):
    with pytest.raises(PspError, match=r"nowhere: .*psp models"):
        package.load(tmp_path / "nowhere")
    with pytest.raises(PspError, match=r"'half': .*auto, fp32, bf16"):
        package.load(tmp_path, precision="half")
