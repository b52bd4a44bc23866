"""Training: it learns, resumes exactly, and refuses what it cannot do."""

import contextlib
import functools
import json
import math
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
import torchvision

from psp.data.loader import Crops
from psp.data.shards import ShardSplit
from psp.errors import PspError
from psp.evaluate.metrics import SCORES
from psp.events import Notice, Progress
from psp.model.architecture import Architecture
from psp.model.preprocessing import Preprocessing
from psp.model.pspnet import build
from psp.model.weights import Header, read_weights, save_weights
from psp.runs import Run
from psp.settings.augmentation import Augmentation
from psp.settings.config import train_config
from psp.settings.sources import resolve
from psp.train.loop import train
from psp.train.loss import Criterion
from psp.train.run_log import (
    PICTURES,
    Event,
    Step,
    Validation,
    describe,
    duration,
)
from psp.zoo.find import find_model

CPU = torch.device("cpu")


@pytest.fixture
def shards(journey):
    return journey.folder / "shards"


@pytest.fixture
def config(shards):
    recipe = ShardSplit(shards, "train").card.recipe
    return resolve(recipe, {"dropout": 0.3, "blur": 0.5, "rotate": 10.0}, "test")


def go(shards, folder, config, **options):
    events: list[Event] = []
    finished = train(shards, Run(folder), config, device=CPU, report=events.append, **options)
    return finished, events


def weights(folder):
    return read_weights(folder / "last.safetensors")[1]


def steps(folder):
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    for record in records:  # speeds differ from run to run, nothing else may
        for key in ("images_per_second", "seconds_left", "seconds"):
            record.pop(key, None)
    return records


EVERYTHING = {
    "ema": 0.9,
    "accumulate": 2,
    "ohem": 0.5,
    "class_weights": "median",
    "dice": 0.5,
    "lovasz": 0.5,
    "label_smoothing": 0.1,
    "class_crops": 0.5,
    "scale_min": 0.05,
    "loss_stride": 1,
}


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{}, EVERYTHING], ids=["plain", "everything"])
def test_a_stop_and_a_resume_end_bit_for_bit_like_an_undisturbed_run(
    shards, config, tmp_path, settings
):
    """Dropout on, crops of nothing but void, in the middle of an epoch, 0 and then 4 workers; and
    the second one draws pictures of itself."""
    config = config.changed(workers=0, **settings)
    go(shards, tmp_path / "whole", config)

    calls = iter(range(1000))

    def stop_later():
        return next(calls) >= 8  # asked several times a step and during validation

    drawn = config.changed(pictures=True)
    finished, _ = go(shards, tmp_path / "halves", drawn, stop=stop_later)
    assert not finished
    again = drawn.changed(workers=4)
    stopped_at = int(next((tmp_path / "halves/checkpoints").glob("*.pt")).stem)
    assert 0 < stopped_at < config.optimizer.steps
    finished, events = go(shards, tmp_path / "halves", again, resume=True)
    assert finished
    assert any("resumed at step" in e.text for e in events if isinstance(e, Notice))
    whole, halves = weights(tmp_path / "whole"), weights(tmp_path / "halves")
    assert whole.keys() == halves.keys()
    for name, tensor in whole.items():
        assert torch.equal(tensor, halves[name]), name
    for which in ("best", "last"):
        name = f"{which}.safetensors"
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "halves" / name).read_bytes()
    last = [r for r in steps(tmp_path / "whole") if r["event"] == "validation"]
    assert last == [r for r in steps(tmp_path / "halves") if r["event"] == "validation"]


@pytest.mark.slow
def test_a_stop_before_the_first_step_can_be_resumed(shards, config, tmp_path):
    short = config.changed(steps=2, eval_every=2)
    go(shards, tmp_path / "whole", short)
    finished, _ = go(shards, tmp_path / "run", short, stop=lambda: True)
    assert not finished
    finished, _ = go(shards, tmp_path / "run", short, resume=True)
    assert finished
    assert (tmp_path / "whole/last.safetensors").read_bytes() == (
        tmp_path / "run/last.safetensors"
    ).read_bytes()


@pytest.mark.slow
def test_a_torn_checkpoint_falls_back_and_ends_the_same(shards, config, tmp_path):
    short = config.changed(steps=3, eval_every=3, save_every=1)
    go(shards, tmp_path / "run", short)
    expected = weights(tmp_path / "run")
    newest = max((tmp_path / "run/checkpoints").glob("*.pt"))
    newest.write_bytes(newest.read_bytes()[:5000])
    _, events = go(shards, tmp_path / "run", short, resume=True)
    assert any("is damaged" in e.text for e in events if isinstance(e, Notice))
    assert all(torch.equal(t, expected[n]) for n, t in weights(tmp_path / "run").items())


def test_the_journey_run_holds_what_a_run_holds(journey):
    run = journey.folder / "run"
    names = {path.name for path in run.iterdir()}
    assert names == {
        "config.json",
        "metrics.jsonl",
        "log.txt",
        "checkpoints",
        "best.safetensors",
        "last.safetensors",
        "evaluations",
        "report.html",
        "samples",
        "curves.png",
        "confusion.png",
        "per_class.png",
    }
    pictures = {path.name for path in (run / "samples").iterdir()}
    assert pictures == {"crops.jpg", "00000003.jpg", "00000006.jpg"}
    config = json.loads((run / "config.json").read_text())
    assert config["settings"]["crop"] == 41
    assert config["data"] == str(journey.folder / "shards")
    assert "psp train shards -o run" in config["command"]
    records = steps(run)
    assert [r["step"] for r in records if r["event"] == "step"] == [2, 4, 6]
    assert [r["step"] for r in records if r["event"] == "validation"] == [3, 6]
    for record in records:
        if record["event"] == "step":
            assert record["loss"] == pytest.approx(record["main"] + 0.4 * record["aux"], rel=1e-5)
    # The rate of the last step of six, not of the end.
    assert records[-2]["lr"] == pytest.approx(0.003 * (1 / 6) ** 0.9)
    assert len((run / "log.txt").read_text().splitlines()) == 4 + 3 + 2  # notices, steps, scores
    assert sorted(p.stem for p in (run / "checkpoints").iterdir()) == ["00000003", "00000006"]
    header, _ = read_weights(run / "last.safetensors")
    assert (header.step, header.crop, header.dataset) == (6, 41, "tiny")


@pytest.mark.slow
def test_the_loss_falls_on_a_few_pictures(shards, config, tmp_path):
    still = config.changed(
        steps=16,
        scale_min=1.0,
        scale_max=1.0,
        blur=0.0,
        rotate=0.0,
        log_every=2,
        eval_every=99,
        save_every=99,
        lr=0.01,
    )
    _, events = go(shards, tmp_path / "run", still)
    losses = [event.loss for event in events if isinstance(event, Step)]
    assert losses[-1] < 0.6 * losses[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch": 1}, "batch=1.*--batch 2"),
        ({"train_split": "trian"}, "'trian'.*'train'"),
        ({"init": "nowhere.pth"}, "nowhere.pth"),
        (
            {"lr": 1e30},
            r"step \d.*00\d\d, 00\d\d.*--lr.*1e\+30",
        ),
        ({"limit": 999}, "limit=999.*'train'"),
        ({"accumulate": 4}, "accumulate=4.*--batch 8"),
        ({"freeze": "stage3"}, "freeze=stage3.*--init none"),
        ({"freeze_norm": "all"}, "freeze_norm=all.*--init none"),
    ],
)
def test_what_cannot_work_is_said(shards, config, tmp_path, change, message):
    with pytest.raises(PspError, match=message):
        go(shards, tmp_path / "run", config.changed(**change))
    if "lr" not in change:
        assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_torn_line_in_the_metrics_does_not_stop_a_resume(shards, config, tmp_path):
    short = config.changed(steps=2, eval_every=2, log_every=1, save_every=1)
    go(shards, tmp_path / "run", short, stop=iter([False] * 2 + [True] * 99).__next__)
    metrics = tmp_path / "run/metrics.jsonl"
    metrics.write_text(metrics.read_text() + '{bad\n[]\n{"event": "step", "st')
    assert go(shards, tmp_path / "run", short, resume=True)[0]
    assert [r["step"] for r in steps(tmp_path / "run") if r["event"] == "step"] == [1, 2]


@pytest.mark.slow
def test_a_run_killed_before_its_first_checkpoint_begins_again(shards, config, tmp_path):
    short = config.changed(steps=2, eval_every=1, log_every=1, save_every=2)
    run = tmp_path / "run"
    run.mkdir()
    (run / "lock").touch()
    (run / "config.json.tmp").touch()  # killed while this was written
    go(shards, run, short)
    before = {name: (run / name).read_bytes() for name in ("best.safetensors", "last.safetensors")}
    shutil.rmtree(run / "checkpoints")
    finished, events = go(shards, run, short, resume=True)
    assert finished and any("begins again" in e.text for e in events if isinstance(e, Notice))
    assert {name: (run / name).read_bytes() for name in before} == before
    assert [r["step"] for r in steps(run) if r["event"] == "step"] == [1, 2]


@pytest.mark.slow
def test_a_run_whose_checkpoints_are_gone_does_not_begin_again(shards, config, tmp_path):
    """Or a second --resume would replace the weights of days."""
    short = config.changed(steps=2, eval_every=2, log_every=1, save_every=1)
    go(shards, tmp_path / "run", short)
    shutil.rmtree(tmp_path / "run/checkpoints")
    with pytest.raises(PspError, match="checkpoints.*no checkpoint"):
        go(shards, tmp_path / "run", short, resume=True)


@pytest.mark.slow
def test_a_foreign_checkpoint_or_a_damaged_config_is_one_line(shards, config, tmp_path):
    short = config.changed(steps=2, eval_every=2)
    go(shards, tmp_path / "run", short)
    torch.save({"step": 1, "a": 1}, tmp_path / "run/checkpoints/00000009.pt")
    with pytest.raises(PspError, match="checkpoints.*Remove"):
        go(shards, tmp_path / "run", short, resume=True)
    for text in ("[]", "null", '{"settings": 3}', "{"):
        (tmp_path / "run/config.json").write_text(text)
        with pytest.raises(PspError, match="config.json"):
            go(shards, tmp_path / "run", short, resume=True)


def test_an_existing_run_is_not_overwritten(shards, config, journey):
    before = (journey.folder / "run/last.safetensors").stat().st_mtime_ns
    with pytest.raises(PspError, match="run.*--resume"):
        go(shards, journey.folder / "run", config)
    assert (journey.folder / "run/last.safetensors").stat().st_mtime_ns == before


@contextlib.contextmanager
def another_process_holds(lock):
    lock.parent.mkdir(exist_ok=True)
    program = (
        "import sys, time; from pathlib import Path; from psp.locks import file_lock\n"
        "with file_lock(Path(sys.argv[1]), Path('run')): print('here', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", program, str(lock)], stdout=subprocess.PIPE)
    try:
        assert holder.stdout.readline()
        yield holder.pid
    finally:
        holder.kill()
        holder.wait()


@pytest.mark.slow
def test_a_run_that_is_being_trained_is_left_to_its_process(shards, config, tmp_path):
    short = config.changed(steps=2, eval_every=2, save_every=1)
    go(shards, tmp_path / "run", short, stop=iter([False, True, True]).__next__)
    with another_process_holds(tmp_path / "run/lock") as pid:
        with pytest.raises(PspError, match=f"run.*{pid}"):
            go(shards, tmp_path / "run", short, resume=True)
    assert go(shards, tmp_path / "run", short, resume=True)[0]  # killed, it holds nothing
    assert not (tmp_path / "run/lock").exists()


def test_a_new_run_that_another_process_begins_is_left_untouched(shards, config, tmp_path):
    """Nothing is written before the lock is held: not a byte of the other's run changes."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run/config.json").write_text("of the other")
    with another_process_holds(tmp_path / "run/lock") as pid:
        with pytest.raises(PspError, match=f"run.*{pid}"):
            go(shards, tmp_path / "run", config)
    assert (tmp_path / "run/config.json").read_text() == "of the other"


def test_frozen_statistics_must_be_of_something(shards, config, tmp_path):
    """ImageNet's weights have none for the head."""
    source = tmp_path / "resnet18.pth"
    torch.save(torchvision.models.resnet18().state_dict(), source)
    frozen = config.changed(init=str(source), freeze_norm="all")
    with pytest.raises(PspError, match="freeze_norm=all.*freeze_norm=backbone"):
        go(shards, tmp_path / "run", frozen)


def test_resume_refuses_other_settings_and_other_data(journey, shards, config, tmp_path):
    run = Run(journey.folder / "run")
    same = run.training_config()
    with pytest.raises(PspError, match="lr: 0.003 -> 0.5"):
        go(shards, run.folder, same.changed(lr=0.5), resume=True)
    other = tmp_path / "other"
    shutil.copytree(shards, other)
    manifest = json.loads((other / "manifest.json").read_text())
    (other / "manifest.json").write_text(json.dumps(manifest))  # the same data, other bytes
    with pytest.raises(PspError, match="shards.*-o"):
        go(other, run.folder, same, resume=True)
    with pytest.raises(PspError, match="config.json"):
        go(shards, journey.folder / "nowhere", config, resume=True)


@pytest.mark.slow
def test_a_finished_run_stays_as_it_is(journey, shards, tmp_path):
    """A job that is started again and again ends well."""
    shutil.copytree(journey.folder / "run", tmp_path / "run")
    run = Run(tmp_path / "run")
    names = ["best.safetensors", "last.safetensors", "metrics.jsonl", "config.json"]
    before = [(run.folder / name).read_bytes() for name in names]
    finished, events = go(shards, run.folder, run.training_config(), resume=True)
    assert finished
    assert Notice("nothing to do: finished at step 6") in events
    assert [(run.folder / name).read_bytes() for name in names] == before


@pytest.mark.slow
def test_a_compiled_network_learns_the_same(shards, config, tmp_path, monkeypatch):
    """Traced as torch.compile traces it; torch's own way of running what was traced, as the
    compiler behind it takes half a minute."""
    traced = functools.partial(torch.compile, backend="aot_eager", fullgraph=True)
    plain = config.changed(steps=2, eval_every=2, log_every=1, dropout=0.0)
    go(shards, tmp_path / "plain", plain)
    monkeypatch.setattr(torch, "compile", traced)
    go(shards, tmp_path / "compiled", plain.changed(compile=True))
    one, other = (
        [record["loss"] for record in steps(tmp_path / name) if record["event"] == "step"]
        for name in ("plain", "compiled")
    )
    assert len(one) == 2 and one == pytest.approx(other, rel=1e-4)


def test_without_a_compiler_that_is_said(shards, config, tmp_path, monkeypatch):
    def fails(*_, **__):
        raise RuntimeError("backend='inductor' raised:\nNoCompiler: none found")

    monkeypatch.setattr(torch, "compile", lambda *_, **__: fails)
    with pytest.raises(PspError, match="torch.compile.*NoCompiler"):
        go(shards, tmp_path / "run", config.changed(compile=True))
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_one_pixel_of_nothing_but_void_is_not_nan(shards, config, tmp_path):
    """Crops far larger than the pictures: nearly every label is void, in some crops all are."""
    wide = config.changed(crop=137, steps=2, scale_min=0.05, scale_max=0.06, eval_every=9)
    finished, events = go(shards, tmp_path / "run", wide)
    assert finished
    assert all(event.loss < 100 for event in events if isinstance(event, Step))


def test_events_as_lines():
    scores = {"miou": 0.5, "mean_accuracy": 0.6, "pixel_accuracy": 0.7, "another": 0.8}
    assert describe(Validation(7, scores, True, 65)) == (
        "step 7: mIoU 50.00, mean accuracy 60.00, pixel accuracy 70.00, the best so far (1m05s)"
    )
    assert [duration(s) for s in (3.4, 59.6, 3599, 7260)] == ["3s", "1m00s", "59m59s", "2h01m"]


def test_a_run_without_weights_yet_says_how_to_get_them(tmp_path):
    folder = tmp_path / "runs/x"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"settings": {}, "data": "x", "data_fingerprint": "y"}')
    with pytest.raises(PspError, match="best.safetensors.*psp train x -o .*--resume"):
        find_model(folder)
    with pytest.raises(PspError, match="'x'.*psp models"):
        find_model(tmp_path / "runs/xx")


def test_default_settings_build_the_papers_network():
    from psp.train.start import architecture_of

    spec = architecture_of(train_config(stem="deep"), 150)
    assert (spec.backbone, spec.bins, spec.aux, spec.dropout) == (
        "resnet50",
        (1, 2, 3, 6),
        True,
        0.1,
    )


@pytest.mark.slow
def test_a_run_takes_details_and_preprocessing_from_the_model_it_starts_from(
    shards, config, tmp_path
):
    """Tensors of the same shapes mean something else without: BGR means, half dilations, ..."""
    card = ShardSplit(shards, "train").card
    spec = Architecture(
        classes=9,
        backbone="resnet18",
        stem=config.network.stem,
        first_dilation="half",
        basic_dilation="first",
        level_width=64,
        head_width=128,
        aux_width=32,
        align_corners=False,
    )
    caffe = Preprocessing(mean=(123.68, 116.779, 103.939), std=(1.0, 1.0, 1.0))
    header = Header(
        architecture=spec,
        classes=card.names,
        palette=card.palette,
        dataset="d",
        data="",
        crop=41,
        base_size=None,
        step=0,
        preprocessing=caffe,
    )
    source = tmp_path / "model.safetensors"
    save_weights(source, build(spec).state_dict(), header)
    short = config.changed(init=str(source), steps=4, eval_every=4, save_every=2)
    assert go(shards, tmp_path / "whole", short)[0]
    whole = read_weights(tmp_path / "whole/last.safetensors")
    assert whole[0].preprocessing == caffe
    given = ("dropout", "dropout_kind", "norm_momentum")
    kept = replace(spec, **{name: getattr(config.network, name) for name in given})
    assert whole[0].architecture == kept
    answers = iter([False, False, True] + [True] * 9)
    assert not go(shards, tmp_path / "parts", short, stop=lambda: next(answers))[0]
    source.unlink()  # what a resumed run needs is in its checkpoint
    assert go(shards, tmp_path / "parts", short, resume=True)[0]
    parts = read_weights(tmp_path / "parts/last.safetensors")
    assert parts[0] == whole[0]
    assert all(torch.equal(tensor, parts[1][name]) for name, tensor in whole[1].items())


@pytest.mark.slow
def test_a_step_in_parts_is_the_step_of_the_whole_batch(shards, config, tmp_path):
    """With fixed batch norms, which would otherwise see one part; dropout off."""
    source = tmp_path / "start"
    assert go(shards, source, config.changed(steps=1, eval_every=1))[0]
    fixed = config.changed(
        init=str(source / "last.safetensors"),
        freeze_norm="all",
        dropout=0.0,
        steps=3,
        eval_every=3,
        log_every=1,
        lr=0.001,
    )
    found = {}
    for parts in (1, 2, 4):
        _, events = go(shards, tmp_path / str(parts), fixed.changed(accumulate=parts))
        found[parts] = [event.loss for event in events if isinstance(event, Step)]
        assert len(found[parts]) == 3
    assert found[2] == pytest.approx(found[1], rel=1e-5)
    assert found[4] == pytest.approx(found[1], rel=1e-5)


@pytest.mark.slow
def test_averaged_weights_are_what_is_validated_and_kept(shards, config, tmp_path):
    averaged = config.changed(ema=0.99, steps=4, eval_every=4)
    go(shards, tmp_path / "run", averaged)
    state = torch.load(tmp_path / "run/checkpoints/00000004.pt", weights_only=True)
    kept = weights(tmp_path / "run")
    moved = 0
    for name, value in state["average"].items():
        assert torch.equal(kept[name], value), name
        moved += not torch.equal(value, state["network"][name])
    assert moved > 50


@pytest.mark.slow
def test_limit_trains_and_validates_on_the_same_few_pictures(shards, config, tmp_path):
    few = config.changed(limit=2, steps=2, eval_every=2)
    _, events = go(shards, tmp_path / "run", few)
    said = " ".join(event.text for event in events if isinstance(event, Notice))
    assert "2 pictures to train on, 2 to validate on, the same ones: an overfit check" in said
    validating = [event for event in events if getattr(event, "unit", "") == PICTURES]
    assert validating == [Progress(1, 2, PICTURES), Progress(2, 2, PICTURES)]


@pytest.mark.slow
def test_a_batch_that_makes_the_loss_infinite_is_named(shards, config, tmp_path, monkeypatch):
    """At a step between two log lines: the step and its pictures, not the line's."""
    step, calls = Criterion.__call__, iter(range(100))

    def spoiled(self, logits, labels, weights=None):
        losses = step(self, logits, labels, weights)
        return losses._replace(total=losses.total * math.nan) if next(calls) == 1 else losses

    monkeypatch.setattr(Criterion, "__call__", spoiled)
    crops = Crops(ShardSplit(shards, "train"), Augmentation(crop=41), config.run.seed)
    names = ", ".join(crops.names(range(config.optimizer.batch, 2 * config.optimizer.batch)))
    with pytest.raises(PspError, match=f"nan.*step 2.*{names}.*--lr"):
        go(shards, tmp_path / "run", config.changed(log_every=5, save_every=5, eval_every=9))
    assert not list(tmp_path.glob("run/checkpoints/*"))  # nothing infinite is kept


@pytest.mark.slow
def test_deterministic_asks_torch_for_it_and_leaves_no_trace(shards, config, tmp_path, monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    seen = []

    def look():
        seen.append(torch.are_deterministic_algorithms_enabled())
        return False

    strict = config.changed(steps=2, eval_every=2, deterministic=True)
    for name in ("one", "two"):
        go(shards, tmp_path / name, strict, stop=look)
    assert all(seen) and not torch.are_deterministic_algorithms_enabled()
    one, two = ((tmp_path / n / "last.safetensors").read_bytes() for n in ("one", "two"))
    assert one == two


@pytest.mark.slow
def test_curves_for_tensorboard(shards, config, tmp_path):
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    change = config.changed(tensorboard=True, steps=2, eval_every=2, dice=0.5)
    _, events = go(shards, tmp_path / "run", change)
    curves = reader.EventAccumulator(str(tmp_path / "run/tensorboard"))
    curves.Reload()
    records = steps(tmp_path / "run")
    for name, curve in {"loss": "total", "main": "main", "aux": "aux", "dice": "dice"}.items():
        logged = {r["step"]: r[name] for r in records if r["event"] == "step"}
        found = {event.step: event.value for event in curves.Scalars(f"loss/{curve}")}
        assert found == pytest.approx(logged)
    scores = records[-1]
    for score in SCORES:
        if score.key in scores:
            (point,) = curves.Scalars(f"validation/{score.title}")
            assert point.value == pytest.approx(scores[score.key])
    assert "mean_f1" in scores and "boundary_f" not in scores
    last = [event for event in events if isinstance(event, Step)][-1]
    assert last.loss == pytest.approx(
        last.terms["main"] + 0.4 * last.terms["aux"] + 0.5 * last.terms["dice"], rel=1e-5
    )
    assert f"dice {last.terms['dice']:.4f}" in describe(last)


def test_without_tensorboard_its_extra_is_named(shards, config, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(PspError, match="tensorboard=true"):
        go(shards, tmp_path / "run", config.changed(tensorboard=True))
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_other_threads_than_before_are_said(shards, config, tmp_path):
    short = config.changed(steps=2, eval_every=2, save_every=1)
    go(shards, tmp_path / "run", short, stop=iter([False, True, True]).__next__)
    path = tmp_path / "run/config.json"
    threads = torch.get_num_threads()
    path.write_text(path.read_text().replace(f'"threads": {threads}', f'"threads": {threads + 1}'))
    _, events = go(shards, tmp_path / "run", short, resume=True)
    said = [event.text for event in events if isinstance(event, Notice)]
    assert any(f"For the same bits: OMP_NUM_THREADS={threads + 1}" in text for text in said)
