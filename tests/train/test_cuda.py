"""Training and inference on a CUDA device. Skipped where there is none.

PSP_TEST_DEVICE=cpu runs them on the CPU instead: a rehearsal, which shows that the tests themselves
work (tests/gpu.py).
"""

import copy
import os

import pytest
import torch
from torch import distributed

from psp.data.shards import ShardSplit
from psp.evaluate.count import score_split
from psp.events import Progress
from psp.model.architecture import Architecture
from psp.model.inference import sliding_window
from psp.model.load import load_sliding_window
from psp.model.preprocessing import IMAGENET
from psp.model.procedure import Procedure
from psp.model.pspnet import build
from psp.model.weights import read_weights
from psp.runs import Run
from psp.settings.sources import resolve
from psp.train.distributed import Ranks
from psp.train.loop import train
from psp.train.run_log import STEPS, Step

CUDA = torch.device(os.environ.get("PSP_TEST_DEVICE", "cuda"))
REAL = CUDA.type == "cuda"
pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(REAL and not torch.cuda.is_available(), reason="torch sees no CUDA device"),
]


@pytest.fixture
def config(journey):
    recipe = ShardSplit(journey.folder / "shards", "train").card.recipe
    return resolve(recipe, {}, "test").changed(steps=8, eval_every=8, log_every=1)


def go(journey, folder, config, device=CUDA, report=lambda event: None):
    """Train; return the losses of the steps and the last weights."""
    losses = []

    def hear(event):
        report(event)
        if isinstance(event, Step):
            losses.append(event.loss)

    assert train(journey.folder / "shards", Run(folder), config, device=device, report=hear)
    return losses, read_weights(folder / "last.safetensors")[1]


@pytest.mark.skipif(not REAL, reason="a CPU has nobody to wait for")
def test_the_host_does_not_wait_in_a_step(journey, tmp_path, config):
    """Between two log lines, torch is to raise where anything waits for the device."""

    def watch(event):
        if isinstance(event, Progress) and event.unit == STEPS and event.done in (2, 6):
            torch.cuda.set_sync_debug_mode("error" if event.done == 2 else "default")

    quiet = config.changed(
        log_every=8, save_every=8, class_weights="median", ema=0.9, ohem=0.7, dice=0.5, lovasz=0.5
    )
    try:
        go(journey, tmp_path / "run", quiet, report=watch)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_it_learns_what_a_cpu_learns(journey, tmp_path, config, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    calm = config.changed(dropout=0.0, lr=0.0003, precision="fp32")
    expected = go(journey, tmp_path / "cpu", calm, torch.device("cpu"))[0]
    assert go(journey, tmp_path / "cuda", calm)[0] == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("change", [{"precision": "bf16"}, {"compile": True}], ids=str)
def test_faster_ways_learn_the_same(journey, tmp_path, config, change):
    if "compile" in change and not REAL:
        pytest.skip("compiled on a CPU in tests/train/test_loop.py")
    calm = config.changed(dropout=0.0, lr=0.0003, precision="fp32")
    expected = go(journey, tmp_path / "plain", calm)[0]
    found = go(journey, tmp_path / "fast", calm.changed(**change))[0]
    assert found == pytest.approx(expected, rel=0.03)


def test_a_deterministic_run_repeats_bit_for_bit(journey, tmp_path, config):
    exact = config.changed(deterministic=True)
    one, other = (go(journey, tmp_path / name, exact)[1] for name in ("one", "other"))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_auto_finds_a_batch(journey, tmp_path, config):
    go(journey, tmp_path / "run", config.changed(accumulate=None))
    assert Run(tmp_path / "run").training_config().optimizer.accumulate == 1


def test_label_maps_are_those_of_a_cpu(rng):
    torch.manual_seed(0)
    network = build(Architecture(classes=5, backbone="resnet18", stem="7x7")).eval()
    image = rng.integers(0, 256, (150, 200, 3), dtype="uint8")
    procedure = Procedure(crop=89, scales=(0.75, 1.0), flip=True)
    one, other = (
        sliding_window(network, IMAGENET, device, torch.float32)
        .probabilities(image, procedure)
        .cpu()
        for device in (torch.device("cpu"), CUDA)
    )
    assert torch.allclose(one, other, atol=1e-4)


@pytest.mark.parametrize(
    ("precision", "share"), [(torch.float32, 0.001), (torch.bfloat16, 0.03)], ids=str
)
def test_an_evaluation_is_that_of_a_cpu(journey, precision, share):
    """In float32 but for pixels between two classes; bfloat16 has three digits."""
    split = ShardSplit(journey.folder / "shards", "val")
    counts = []
    for device, kind in ((torch.device("cpu"), torch.float32), (CUDA, precision)):
        model, header = load_sliding_window(journey.folder / "run/best.safetensors", device, kind)
        counts.append(score_split(model, split, Procedure(header.crop, header.base_size)))
    assert counts[0].sum() == counts[1].sum() > 0
    assert abs(counts[0] - counts[1]).sum() <= 2 * share * counts[0].sum()


@pytest.fixture
def alone_together(monkeypatch, tmp_path):
    """One rank that trains as one of several does: with a group of its own, DDP and its norms."""
    monkeypatch.setattr(Ranks, "alone", False)
    distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1
    )
    ranks = Ranks()
    ranks.open(CUDA)
    yield ranks
    ranks.close()
    distributed.destroy_process_group()


def test_one_rank_of_one_computes_what_a_process_does(alone_together):
    """In float64: a batch norm over the two pixels of the smallest level magnifies rounding."""
    torch.manual_seed(0)
    spec = Architecture(classes=5, backbone="resnet18", stem="7x7", dropout=0.0)
    plain = build(spec).double().to(CUDA, memory_format=torch.channels_last).train()
    network = copy.deepcopy(plain)
    images = torch.randn(2, 3, 57, 57, device=CUDA, dtype=torch.float64)
    wrapped = alone_together.wrap(network, CUDA)
    for call in (plain, wrapped):
        logits = call(images)
        (logits.main.square().mean() + logits.aux.square().mean()).backward()
    for one, other in zip(plain.parameters(), network.parameters(), strict=True):
        assert (one.grad - other.grad).abs().max() <= 1e-6 * one.grad.abs().max() + 1e-9
    for one, other in zip(plain.buffers(), network.buffers(), strict=True):
        assert torch.allclose(one, other, rtol=1e-6)


def test_the_group_ends_with_the_training(alone_together, monkeypatch):
    ended = []
    destroy = distributed.destroy_process_group
    monkeypatch.setattr(
        distributed,
        "destroy_process_group",
        lambda group=None: (ended.append(group), destroy(group)),
    )
    alone_together.close()
    assert len(ended) == (1 if REAL else 0)  # gloo's stay until the process ends
    alone_together.close()  # and it ends once
    assert len(ended) <= 1
