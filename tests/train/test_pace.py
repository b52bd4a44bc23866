"""How many steps a training has, and how often it validates, where the settings leave it open."""

import json
from functools import partial

import pytest
import torch
from helpers.errors import error_naming
from helpers.trees import run_psp, small_card

from psp.errors import PspError
from psp.events import Notice
from psp.run_state import FINISHED, run_state
from psp.runs import Run
from psp.settings.optimizer import OptimizerSettings
from psp.train import pace
from psp.train.from_data import largest_crop, shared_batch, steps_for
from psp.train.loop import train
from psp.train.pace import interval, worth
from psp.train.request import train_request
from psp.train.run_log import Meter, Step, Validation

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def plain(journey, tmp_path_factory):
    """The journey's scenes under a card without a recipe."""
    folder = tmp_path_factory.mktemp("plain")
    card = small_card().replace('"tiny"', '"plain"')
    (folder / "card.toml").write_text(card[: card.index("[recipe]")])
    run_psp("prepare", "card.toml", journey.folder / "raw", "-o", "shards", cwd=folder, check=0)
    return folder / "shards"


def go(request, folder, **options):
    events = []
    finished = train(
        request.shards,
        Run(folder),
        request.config,
        device=CPU,
        sources=request.sources,
        report=events.append,
        **options,
    )
    return finished, events


def test_validations_take_a_fifth_of_the_time_at_most_or_there_is_one():
    for steps in (1, 7, 60, 1000, 30_000):
        for cost in (0.1, 3.0, 50.0, 1e4):
            times = worth(steps, cost)
            assert 1 <= times <= 10
            assert times == 1 or times * cost <= 0.2 * (steps + times * cost) + 1e-9
            every = interval(steps, times)
            done = [step for step in range(1, steps + 1) if step % every == 0 or step == steps]
            assert len(done) <= times or times == 10
    assert interval(30_000, worth(30_000, 60)) == 3000  # VOC 2012 with the paper's recipe


def test_the_time_that_is_left_includes_the_validations_still_to_come():
    settings = OptimizerSettings(steps=100, batch=2)
    meter = Meter(settings, lambda step: [], lambda rows: [[1.0, 1.0]], ["main"], 30, 1e6)
    meter.add(torch.ones(1))
    first = meter.report(30, 0.1)  # the validations of 30, 60, 90 and 100, by the estimate
    seconds = settings.batch / first.images_per_second
    assert first.seconds_left == pytest.approx(70 * seconds + 4 * 1e6 * seconds)
    meter.validation = 5.0  # as measured
    meter.add(torch.ones(1))
    last = meter.report(100, 0.1)
    assert last.seconds_left == 5.0


def test_a_recipe_is_found_in_steps_that_can_be_told_in_advance():
    assert [largest_crop(short, 473) for short in (20, 48, 96, 360, 2000)] == [41, 41, 89, 329, 473]
    assert largest_crop(2000, 233) == 233
    assert [shared_batch(8, ranks) for ranks in (1, 3, 4, 16)] == [8, 9, 8, 16]
    assert steps_for(60, 8, 500, 4000) == 500
    assert steps_for(200, 8, 500, 4000) == 1300
    assert steps_for(9000, 8, 500, 4000) == 4000


def test_a_card_without_a_recipe_gets_one_and_the_users_settings_win(plain, journey):
    found = train_request(plain, overrides={}, device="cpu")
    config = found.config
    assert (config.network.backbone, config.augmentation.crop) == ("resnet18", 41)
    assert (config.optimizer.batch, config.optimizer.steps) == (8, 500)
    assert "12 pictures" in found.sources["steps"] and "cpu" in found.sources["backbone"]
    mine = train_request(plain, overrides={"crop": 89, "steps": 7}, device="cpu")
    assert (mine.config.augmentation.crop, mine.config.optimizer.steps) == (89, 7)
    assert not {"crop", "steps"} & mine.sources.keys()
    with_recipe = train_request(journey.folder / "shards", overrides={})
    assert not with_recipe.sources and with_recipe.config.optimizer.steps == 6
    with error_naming(PspError, "--steps", "--hours"):
        train_request(plain, overrides={"hours": 1, "steps": 7}, device="cpu")


def test_hours_become_steps_and_the_command_in_config_json_repeats_the_run(
    plain, tmp_path, monkeypatch
):
    """Timing leaves no trace: not in weights, averages, momentum or random numbers.

    Step and validation are timed in earnest, but then said to take 100 s, on any machine.
    """
    for timed in (pace.seconds_a_step, pace.seconds_a_validation):
        slow = partial(lambda timed, state: 100 if timed(state) else 0, timed)
        monkeypatch.setattr(pace, timed.__name__, slow)
    monkeypatch.setattr(pace, "TIMED", 2)
    more = {"init": "none", "workers": 0, "ema": 0.9, "hours": 0.14, "crop": 41, "batch": 2}
    request = train_request(plain, overrides=more, device="cpu")
    finished, events = go(request, tmp_path / "timed")
    assert finished
    config = json.loads((tmp_path / "timed/config.json").read_text())
    assert 3 <= config["settings"]["steps"] <= 4  # of 504 s less a validation
    assert "0.14" in config["sources"]["steps"]
    assert any(config["repeat"] in event.text for event in events if isinstance(event, Notice))
    command = config["repeat"].split()[1:]
    assert "--hours" not in command
    run_psp(*command, "-o", tmp_path / "again", cwd=tmp_path, check=0)
    for name in ("best.safetensors", "last.safetensors"):
        again = (tmp_path / "again" / name).read_bytes()
        assert (tmp_path / "timed" / name).read_bytes() == again
    with error_naming(PspError, "--hours 0.01", "hours"):
        go(train_request(plain, overrides={**more, "hours": 0.01}), tmp_path / "no")


def test_patience_ends_a_run_that_is_then_finished_and_resumes_exactly(plain, tmp_path):
    """Without learning, the first validation remains the best."""
    more = {"init": "none", "workers": 0, "lr": 0, "steps": 9, "eval_every": 1, "patience": 2}
    more |= {"batch": 2, "save_every": 1, "freeze_norm": "none"}
    request = train_request(
        plain, overrides={**more, "lr": 1e-12, "norm_momentum": 0}, device="cpu"
    )
    finished, events = go(request, tmp_path / "run")
    assert finished
    assert [event.step for event in events if isinstance(event, Validation)] == [1, 2, 3]
    assert any("step 3 of 9" in event.text for event in events if isinstance(event, Notice))
    assert all(event.lr > 0.6e-12 for event in events if isinstance(event, Step))  # poly of nine
    assert run_state(Run(tmp_path / "run")).state == FINISHED
    finished, events = go(request, tmp_path / "run", resume=True)
    assert finished and not [event for event in events if isinstance(event, Validation)]
    answers = iter([False, False, True])
    assert not go(request, tmp_path / "half", stop=lambda: next(answers, True))[0]
    assert run_state(Run(tmp_path / "half")).state != FINISHED
    finished, events = go(request, tmp_path / "half", resume=True)
    assert finished
    assert [event.step for event in events if isinstance(event, Validation)][-1] == 3
    last = [(tmp_path / name / "last.safetensors").read_bytes() for name in ("run", "half")]
    assert last[0] == last[1]
