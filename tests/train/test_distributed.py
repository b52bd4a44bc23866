"""Training on several ranks: what one process computes, stopped, resumed and killed together.

Real processes under torchrun, on the CPU. What runs on GPUs alone (NCCL) is not seen here.
"""

import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest
import torch
from helpers.ranks import (
    ENV,
    begin,
    ends,
    forked,
    launched,
    port,
    rank_process,
    run,
    torchrun,
    wait_for,
)

from psp.data.loader import Crops, batches
from psp.data.shards import ShardSplit
from psp.errors import PspError
from psp.model.weights import read_weights
from psp.ranks import Share, launch_name
from psp.runs import Run
from psp.settings.augmentation import Augmentation
from psp.settings.config import SETTINGS, train_config
from psp.settings.loss import LossSettings
from psp.settings.sources import resolve
from psp.train.checks import check_batch, check_compile
from psp.train.loop import train
from psp.train.loss import Criterion
from psp.train.step import step_seed

# Little steps: rounding errors grow tenfold in a few steps of a network that learns fast.
CALM = [
    "--device",
    "cpu",
    "--lr",
    "0.00003",
    "--set",
    "dropout=0",
    "--set",
    "log_every=1",
    "--set",
    "save_every=99",
]


# Most weights are not learned, and do not travel.
LIGHT = ["--set", "freeze=stage5"]


def losses(folder):
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [record["loss"] for record in records if record["event"] == "step"]


def logged(folder):
    """Return how many steps a run has logged so far."""
    path = folder / "metrics.jsonl"
    return path.read_text().count('"event": "step"') if path.exists() else 0


def weights(folder, which="last"):
    return read_weights(folder / f"{which}.safetensors")[1]


def distance(one, other):
    pairs = [(one[name].double(), other[name].double()) for name in one]
    return sum(float((a - b).square().sum()) for a, b in pairs) ** 0.5


@pytest.fixture
def place(journey, tmp_path):
    (tmp_path / "shards").symlink_to(journey.folder / "shards")
    (tmp_path / "start").symlink_to(journey.folder / "run/last.safetensors")
    return tmp_path


@pytest.mark.ranks
@pytest.mark.slow
def test_two_and_four_ranks_learn_what_one_process_learns(place, psp, warm, one_thread):
    """Five steps with class weights and an average, void spread unevenly over the ranks.

    Four ranks learn the head alone, which spares two cores most of the work.
    """
    options = [
        *CALM,
        "--steps",
        5,
        "--batch",
        8,
        "--set",
        "scale_min=0.3",
        "--set",
        "eval_every=5",
        "--set",
        "class_weights=median",
        "--set",
        "dice=0.5",
        "--set",
        "lovasz=0.5",
        "--set",
        "label_smoothing=0.1",
        "--set",
        "class_crops=0.5",
        "--set",
        "ema=0.9",
        "--set",
        "accumulate=auto",
    ]
    light = [*options, *LIGHT, "--init", "start"]
    for ranks, chosen in ((2, options), (4, light)):
        name = f"1-of-{ranks}"
        psp("train", "shards", "-o", name, *chosen, cwd=place, check=0)
        ends(forked(warm, ranks, "train", "shards", "-o", ranks, *chosen, cwd=place), check=0)
    config = Run(place / "1-of-2").training_config()
    assert uneven(place / "shards", config)
    train(place / "shards", Run(place / "0"), config, device=torch.device("cpu"), stop=lambda: True)
    first = torch.load(place / "0/checkpoints/00000000.pt", weights_only=True)["average"]
    for ranks, start in (("2", first), ("4", read_weights(place / "start")[1])):
        expected = losses(place / f"1-of-{ranks}")
        assert losses(place / ranks) == pytest.approx(expected, rel=2e-4)
        one, other = weights(place / f"1-of-{ranks}"), weights(place / ranks)
        assert one.keys() == other.keys()
        assert distance(one, other) < 0.02 * distance(one, start)
        assert json.loads((place / ranks / "config.json").read_text())["ranks"] == int(ranks)
        assert not list((place / ranks).rglob("*.tmp"))


def uneven(shards, config):
    """Whether the parts of two ranks hold different numbers of valid pixels, and by how much."""
    spec = config.augmentation
    crops = Crops(ShardSplit(shards, "train"), spec, config.run.seed)
    criterion = Criterion(LossSettings(loss_stride=1), align_corners=True)
    found = []
    for _, labels in batches(crops, config.optimizer.batch, range(20), 0, pin=False):
        one, two = (float(criterion.total_weights(part)[0]) for part in labels.chunk(2))
        found.append(abs(one - two) / (one + two))
    print(found)
    return sum(found) / len(found) > 0.05 and max(found) > 0.1


@pytest.mark.parametrize("accumulate", [1, 2])
def test_ranks_share_the_stream_of_one_process(journey, accumulate):
    crops = Crops(ShardSplit(journey.folder / "shards", "train"), Augmentation(crop=41), 3)
    steps = range(2 * accumulate, 5 * accumulate)
    whole = list(batches(crops, 8 // accumulate, steps, 0, pin=False))
    parts = [
        list(batches(crops, 8 // accumulate, steps, rank % 2, pin=False, share=Share(rank + 1, 4)))
        for rank in range(4)
    ]
    for number, (images, labels) in enumerate(whole):
        assert torch.equal(images, torch.cat([part[number][0] for part in parts]))
        assert torch.equal(labels, torch.cat([part[number][1] for part in parts]))


@pytest.mark.ranks
@pytest.mark.slow
def test_batch_norm_over_ranks_is_that_of_the_whole_batch(tmp_path):
    run(torchrun(3, Path(__file__).parents[1] / "helpers/syncbn_script.py"), tmp_path, check=0)


def test_dropout_differs_by_rank_and_that_of_the_first_is_one_processes():
    import numpy as np

    plain = int(np.random.SeedSequence([7, 3]).generate_state(1)[0])
    assert step_seed(7, 3, 0) == plain
    assert len({step_seed(7, step, rank) for step in range(9) for rank in range(9)}) == 81


@pytest.mark.ranks
@pytest.mark.slow
def test_a_batch_that_ranks_cannot_share_is_said_once(place, journey):
    config = resolve(ShardSplit(place / "shards", "train").card.recipe, {}, "test")
    check_batch(config, 4)
    with pytest.raises(PspError, match="batch=4.*3 or 6"):
        check_batch(config, 3)
    with pytest.raises(PspError, match="batch=16.*accumulate=2.*12 or 18"):
        check_batch(config.changed(batch=16, accumulate=2), 3)
    done = run(launched(3, "train", "shards", "-o", "run", "--device", "cpu"), place, check=2)
    assert done.stderr.count("\n") == 1 and "batch=4" in done.stderr and "3 or 6" in done.stderr
    assert not (place / "run").exists()


def test_several_ranks_are_not_compiled():
    check_compile(train_config(compile=True), 1)
    with pytest.raises(PspError, match="compile=true.*2"):
        check_compile(train_config(compile=True), 2)


def test_more_gpus_than_there_are_is_one_line(psp, place, monkeypatch):
    code, _, err = psp("train", "shards", "--gpus", 4096, cwd=place)
    count = torch.cuda.device_count()
    assert code == 2 and f"--gpus 4096: torch sees {count} CUDA" in err and "psp doctor" in err
    assert psp("train", "shards", "--gpus", 2, "--device", "cpu", cwd=place)[0] == 2
    for name, value in {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "1"}.items():
        monkeypatch.setenv(name, value)
    err = psp("train", "shards", "--gpus", 2, cwd=place, check=2)[2]
    assert "--gpus 2" in err and "Leave --gpus out" in err and err.count("\n") == 1
    assert not (place / "runs").exists()


@pytest.mark.ranks
@pytest.mark.slow
def test_a_stop_of_one_rank_stops_all_and_any_number_goes_on(place, psp, warm, one_thread):
    """2 ranks, stopped by a signal to the second; then one process, stopped; then 2 again."""
    options = [
        *CALM,
        *LIGHT,
        "--init",
        "start",
        "--steps",
        20,
        "--set",
        "eval_every=20",
        "--batch",
        4,
    ]
    again = ["train", "shards", "-o", "run", "--resume"]
    psp("train", "shards", "-o", "whole", *options, cwd=place, check=0)
    first = begin(torchrun(2, "train", "shards", "-o", "run", *options), place)
    wait_for(lambda: logged(place / "run") >= 2, first)
    os.kill(rank_process(first.pid, 1), signal.SIGTERM)
    said = first.communicate(timeout=100)[0]
    assert said.count("stopped; the checkpoint is written") == 1, said
    reached = max(int(path.stem) for path in (place / "run/checkpoints").iterdir())
    assert logged(place / "run") == reached < 20 - 5

    stops = iter([False] * 5)
    config = Run(place / "run").training_config()
    events = []
    assert not train(
        place / "shards",
        Run(place / "run"),
        config,
        device=torch.device("cpu"),
        resume=True,
        stop=lambda: next(stops, True),
        report=events.append,
    )
    assert any("it began on 2 ranks and continues on 1" in getattr(e, "text", "") for e in events)
    last = ends(forked(warm, 2, *again, "--device", "cpu", cwd=place), check=0)[0]
    assert f"resumed at step {reached + 5} of 20" in last.err
    assert losses(place / "run") == pytest.approx(losses(place / "whole"), rel=3e-3)


@pytest.mark.ranks
@pytest.mark.slow
def test_a_killed_rank_is_replaced_and_the_end_is_the_same(place, warm):
    """Two ranks, dropout on, one gets SIGKILL; both start again and find their run."""
    options = [
        *LIGHT,
        "--init",
        "../start",
        "--device",
        "cpu",
        "--steps",
        9,
        "--set",
        "eval_every=9",
        "--set",
        "save_every=3",
        "--set",
        "log_every=1",
    ]
    (place / "calm").mkdir()
    (place / "killed").mkdir()
    ends(forked(warm, 2, "train", "../shards", *options, cwd=place / "calm"), check=0)
    work = begin(torchrun(2, "train", "../shards", *options, restarts=1), place / "killed")
    name = "runs/tiny-resnet18"
    wait_for(lambda: logged(place / "killed" / name) >= 4, work)
    os.kill(rank_process(work.pid, 1), signal.SIGKILL)
    said = work.communicate(timeout=250)[0]
    assert work.returncode == 0, said
    assert "resumed at step" in (place / "killed" / name / "log.txt").read_text()
    assert [path.name for path in (place / "killed/runs").iterdir()] == ["tiny-resnet18"]
    for which in ("best", "last"):
        one, other = (weights(place / kind / name, which) for kind in ("calm", "killed"))
        assert all(torch.equal(one[key], other[key]) for key in one)
    assert losses(place / "calm" / name) == losses(place / "killed" / name)


@pytest.mark.ranks
@pytest.mark.slow
def test_a_restart_before_the_first_checkpoint_begins_again_in_its_folder(psp, place, monkeypatch):
    """And takes no other run, neither a finished one nor one of another call, for its own."""
    options = ["train", "shards", "--steps", 2, "--set", "eval_every=2", "-q"]
    psp(*options, cwd=place, check=0)  # runs/tiny-resnet18, not of torchrun
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "call-7")
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "0")
    psp(*options, cwd=place, check=0)
    own = place / "runs/tiny-resnet18-2"
    expected = weights(own)
    for path in own.glob("checkpoints/*.pt"):
        path.unlink()
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    psp(*options, cwd=place, check=0)
    assert not (place / "runs/tiny-resnet18-3").exists()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in weights(own).items())
    assert len(losses(own)) == 1
    err = psp(*options, "-o", "runs/tiny-resnet18", cwd=place, check=2)[2]
    assert "exists already" in err
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    assert str(os.getppid()) in launch_name()


@pytest.mark.ranks
@pytest.mark.slow
def test_the_error_of_one_rank_ends_all_with_its_words(place, journey):
    """A picture is damaged; the rank whose turn it is says so, and exit code 2 is everybody's."""
    shutil.copytree(journey.folder / "shards", place / "hurt")
    split = ShardSplit(place / "hurt", "train")
    victim = Crops(split, Augmentation(crop=41), 0).index(
        3
    )  # of the second rank's in the first step
    start, length = map(int, split._image[victim])
    data = bytearray(split.paths[0].read_bytes())
    data[start + length // 2] ^= 1
    split.paths[0].write_bytes(data)
    begun = time.monotonic()
    done = run(launched(2, "train", "hurt", "-o", "run", "--device", "cpu"), place, check=2)
    assert time.monotonic() - begun < 100
    errors = [line for line in done.stderr.splitlines() if line.startswith("error")]
    assert len(errors) == 1 and "rank 1: " in errors[0], done.stderr
    assert f"sample '{split.names[victim]}': the image's bytes are damaged" in errors[0]


@pytest.mark.ranks
@pytest.mark.slow
@pytest.mark.parametrize("spoil", ["finite", "memory"])
def test_what_runs_away_or_does_not_fit_is_said_once(place, spoil):
    """The second rank alone runs out of memory; weights run away on all."""
    script = place / "spoilt.py"
    script.write_text(
        "import os, torch\n"
        "from psp.cli import main\n"
        "from psp.model import pspnet\n"
        "forward = pspnet.PSPNet.forward\n"
        "def limited(self, images):\n"
        "    if self.training and images.shape[0] * images.shape[2] ** 2 > 2 * 137**2:\n"
        "        raise torch.OutOfMemoryError('CUDA out of memory.')\n"
        "    return forward(self, images)\n"
        "if os.environ['RANK'] == '1':\n"
        "    pspnet.PSPNet.forward = limited\n"
        "main()\n"
    )
    options = {"finite": ["--lr", "1e30"], "memory": ["--crop", "137", "--batch", "8"]}[spoil]
    command = torchrun(2, script, "train", "shards", "-o", "run", "--device", "cpu", *options)
    done = run(command, place, check=1)  # torchrun's own code for ranks that failed
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    expected = {
        "finite": "at step 2 (pictures: ",
        "memory": "error: rank 1: out of memory on cpu with 4 pictures of 137. Use --batch "
        "auto (accumulate: the same batch, computed in parts that fit); or --batch 4; or a --crop "
        "below 137",
    }
    assert len(errors) == 1 and expected[spoil] in errors[0], done.stderr
    assert not list(place.glob("run/checkpoints/*"))
    assert "exitcode  : 2" in done.stderr and "exitcode  : 1 " not in done.stderr


HOOK = """
import os, time
from psp.cli import main
from psp.evaluate.count import PredictedSample
confusion = PredictedSample.confusion
def slow(self, classes):
    open(f"at-{os.environ['RANK']}", "w").close()
    if os.environ["RANK"] in os.environ.get("STUCK", ""):
        time.sleep(500)
    if os.environ["RANK"] in os.environ.get("BUG", ""):
        raise ZeroDivisionError("a bug")
    time.sleep(0.5)
    return confusion(self, classes)
PredictedSample.confusion = slow
main()
"""


@pytest.mark.ranks
@pytest.mark.slow
def test_a_stop_in_a_validation_ends_it_on_all(place):
    (place / "slow.py").write_text(HOOK)
    options = ["--set", "eval_every=2", "--set", "limit=12", "--device", "cpu"]
    call = torchrun(2, place / "slow.py", "train", "shards", "-o", "run", *options)
    work = begin(call, place)
    wait_for(lambda: (place / "at-1").exists(), work)
    os.kill(rank_process(work.pid, 1), signal.SIGTERM)
    said = work.communicate(timeout=100)[0]
    assert said.count("stopped; the checkpoint is written") == 1, said
    assert [path.name for path in (place / "run/checkpoints").iterdir()] == ["00000002.pt"]
    assert not (place / "run/last.safetensors").exists()


@pytest.mark.ranks
@pytest.mark.slow
def test_a_rank_that_hangs_ends_when_another_has_failed(place, monkeypatch):
    """The first rank has a bug, the second does not hear of it: it waits for something else."""
    (place / "slow.py").write_text(HOOK)
    monkeypatch.setitem(ENV, "BUG", "0")
    monkeypatch.setitem(ENV, "STUCK", "1")
    ranks = []
    for rank in (0, 1):  # as two machines would start them: nobody ends the other
        monkeypatch.setitem(ENV, "RANK", str(rank))
        for name, value in {
            "WORLD_SIZE": "2",
            "MASTER_ADDR": "localhost",
            "MASTER_PORT": str(port()),
        }.items():
            monkeypatch.setitem(ENV, name, value)
        call = [
            sys.executable,
            place / "slow.py",
            "train",
            "shards",
            "-o",
            "run",
            "--device",
            "cpu",
            "--set",
            "eval_every=1",
        ]
        ranks.append(begin(call, place))
    assert "ZeroDivisionError: a bug" in ranks[0].communicate(timeout=150)[0]
    since = time.monotonic()
    ranks[1].communicate(timeout=60)
    assert (ranks[0].returncode, ranks[1].returncode) == (1, 2)
    assert time.monotonic() - since < 60


def test_settings_of_a_run_say_nothing_of_ranks():
    """What a run computes must not depend on them, so that a resume may have others."""
    assert not [name for name in SETTINGS if "rank" in name]
