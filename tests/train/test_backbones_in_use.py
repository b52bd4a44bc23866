"""Every command works with a backbone that is no ResNet, psp's own or another package's."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from psp.data.shards import ShardSplit
from psp.model.weights import read_weights
from psp.runs import Run
from psp.settings.sources import resolve
from psp.train.loop import train


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "stride"), [("convnext_tiny", 8), ("patches", 1), ("patches", 8)]
)
def test_train_resume_evaluate_predict_export(journey, tmp_path, psp, plugin, backbone, stride):
    pytest.importorskip("onnxruntime")
    shards = journey.folder / "shards"
    recipe = ShardSplit(shards, "train").card.recipe
    settings = {"backbone": backbone, "steps": 3, "save_every": 2, "loss_stride": stride}
    config = resolve(recipe, settings, "test")
    calls = iter(range(1000))

    def go(name, **options):
        return train(shards, Run(tmp_path / name), config, device=torch.device("cpu"), **options)

    assert go("whole")
    assert not go("halves", stop=lambda: next(calls) >= 4)
    assert go("halves", resume=True)
    last = [read_weights(tmp_path / name / "last.safetensors")[1] for name in ("whole", "halves")]
    assert all(torch.equal(tensor, last[1][name]) for name, tensor in last[0].items())

    psp("evaluate", "whole", check=0)
    scores = json.loads((tmp_path / "whole/evaluations/val-ss-flip.json").read_text())
    assert 0 <= scores["miou"] <= 1
    pictures = journey.folder / "raw/images/val"
    psp("predict", pictures, "-m", "whole", "-o", "predicted", check=0)
    for path in pictures.iterdir():
        labels = np.asarray(Image.open(next((tmp_path / "predicted").rglob(f"{path.stem}*.png"))))
        assert labels.shape[:2] == (48, 64)
    psp("export", "whole", "o.onnx", check=0)
    _, out, _ = psp("inspect", "whole", check=0)
    assert backbone in out


def test_the_command_line_refuses_an_unknown_backbone(journey, psp):
    code, _, err = psp("train", journey.folder / "shards", "--backbone", "resnet19")
    assert code == 2 and "backbone=resnet19" in err and "resnet18" in err and "convnext_tiny" in err
    code, _, err = psp(
        "train", journey.folder / "shards", "--init", "imagenet-v2", "--set", "stem=7x7"
    )
    assert code == 2 and "--init imagenet-v2" in err and "imagenet)" in err
