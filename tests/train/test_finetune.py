"""A training that starts from a model of other classes resumes exactly, and says what it took."""

import json

import pytest
import torch
from helpers.errors import error_naming
from helpers.ranks import ends, forked
from helpers.trees import run_psp, small_card

from psp.data.shards import ShardSplit
from psp.errors import PspError
from psp.model.weights import read_header, read_weights
from psp.runs import Run
from psp.train.advice import repeat_command
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


def test_a_trained_network_learns_at_a_lower_rate_unless_another_is_given(others, journey):
    found = request(others, journey)
    assert found.config.optimizer.lr == 0.003 and "model" in found.sources["lr"]
    data = ShardSplit(others, "train")
    for given in ({}, {"lr": 0.01}):  # the command that repeats the run says either
        chosen = request(others, journey, **given)
        rate = f"--lr {chosen.config.optimizer.lr}"
        assert rate in repeat_command(data, chosen.config, "cpu")
    assert chosen.config.optimizer.lr == 0.01 and "lr" not in chosen.sources
    assert request(others, journey, init="none").config.optimizer.lr == 0.01
    model = {"init": str(journey.folder / "run")}
    with_recipe = train_request(journey.folder / "shards", overrides=model)
    assert "lr" not in with_recipe.sources  # a recipe has decided


@pytest.mark.ranks
@pytest.mark.slow
def test_two_ranks_begin_and_learn_as_one_process_does(
    others, journey, tmp_path, psp, warm, one_thread
):
    """Rows for ships are drawn at random: every rank has those of the first."""
    options = ["--init", journey.folder / "run", "--crop", 49, "--batch", 4, "--steps", 4]
    calm = ["--device", "cpu", "--lr", "0.00003", "--quiet"]
    for text in ("dropout=0", "log_every=1", "save_every=99", "eval_every=4", "workers=0"):
        calm += ["--set", text]
    command = [*map(str, ("train", others, *options, *calm)), "-o"]
    psp(*command, "one", cwd=tmp_path, check=0)
    ends(forked(warm, 2, *command, "two", cwd=tmp_path), check=0)
    logged, finals = [], []
    for name in ("one", "two"):
        lines = (tmp_path / name / "metrics.jsonl").read_text().splitlines()
        logged.append([e["loss"] for e in map(json.loads, lines) if e["event"] == "step"])
        finals.append(read_weights(tmp_path / name / "last.safetensors")[1])
    assert len(logged[0]) == 4 and logged[1] == pytest.approx(logged[0], rel=2e-4)
    one, two = (end["head.classifier.weight"].double() for end in finals)
    start = read_weights(journey.folder / "run/best.safetensors")[1]["head.classifier.weight"]
    moved = one - start.double()
    fresh = ShardSplit(others, "train").card.names.index("ship")
    moved[fresh] = 0
    assert (one - two).norm() < 0.02 * moved.norm()
    records = [json.loads((tmp_path / n / "config.json").read_text()) for n in ("one", "two")]
    assert records[0]["init"] == records[1]["init"] and records[1]["ranks"] == 2


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
