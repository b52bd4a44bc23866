"""The loss: void counts nothing, resolutions agree on the grid, the auxiliary part is weighted."""

import pytest
import torch
from torch.nn import functional as F

from psp.loss import losses
from psp.model import Logits

OPTIONS = {"aux_weight": 0.4, "loss_stride": 8, "align_corners": True}


@pytest.fixture
def logits():
    generator = torch.Generator().manual_seed(0)
    shape = (2, 5, 6, 6)  # of a crop of 41
    return Logits(torch.randn(shape, generator=generator), torch.randn(shape, generator=generator))


@pytest.fixture
def labels():
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 5, (2, 41, 41), generator=generator).to(torch.uint8)


def test_total_is_main_plus_weighted_auxiliary(logits, labels):
    loss = losses(logits, labels, **OPTIONS)
    expected = F.cross_entropy(logits.main, labels[:, ::8, ::8].long())
    assert torch.allclose(loss.main, expected)
    assert torch.allclose(loss.total, loss.main + 0.4 * loss.aux)
    assert losses(Logits(logits.main, None), labels, **OPTIONS).aux == 0


def test_void_pixels_count_nothing(logits, labels):
    labels[:, :20] = 255
    loss = losses(logits, labels, **OPTIONS)
    kept = labels[:, ::8, ::8] != 255
    scores = logits.main.permute(0, 2, 3, 1)[kept]
    expected = F.cross_entropy(scores, labels[:, ::8, ::8][kept].long())
    assert torch.allclose(loss.main, expected)


@pytest.mark.parametrize("stride", [1, 8])
def test_a_crop_of_nothing_but_void_is_zero_not_nan(logits, labels, stride):
    labels[:] = 255
    main = logits.main.requires_grad_()
    loss = losses(Logits(main, None), labels, **{**OPTIONS, "loss_stride": stride})
    loss.total.backward()
    assert loss.total == 0
    assert torch.equal(main.grad, torch.zeros_like(main))


def test_every_eighth_label_lies_on_the_logits_grid(logits):
    """With align_corners the upsampled logits at ::8 are the logits: both strides agree there."""
    labels = torch.full((2, 41, 41), 255, dtype=torch.uint8)
    labels[:, ::8, ::8] = 3
    coarse = losses(logits, labels, **OPTIONS)
    fine = losses(logits, labels, **{**OPTIONS, "loss_stride": 1})
    assert torch.allclose(coarse.main, fine.main, atol=1e-5)


def test_half_precision_logits_give_a_float32_loss(logits, labels):
    half = Logits(logits.main.bfloat16(), logits.aux.bfloat16())
    loss = losses(half, labels, **OPTIONS)
    assert loss.total.dtype == torch.float32
