"""The loss: void counts nothing, resolutions agree on the grid, the auxiliary part is weighted."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from psp.model.pspnet import Logits
from psp.settings.loss import LossSettings
from psp.train.loss import Criterion, class_weights, lovasz_softmax


def criterion(weights=None, **settings):
    return Criterion(LossSettings(**settings), align_corners=True, weights=weights)


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
    loss = criterion()(logits, labels)
    expected = F.cross_entropy(logits.main, labels[:, ::8, ::8].long())
    main, aux = loss.terms["main"], loss.terms["aux"]
    assert list(loss.terms) == ["main", "aux"]
    assert torch.allclose(main, expected)
    assert torch.allclose(loss.total, main + 0.4 * aux)
    assert criterion()(Logits(logits.main, None), labels).terms["aux"] == 0


def test_the_mean_can_be_over_all_pixels(logits, labels):
    labels[0, :16] = 255
    valid, everything = (criterion(mean_over=which)(logits, labels) for which in ("valid", "all"))
    share = (labels[:, ::8, ::8] != 255).float().mean()
    assert torch.allclose(everything.terms["main"], valid.terms["main"] * share)
    assert torch.allclose(everything.total, valid.total * share)


def test_void_pixels_count_nothing(logits, labels):
    labels[:, :20] = 255
    loss = criterion()(logits, labels)
    kept = labels[:, ::8, ::8] != 255
    scores = logits.main.permute(0, 2, 3, 1)[kept]
    expected = F.cross_entropy(scores, labels[:, ::8, ::8][kept].long())
    assert torch.allclose(loss.terms["main"], expected)


@pytest.mark.parametrize("stride", [1, 8])
def test_a_crop_of_nothing_but_void_is_zero_not_nan(logits, labels, stride):
    labels[:] = 255
    main = logits.main.requires_grad_()
    settings = {"dice": 0.5, "lovasz": 1.0, "label_smoothing": 0.1}
    loss = criterion(loss_stride=stride, **settings)(Logits(main, None), labels)
    loss.total.backward()
    assert loss.total == 0
    assert torch.equal(main.grad, torch.zeros_like(main))


def test_every_eighth_label_lies_on_the_logits_grid(logits):
    """With align_corners the upsampled logits at ::8 are the logits: both strides agree there."""
    labels = torch.full((2, 41, 41), 255, dtype=torch.uint8)
    labels[:, ::8, ::8] = 3
    coarse = criterion()(logits, labels)
    fine = criterion(loss_stride=1)(logits, labels)
    assert torch.allclose(coarse.total, fine.total, atol=1e-5)


def test_half_precision_logits_give_a_float32_loss(logits, labels):
    half = Logits(logits.main.bfloat16(), logits.aux.bfloat16())
    loss = criterion()(half, labels)
    assert loss.total.dtype == torch.float32


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("ohem", [0.0, 0.3])
@pytest.mark.parametrize(
    "more", [{}, {"dice": 0.5}, {"lovasz": 1.0, "label_smoothing": 0.1}], ids=str
)
def test_micro_batches_add_up_to_the_batch(weighted, ohem, more):
    """With void spread unevenly: one picture nearly all void, one part nothing but void."""
    generator = torch.Generator().manual_seed(2)
    main = torch.randn((6, 5, 6, 6), generator=generator, requires_grad=True)
    labels = torch.randint(0, 5, (6, 41, 41), generator=generator).to(torch.uint8)
    labels[0, 8:] = labels[4:] = 255
    weights = torch.tensor([1, 2, 0.5, 3, 1]) if weighted else None
    loss = criterion(weights=weights, ohem=ohem, **more)
    together = loss(Logits(main, main), labels)
    together.total.backward()
    expected, main.grad = main.grad.clone(), None
    spans = (slice(0, 1), slice(1, 4), slice(4, 6))
    denominators = sum(loss.total_weights(labels[span]) for span in spans)
    total = 0.0
    for span in spans:
        part = loss(Logits(main[span], main[span]), labels[span], denominators)
        part.total.backward()
        total += part.total.item()
    assert total == pytest.approx(together.total.item(), rel=1e-6)
    assert torch.allclose(main.grad, expected, atol=1e-9)


def test_weighted_classes_are_torchs_weighted_mean(logits, labels):
    labels[:, :9] = 255
    weights = torch.tensor([0.5, 2.0, 1.0, 4.0, 0.1])
    loss = criterion(weights=weights)(logits, labels)
    coarse = labels[:, ::8, ::8].long()
    expected = F.cross_entropy(logits.main, coarse, weight=weights, ignore_index=255)
    assert torch.allclose(loss.terms["main"], expected)


def test_dice_is_its_definition_picture_by_picture(logits, labels):
    """One picture has void and lacks a class, and one is nothing but void, which counts nothing."""
    labels[0, :20] = 255
    labels[0][labels[0] == 3] = 2
    void = torch.full_like(labels[:1], 255)
    main = torch.cat([logits.main, logits.main[:1]])
    loss = criterion(dice=0.5)(Logits(main, None), torch.cat([labels, void]))
    losses = []
    for scores, target in zip(logits.main.softmax(1), labels[:, ::8, ::8], strict=True):
        valid, coefficients = target != 255, []
        for number in target[valid].unique():
            true, found = (target == number).float(), scores[int(number)] * valid
            coefficients.append(2 * (true * found).sum() / (true.sum() + found.sum()))
        losses.append(1 - sum(coefficients) / len(coefficients))
    assert torch.allclose(loss.terms["dice"], sum(losses) / 2)
    assert torch.allclose(loss.total, loss.terms["main"] + 0.5 * loss.terms["dice"])


def test_dice_is_zero_for_a_sure_and_right_prediction_and_one_for_a_wrong_one(labels):
    labels[:] = torch.randint(0, 4, (2, 1, 1))
    target = labels[:, ::8, ::8].long()
    sure = 100 * F.one_hot(target, 5).permute(0, 3, 1, 2).float()
    right = criterion(dice=1.0)(Logits(sure, None), labels)
    wrong = criterion(dice=1.0)(Logits(sure.roll(1, 1), None), labels)
    assert right.terms["dice"].item() == pytest.approx(0, abs=1e-6)
    assert wrong.terms["dice"].item() == pytest.approx(1, abs=1e-6)


def test_only_hard_examples_count_and_a_share_of_each_picture_at_least(logits, labels):
    labels[0, :17] = 255
    coarse = labels[:, ::8, ::8].long()
    pixels = F.cross_entropy(logits.main, coarse, ignore_index=255, reduction="none").flatten(1)
    valid = (coarse != 255).flatten(1)
    for threshold, share in ((0.2, 0.0), (1e-9, 0.25), (0.05, 0.5), (1.0, 0.0)):
        expected = 0.0
        for losses, scored in zip(pixels, valid, strict=True):  # one picture after the other
            found = np.sort(losses[scored].numpy())[::-1]
            least = int(np.ceil(share * len(found)))
            expected += found[: max(least, int((found > -np.log(threshold)).sum()))].sum()
        loss = criterion(ohem=threshold, ohem_keep=share)
        got = loss(logits, labels).terms["main"].item() * valid.sum().item()
        assert got == pytest.approx(expected, rel=1e-5, abs=1e-6)
    plain = criterion()(logits, labels)
    assert torch.allclose(criterion(ohem=1.0)(logits, labels).total, plain.total)


def test_an_easy_void_pixel_is_never_mined(logits, labels):
    labels[:] = 255
    loss = criterion(ohem=0.7, ohem_keep=1.0)
    assert loss(logits, labels).total == 0


def test_rare_classes_weigh_more():
    pixels = np.array([[900, 100, 0, 0, 50], [500, 0, 500, 0, 0]])  # four classes, then void
    median = class_weights(pixels, "median")
    # Frequencies 1400/2000, 100/1000, 500/1000; the median is 0.5.
    assert median == pytest.approx([0.5 / 0.7, 5.0, 1.0, 1.0])
    log = class_weights(pixels, "log")
    assert log == pytest.approx([*(1 / np.log(1.02 + np.array([0.7, 0.05, 0.25]))), 1.0])


@pytest.mark.parametrize("weighted", [False, True])
def test_label_smoothing_is_torchs(logits, labels, weighted):
    labels[:, :9] = 255
    weights = torch.tensor([0.5, 2.0, 1.0, 4.0, 0.1]) if weighted else None
    loss = criterion(weights=weights, label_smoothing=0.2)(logits, labels)
    for name, scores in {"main": logits.main, "aux": logits.aux}.items():
        expected = F.cross_entropy(
            scores,
            labels[:, ::8, ::8].long(),
            weight=weights,
            ignore_index=255,
            label_smoothing=0.2,
        )
        assert torch.allclose(loss.terms[name], expected)


def test_which_pixels_are_hard_does_not_depend_on_smoothing(logits, labels):
    """A sure and right pixel has a large smoothed loss, and is easy all the same."""
    main = logits.main.clone()
    coarse = labels[:, ::8, ::8].long()
    main[0] += 50 * F.one_hot(coarse[0], 5).permute(2, 0, 1)
    hard = main.softmax(1).gather(1, coarse[:, None])[:, 0] < 0.7
    assert hard[1].any() and not hard[0].any()
    loss = criterion(label_smoothing=0.2, ohem=0.7, ohem_keep=0.0)(Logits(main, None), labels)
    pixels = F.cross_entropy(main, coarse, reduction="none", label_smoothing=0.2)
    assert torch.allclose(loss.terms["main"], (pixels * hard).sum() / hard.numel())


def test_lovasz_of_a_case_worked_out_by_hand():
    """Four pixels of two classes: class 0 has errors .1 .6 .3 .2, of which the first two are its.

    Sorted .6 (its) .3 .2 .1 (its): 1 - IoU is 1/2, 1 - 1/3, 1 - 1/4, 1, so the steps are 1/2, 1/6,
    1/12, 1/4 and the loss .3 + .05 + .2 / 12 + .025. Class 1 has the same errors, of which the
    last two are its: .6 .3 (its) .2 (its) .1: 1/3, 2/3, 1, 1, so .2 + .1 + .2 / 3.
    """
    first = torch.tensor([0.9, 0.4, 0.3, 0.2])
    logits = torch.stack([first, 1 - first]).log().view(1, 2, 2, 2)
    target = torch.tensor([0, 0, 1, 1]).view(1, 2, 2)
    expected = (0.3 + 0.05 + 0.2 / 12 + 0.025 + 0.2 + 0.1 + 0.2 / 3) / 2
    assert lovasz_softmax(logits, target).item() == pytest.approx(expected)


def test_lovasz_of_hard_predictions_is_one_minus_the_mean_iou(logits, labels):
    """Over the classes of each picture; void does not count, and a void picture is 0."""
    labels[0, :20] = 255
    labels[0][labels[0] == 3] = 2
    target = labels[:, ::8, ::8].long()
    found = logits.main.argmax(1)
    expected = []
    for prediction, true in zip(found, target, strict=True):
        prediction, true = prediction[true != 255], true[true != 255]
        ious = [
            ((prediction == c) & (true == c)).sum() / ((prediction == c) | (true == c)).sum()
            for c in true.unique()
        ]
        expected.append(1 - sum(ious) / len(ious))
    sure = 200.0 * F.one_hot(found, 5).permute(0, 3, 1, 2).float()
    void = torch.full_like(target[:1], 255)
    loss = lovasz_softmax(torch.cat([sure, sure[:1]]), torch.cat([target, void]))
    assert loss.item() == pytest.approx(float(sum(expected)), rel=1e-5)
    terms = criterion(lovasz=1.0)(Logits(sure, None), labels).terms
    assert terms["lovasz"].item() == pytest.approx(float(sum(expected)) / 2, rel=1e-5)


def test_lovasz_has_the_gradient_of_its_value(logits, labels):
    """Between ties it is a smooth function; void gets no gradient."""
    labels[:, :9] = 255
    target = labels[:, ::8, ::8].long()
    scores = logits.main.double().requires_grad_()
    lovasz_softmax(scores, target).backward()
    assert (scores.grad[:, :, :2] == 0).all()
    step = torch.randn(scores.shape, generator=torch.Generator().manual_seed(5)).double()
    ahead, behind = (lovasz_softmax(scores + t * step, target).item() for t in (1e-6, -1e-6))
    assert (ahead - behind) / 2e-6 == pytest.approx((scores.grad * step).sum().item(), rel=1e-4)
