"""psp gives the probabilities and labels that mmsegmentation computed for the same networks.

run_mmseg.py made mmseg.npz with mmsegmentation itself; its docstring says how.
"""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.golden import beside, check_probabilities
from helpers.plain_nets import MMSegmentation

from psp.model.choice import Choice
from psp.model.inference import sliding_window
from psp.model.procedure import Published
from psp.model.pspnet import build
from psp.model.weights import Header
from psp.zoo.importers.importer import SavedNetwork
from psp.zoo.importers.mmseg import read, read_mmseg

pytestmark = pytest.mark.usefixtures("one_thread")

HERE = Path(__file__).parent
cases, seeded = beside(HERE, "mmseg_cases"), beside(HERE, "seeded")
QUICK = ("whole", "slide-small", "tta-slide-corners")
CONFIG = """
crop_size = (512, 512)
model = dict(
    type='EncoderDecoder',
    decode_head=dict(type='PSPHead', align_corners={corners}),
    test_cfg=dict(mode='{mode}'{slide}))
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale={size}, keep_ratio=True),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs')]
"""


def config_of(case):
    name, _, size, mode, crop, stride, _ = case
    slide = f", crop_size={crop[::-1]}, stride={stride[::-1]}" if crop else ""
    return CONFIG.format(corners=cases.NETWORKS[name][1], mode=mode, slide=slide, size=size)


@cache
def tensors(name):
    depth, _, seed = cases.NETWORKS[name]
    shapes = {
        k: tuple(t.shape) for k, t in MMSegmentation(depth, cases.CLASSES).state_dict().items()
    }
    return {key: torch.from_numpy(array) for key, array in seeded.values(shapes, seed).items()}


def imported(case):
    """Return a case's network as psp imports it, ready to run, and its header."""
    found = read_mmseg(tensors(case[0]), config_of(case))
    network = build(found.architecture)
    network.load_state_dict(found.tensors)
    model = sliding_window(network.eval(), found.preprocessing, torch.device("cpu"), torch.float32)
    classes = tuple("abcde")
    header = Header(
        architecture=found.architecture,
        classes=classes,
        palette=tuple((n, n, n) for n in range(len(classes))),
        dataset="five",
        data="",
        crop=473,
        base_size=512,
        step=0,
        procedure=found.procedure,
    )
    return model, header


@pytest.fixture(scope="module")
def results():
    with np.load(HERE / "mmseg.npz") as archive:
        return dict(archive)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.slow] * (n not in QUICK)) for n in cases.CASES],
)
def test_probabilities_and_labels_are_mmsegmentations(results, name):
    """By the configuration alone, as evaluate does it; --multi-scale is its augmentation."""
    case = cases.CASES[name]
    model, header = imported(case)
    procedure = Choice(multi_scale=case[-1])(header)
    assert procedure.name == "mmseg" and procedure.flip == case[-1] and not procedure.changed
    found = model.probabilities(seeded.picture(*cases.PICTURES[case[1]]), procedure).numpy()
    expected, labels = results[f"{name}/probabilities"], results[f"{name}/labels"]
    check_probabilities(name, found, expected, labels, cases.STEP)


def test_a_configuration_gives_the_procedure():
    _, header = imported(cases.CASES["slide-small"])
    assert header.procedure == Published("mmseg", "97x97", "65x65", "256x80")
    chosen = Choice(predicting=True)(header)
    assert (chosen.windows, chosen.flip, chosen.blend) == ("97x97", False, "uniform")
    other = Choice(windows="whole", blend="taper")(header)
    assert other.changed == ("whole pictures", "blend taper")
    old = """
img_scale = (2048, 512)
crop_size = (512, 1024)
model = dict(test_cfg=dict(mode='whole'))
test_pipeline = [dict(type='LoadImageFromFile'), dict(type='MultiScaleFlipAug',
    img_scale=img_scale, flip=False, transforms=[dict(type='Resize', keep_ratio=True),
    dict(type='RandomFlip'), dict(type='Pad', size_divisor=32)])]
"""
    found = read_mmseg(tensors("r18"), old)
    assert found.procedure == Published("mmseg-0.x", "whole", None, "2048x512")
    assert found.crop == "1024x512"  # width first
    assert [remark for remark in found.remarks if "Pad" in remark]


def test_a_configuration_beside_the_checkpoint_is_taken_if_it_is_the_only_one(tmp_path):
    torch.save({"state_dict": tensors("r18")}, tmp_path / "iter_80000.pth")

    def procedure():
        return read(SavedNetwork(tmp_path / "iter_80000.pth")).procedure

    assert procedure() == Published("mmseg", "whole")
    (tmp_path / "notes.py").write_text("print('something else')")
    (tmp_path / "pspnet.py").write_text(config_of(cases.CASES["slide-small"]))
    assert procedure() == Published("mmseg", "97x97", "65x65", "256x80")
    (tmp_path / "other.py").write_text(config_of(cases.CASES["whole"]))
    assert procedure() == Published("mmseg", "whole")
