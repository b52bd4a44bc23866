"""A training that starts from a model of other classes resumes exactly, and says what it took."""

import json

import pytest
import torch
from helpers.errors import error_naming
from helpers.trees import run_psp, small_card

from psp.data.shards import ShardSplit
from psp.errors import PspError
from psp.model.weights import read_header
from psp.runs import Run
from psp.train.loop import train
from psp.train.request import train_request

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def others(journey, tmp_path_factory):
    """Shards of the same scenes where boats are named ships, and there is no recipe."""
    folder = tmp_path_factory.mktemp("others")
    card = small_card().replace('"boat"', '"ship"').replace('"tiny"', '"others"')
    (folder / "card.toml").write_text(card[: card.index("[recipe]")])
    raw = journey.folder / "raw"
    run_psp("prepare", "card.toml", raw, "-o", "shards", cwd=folder, check=0)
    return folder / "shards"


def request(others, journey, **overrides):
    values = {"init": str(journey.folder / "run"), "crop": 49, "batch": 4, "steps": 4, **overrides}
    return train_request(others, overrides={"workers": 0, "save_every": 2, **values}, device="cpu")


def test_the_settings_follow_the_model_and_a_contradiction_is_refused(others, journey):
    found = request(others, journey)
    assert found.config.network.backbone == "resnet18"
    assert found.run.folder.name == "others-resnet18"
    assert request(others, journey, bins="1,2").config.network.bins == (1, 2)
    with error_naming(PspError, "resnet50", "resnet18", "--init"):
        request(others, journey, backbone="resnet50")


def test_it_resumes_bit_for_bit_without_the_model_and_its_layers_keep_their_rates(
    others, journey, tmp_path
):
    config = request(others, journey, eval_every=4).config
    said = []
    train(others, Run(tmp_path / "whole"), config, device=CPU, report=said.append)
    text = "\n".join(getattr(event, "text", "") for event in said)
    assert "ship" in text and "boat" in text
    taken = json.loads((tmp_path / "whole/config.json").read_text())["init"]
    assert taken["new"]["classes"] == ["ship"] and "car" in taken["reused"]["classes"]
    answers = iter([False, False, True])
    half = Run(tmp_path / "half")
    assert not train(others, half, config, device=CPU, stop=lambda: next(answers, True))
    stored = torch.load(max(half.checkpoints.glob("*.pt")), weights_only=True)
    factors = {group["factor"] for group in stored["optimizer"]["param_groups"]}
    assert factors == {1.0, 10.0, 20.0}  # reused; the classifiers' weights; their biases
    assert train(others, half, config, device=CPU, resume=True)
    whole = tmp_path / "whole/last.safetensors"
    assert whole.read_bytes() == half.weights("last").read_bytes()
    assert read_header(whole).classes == ShardSplit(others, "train").card.names
