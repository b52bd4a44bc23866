"""Weights of mmsegmentation and CSAIL give the logits of those programs' own graphs."""

import numpy as np
import pytest
import torch
from helpers.plain_nets import CSAILDecoder, CSAILEncoder, MMSegmentation, randomize

import psp as package
from psp.data.cardfile import find_card
from psp.errors import PspError
from psp.model.architecture import Architecture
from psp.model.pspnet import build
from psp.zoo.import_weights import import_weights
from psp.zoo.importers.csail import read_csail
from psp.zoo.importers.mmseg import read_mmseg

pytestmark = pytest.mark.slow  # whole networks are read

VOC = find_card("voc2012")
CONFIG = """
model = dict(
    type='EncoderDecoder',
    backbone=dict(type='ResNetV1c', depth=50, dilations=(1, 1, 2, 4), strides=(1, 2, 1, 1),
                  style='pytorch', contract_dilation=True),
    decode_head=dict(type='PSPHead', pool_scales=(1, 2, 3, 6), align_corners=False),
    auxiliary_head=dict(num_convs=1, concat_input=False, align_corners=False))
img_norm_cfg = dict(
    mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)
"""


def differences(predictor, theirs, size=(65, 97)):
    """Return the largest differences of main and auxiliary logits, relative to their range."""
    images = torch.from_numpy(np.random.default_rng(3).normal(size=(2, 3, *size))).float()
    network = predictor.network
    with torch.inference_mode():
        found = network(images).main
        four, _ = network.backbone(images)
        both = [found, network.aux(four)]
        expected = theirs(images)
    return [
        ((ours - his).abs().max() / (his.max() - his.min())).item()
        for ours, his in zip(both, expected, strict=True)
    ]


@pytest.fixture(scope="module")
def mmseg18():
    return randomize(MMSegmentation(18, 21))


@pytest.mark.parametrize(("depth", "deep_stem"), [(18, True), (50, True), (18, False)])
def test_mmsegmentations_logits(tmp_path, mmseg18, depth, deep_stem):
    theirs = mmseg18 if (depth, deep_stem) == (18, True) else None
    theirs = theirs or randomize(MMSegmentation(depth, 21, deep_stem))
    meta = {"meta": {"config": CONFIG, "CLASSES": VOC.names, "epoch": 1}}
    torch.save({**meta, "state_dict": theirs.state_dict()}, tmp_path / "m.pth")
    found = import_weights(tmp_path / "m.pth", tmp_path / "w.safetensors", VOC)
    assert found.what == f"an mmsegmentation PSPNet of {depth} layers, with auxiliary head"
    spec = found.architecture
    assert spec.stem_widths == ((32, 32, 64) if deep_stem else (64, 64, 128))
    assert not spec.align_corners and spec.first_dilation == "half" and found.unused == ()
    predictor = package.load(tmp_path / "w.safetensors", "cpu", "fp32")
    assert max(differences(predictor, theirs)) <= 1e-5


@pytest.mark.parametrize("depth", [18, 50])
def test_csails_logits(tmp_path, depth):
    encoder = randomize(CSAILEncoder(depth), 1)
    decoder = randomize(CSAILDecoder(2048 if depth >= 50 else 512, 21), 2)
    state = encoder.state_dict()
    # Its files of 2018 have running sums beside the means, and no counters of steps.
    state = {n: t for n, t in state.items() if not n.endswith("num_batches_tracked")}
    torch.save({**state, "bn1._running_iter": torch.ones(1)}, tmp_path / "encoder_epoch_20.pth")
    torch.save(decoder.state_dict(), tmp_path / "decoder_epoch_20.pth")
    found = import_weights(tmp_path, tmp_path / "w.safetensors", VOC)
    assert found.what.startswith(f"CSAIL's resnet{depth}dilated with ppm_deepsup")
    assert found.unused == ("bn1._running_iter",)
    assert found.architecture.level_width == (512 if depth == 18 else None)
    assert found.architecture.aux_width == (512 if depth == 50 else 128)
    predictor = package.load(tmp_path / "w.safetensors", "cpu", "fp32")
    assert max(differences(predictor, lambda images: decoder(encoder(images)))) <= 1e-5
    assert "encoder_epoch_20.pth, SHA-256" in predictor.header.source
    assert "decoder_epoch_20.pth, SHA-256" in predictor.header.source
    one = import_weights(tmp_path / "decoder_epoch_20.pth", tmp_path / "again.safetensors", VOC)
    assert one.what == found.what
    again, first = tmp_path / "again.safetensors", tmp_path / "w.safetensors"
    assert again.read_bytes() == first.read_bytes()


DETAILS = [
    {"first_dilation": "full"},
    {"basic_dilation": "both"},
    {"align_corners": True},
]


@pytest.mark.parametrize("fields", DETAILS, ids=lambda f: next(iter(f)))
def test_each_detail_changes_the_logits_but_no_shape(mmseg18, fields):
    """So each must be a field: nothing else in the tensors would tell."""
    from dataclasses import replace

    found = read_mmseg(mmseg18.state_dict())
    network = build(replace(found.architecture, **fields)).eval()
    network.load_state_dict(found.tensors)
    images = torch.randn(1, 3, 65, 97)
    with torch.inference_mode():
        expected = mmseg18(images)[0]
        difference = (network(images).main - expected).abs().max()
    assert difference > 1e-3 * (expected.max() - expected.min())


@pytest.mark.parametrize("depth", [50, 101])
def test_every_tensor_of_csail_has_its_place(depth):
    with torch.device("meta"):
        encoder, decoder = CSAILEncoder(depth), CSAILDecoder(2048, 150)
        found = read_csail(encoder.state_dict(), decoder.state_dict())
        own = build(found.architecture).state_dict()
    assert {n: t.shape for n, t in found.tensors.items()} == {n: t.shape for n, t in own.items()}
    assert found.architecture == Architecture(
        classes=150,
        backbone=f"resnet{depth}",
        first_dilation="half",
        aux_width=512,
        align_corners=False,
        dropout_kind="channel",
        stem="deep",
    )


def test_a_configuration_is_followed_or_the_file_refused(mmseg18):
    state = mmseg18.state_dict()
    read = read_mmseg(state, CONFIG.replace("align_corners=False", "align_corners=True"))
    assert read.architecture.align_corners
    read = read_mmseg(state, CONFIG.replace("contract_dilation=True", "contract_dilation=False"))
    assert read.architecture.first_dilation == "full"
    read = read_mmseg(state, CONFIG.replace("57.375", "1.5"))
    assert read.preprocessing.std == (58.395, 57.12, 1.5)
    for old, new, message in (
        ("strides=(1, 2, 1, 1)", "strides=(1, 2, 2, 1)", r"strides=\(1,2,2,1\).*\(1,2,1,1\)"),
        ("to_rgb=True", "to_rgb=False", "BGR"),
        (
            "concat_input=False, align_corners=False",
            "align_corners=True",
            "align_corners",
        ),
        ("103.53]", "103.53, 1]", r"mean=\[123.675,116.28,103.53,1\]"),
    ):
        assert old in CONFIG
        with pytest.raises(PspError, match=message):
            read_mmseg(state, CONFIG.replace(old, new))


def test_wrong_files_are_one_line(tmp_path, mmseg18):
    def refused(source, message):
        with pytest.raises(PspError, match=message) as error:
            import_weights(source, tmp_path / "w.safetensors", VOC)
        assert "\n" not in str(error.value) and str(tmp_path) in str(error.value)
        assert not (tmp_path / "w.safetensors").exists()

    state = mmseg18.state_dict()
    path = tmp_path / "m.pth"
    torch.save({"state_dict": {**state, "decode_head.x": torch.zeros(1)}}, path)
    refused(path, "decode_head.x")
    torch.save({"state_dict": {**state, "decode_head.conv_seg.weight": torch.zeros(())}}, path)
    refused(path, "0 classes")
    whole = {n: t.int() if n == "decode_head.bottleneck.bn.bias" else t for n, t in state.items()}
    torch.save({"state_dict": whole}, path)
    refused(path, "head.bn.bias .*int32")
    refused(tmp_path, "folder.*weights file")
    torch.save({"conv1.weight": torch.zeros(1)}, tmp_path / "encoder_epoch_1.pth")
    refused(tmp_path, "decoder_epoch_1.pth: no such file")
    torch.save({"conv1.weight": torch.zeros(1)}, tmp_path / "decoder_epoch_1.pth")
    refused(tmp_path, "CSAIL.*ppm")
    old = tmp_path / "baseline-resnet50_dilated8-ppm_bilinear_deepsup"
    old.mkdir()
    for part in ("encoder", "decoder"):
        torch.save({"x": torch.zeros(1)}, old / f"{part}_epoch_20.pth")
    refused(old, "August 2019.*ppm_deepsup")
    (tmp_path / "encoder_epoch_2.pth").write_bytes(b"")
    refused(tmp_path, "encoder_epoch_1.pth, encoder_epoch_2.pth")
