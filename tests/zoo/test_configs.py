"""Configurations of other programs become recipes, and what psp has no counterpart for is named."""

import json
import tomllib

import pytest

from psp.data.cardfile import find_card
from psp.errors import PspError
from psp.settings.sources import settings_from
from psp.zoo.configs.python_text import merge, read_config, variables
from psp.zoo.configs.registry import find_config

MODEL = """
norm = dict(type='SyncBN', requires_grad=True)
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(mean=[123.675, 116.28, 103.53], bgr_to_rgb=True),
    pretrained='open-mmlab://resnet50_v1c',
    backbone=dict(type='ResNetV1c', depth=50, strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4),
        norm_cfg=norm, style='pytorch', contract_dilation=True),
    decode_head=dict(type='PSPHead', channels=512, pool_scales=(1, 2, 3, 6), dropout_ratio=0.1,
        num_classes=19, norm_cfg=norm, align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0)),
    auxiliary_head=dict(type='FCNHead', align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', loss_weight=0.4)),
    test_cfg=dict(mode='whole'))
"""
DATA = """
dataset_type = 'ADE20KDataset'
crop = (512, 512)
train_pipeline = [
    dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', reduce_zero_label=True),
    dict(type='RandomResize', scale=(2048, 512), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='RandomCrop', crop_size=crop, cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5), dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs')]
tta_pipeline = [dict(type='Resize', scale_factor=r) for r in (0.5, 1.0)]
test_pipeline = [dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(2048, 512), keep_ratio=True), dict(type='PackSegInputs')]
train_dataloader = dict(batch_size=4, dataset=dict(type=dataset_type, pipeline=train_pipeline))
"""
SCHEDULE = """
optimizer = dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=0.0005)
optim_wrapper = dict(type='OptimWrapper', optimizer=optimizer, clip_grad=None)
param_scheduler = [dict(type='PolyLR', eta_min=1e-4, power=0.9, end=160000, by_epoch=False)]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=2 * 80000)
"""
OURS = """
_base_ = ['base/model.py', 'base/data.py', 'base/schedule.py']
model = dict(decode_head=dict(num_classes=150), auxiliary_head=dict(num_classes=150))
"""
SEMSEG = """
DATA:
  data_root: /data/{card}
  classes: 150
TRAIN:
  arch: psp
  layers: 50
  train_h: {crop}
  train_w: {crop}
  scale_min: 0.5  # minimum random scale
  scale_max: 2.0
  rotate_min: -10
  rotate_max: 10
  zoom_factor: 8
  ignore_label: 255
  aux_weight: 0.4
  train_gpu: [0, 1]
  batch_size: 16
  base_lr: 0.01
  epochs: {epochs}
  power: 0.9
  momentum: 0.9
  weight_decay: 0.0001
  manual_seed:
TEST:
  base_size: {base}
  test_h: {crop}
  test_w: {crop}
"""


@pytest.fixture
def mmseg(tmp_path):
    (tmp_path / "base").mkdir()
    for name, text in (("model", MODEL), ("data", DATA), ("schedule", SCHEDULE)):
        (tmp_path / f"base/{name}.py").write_text(text)
    path = tmp_path / "pspnet_r50-d8_4xb4-160k_ade20k-512x512.py"
    path.write_text(OURS)
    return path


def test_mmsegmentations_configuration_is_the_cards_recipe(mmseg):
    found = find_config(mmseg)
    assert (found.card, found.classes, found.missing) == ("ade20k", 150, [])
    card = find_card("ade20k")
    assert settings_from(found.settings, "") == settings_from(
        card.recipe_named("mmseg") | found.settings, ""
    )
    assert set(card.recipes["mmseg"]) <= set(found.settings)


@pytest.mark.parametrize(
    ("card", "crop", "base", "epochs"),
    [("ade20k", 473, 512, 100), ("voc2012", 473, 512, 50), ("cityscapes", 713, 2048, 200)],
)
def test_semsegs_configuration_is_the_cards_recipe(tmp_path, card, crop, base, epochs):
    path = tmp_path / "config.yaml"
    path.write_text(SEMSEG.format(card=card, crop=crop, base=base, epochs=epochs))
    found = find_config(path)
    assert found.card == card and found.missing == []
    recipe = find_card(card).recipe_named("semseg")
    assert {name: found.settings[name] for name in recipe if name in found.settings} == {
        name: value for name, value in recipe.items() if name in found.settings
    }
    assert {"steps", "crop", "base_size", "norm_decay", "bias_lr"} <= set(found.settings)


def test_the_recipe_that_is_printed_can_be_pasted_into_a_card(mmseg, psp):
    _, out, _ = psp("import", mmseg, check=0)
    (recipe,) = tomllib.loads(out)["recipes"].values()
    _, out, _ = psp("import", mmseg, "--json", check=0)
    said = json.loads(out)
    assert recipe.pop("source") and recipe == said["settings"]
    assert said["card"] == "ade20k" and "4 GPUs" in said["assumed"][0]
    assert "nothing is written" in psp("import", mmseg, "w.safetensors", check=2)[2]
    assert "--card" in psp("import", "w.pth", check=2)[2]


def test_a_configuration_stands_beside_recipes(mmseg, psp):
    _, out, _ = psp("recipe", "diff", "ade20k:mmseg", mmseg, "--json", check=0)
    assert json.loads(out) == {"recipes": ["ade20k:mmseg", mmseg.name], "settings": {}}
    mmseg.write_text(mmseg.read_text() + "optim_wrapper = dict(optimizer=dict(lr=0.02))\n")
    _, out, _ = psp("recipe", "diff", "ade20k:mmseg", mmseg, "--json", check=0)
    assert json.loads(out)["settings"] == {"lr": [0.01, 0.02]}
    for command in (("train", mmseg), ("recipe", "show", mmseg), ("inspect", mmseg)):
        assert f"psp import {mmseg}" in psp(*command, check=2)[2]


def test_what_has_no_counterpart_is_named(mmseg):
    mmseg.write_text(
        OURS
        + """
extra = [dict(type='RandomMosaic', prob=0.5)]
train_dataloader = dict(batch_size=2, dataset=dict(pipeline=[
    dict(type='RandomResize', scale=(2048, 1024), ratio_range=(0.1, 0.3), keep_ratio=True),
    dict(type='RandomCrop', crop_size=some_size), *extra,
    dict(type='AlbuNoise'), dict(type='PhotoMetricDistortion', contrast_range=(0.5, 2.0))]))
optim_wrapper = dict(_delete_=True, type='AmpOptimWrapper', accumulative_counts=2,
    optimizer=dict(type='AdamW', lr=0.0005), clip_grad=dict(max_norm=1),
    paramwise_cfg=dict(custom_keys=dict(head=dict(lr_mult=10.))))
param_scheduler = [dict(type='LinearLR', start_factor=0.1), dict(type='MultiStepLR')]
custom_hooks = [dict(type='EMAHook')]
load_from = 'best.pth'
randomness = dict(seed=3)
for step in extra:
    step['prob'] = 1
"""
    )
    found = find_config(mmseg)
    said = "\n".join(found.missing)
    for word in (
        "AlbuNoise",
        "RandomCrop of an unknown size",
        "contrast_range",
        "AdamW",
        "AmpOptimWrapper",
        "clip_grad",
        "LinearLR",
        "MultiStepLR",
        "EMAHook",
        "best.pth",
        "not an assignment",
        "computed",
    ):
        assert word in said, word
    assert (
        found.settings["batch"] == 8 and found.settings["seed"] == 3 and "lr" not in found.settings
    )
    assert (found.settings["scale_min"], found.settings["scale_max"]) == (0.1, 0.3)


def test_a_configuration_of_a_version_before_1(tmp_path):
    path = tmp_path / "pspnet_r18-d8_512x1024_80k_cityscapes.py"
    path.write_text(
        MODEL.replace("depth=50", "depth=18").replace("channels=512", "channels=128")
        + """
img_norm_cfg = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)
train_pipeline = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'),
    dict(type='Resize', img_scale=(2048, 1024), ratio_range=(0.5, 2.0)),
    dict(type='RandomCrop', crop_size=(512, 512), cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5), dict(type='PhotoMetricDistortion', hue_delta=9),
    dict(type='Normalize', **img_norm_cfg), dict(type='Pad', size=(512, 512), pad_val=0),
    dict(type='DefaultFormatBundle'), dict(type='Collect', keys=['img', 'gt_semantic_seg'])]
data = dict(samples_per_gpu=2, train=dict(type='CityscapesDataset', pipeline=train_pipeline))
optimizer = dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=0.0005)
optimizer_config = dict()
lr_config = dict(policy='poly', power=0.9, min_lr=1e-4, by_epoch=False)
runner = dict(type='IterBasedRunner', max_iters=80000)
"""
    )
    found = find_config(path)
    expected = {
        "backbone": "resnet18",
        "head_width": 128,
        "batch": 8,
        "steps": 80000,
        "lr_min": 1e-4,
        "hue": 9,
        "outside": "mean",
        "train_resize": "2048x1024",
        "class_limit": 0.75,
    }
    assert {name: found.settings[name] for name in expected} == expected
    assert found.card == "cityscapes" and "as in mmsegmentation's own" in found.assumed[0]
    assert found.missing == []


def test_files_that_are_included_are_merged_by_their_rules(tmp_path, mmseg):
    assert merge({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}}) == {"a": {"b": 3, "c": 2}}
    assert merge({"a": {"b": 1}}, {"a": {"_delete_": True, "c": 2}}) == {"a": {"c": 2}}
    values, unknown = read_config(mmseg)
    assert values["model"]["decode_head"]["num_classes"] == 150
    assert values["model"]["backbone"]["depth"] == 50 and unknown == []
    (tmp_path / "base/model.py").unlink()
    assert any("base/model.py" in text for text in find_config(mmseg).missing)
    assert variables("a = 3\nb = [-a, a / 2, open('x')]\nc = b") != {}


@pytest.mark.parametrize(
    "odd", ["None", "[1, [2]]", "dict(type=[1])", "'x'", "-1", "10**3", "b'x'"]
)
@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("strides=(1, 2, 1, 1)", "strides="),
        ("mean=[123.675, 116.28, 103.53]", "mean="),
        ("pool_scales=(1, 2, 3, 6)", "pool_scales="),
        ("type='CrossEntropyLoss', loss_weight=0.4", "type="),
    ],
)
def test_odd_values_are_named_or_left_out(tmp_path, line, value, odd):
    assert line in MODEL
    path = tmp_path / "odd.py"
    path.write_text(MODEL.replace(line, value + odd) + DATA + SCHEDULE)
    tomllib.loads(find_config(path).toml("odd"))


def test_other_files_are_refused_by_what_they_are(tmp_path, mmseg):
    def refused(name, text, *words):
        path = tmp_path / name
        path.write_text(text)
        with pytest.raises(PspError) as error:
            find_config(path)
        assert all(word in str(error.value) for word in (name, *words)), error.value

    refused("a.py", "import os\nprint('x')\n", "train_pipeline")
    refused("b.py", "model = dict(\n", "line 1", "Python")
    refused("c.py", MODEL.replace("PSPHead", "ASPPHead"), "ASPPHead", "PSPNet")
    refused("h.py", "model = dict(type='MaskRCNN')\ntrain_pipeline = []\n", "MaskRCNN", "PSPNet")
    doubled = "".join(f"a{n + 1} = [a{n}, a{n}]\n" for n in range(40))
    refused("i.py", MODEL + "a0 = [1]\n" + doubled + "train_pipeline = a40\n", "repeats")
    refused("d.yaml", "names: [a, b]\n", "DATA", "TRAIN")
    refused(
        "e.yaml", SEMSEG.replace("arch: psp", "arch: psa").replace("{", "").replace("}", ""), "psa"
    )
    refused("f.yaml", "a: [\n", "line")
    (tmp_path / "g.py").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PspError, match=r"g\.py"):
        find_config(tmp_path / "g.py")
    with pytest.raises(PspError, match=r"none\.py.*no such file"):
        find_config(tmp_path / "none.py")
    config = tmp_path / "loop.py"
    config.write_text("_base_ = 'loop.py'\n" + MODEL + DATA + SCHEDULE)
    assert any("loop.py" in text for text in find_config(config).missing)
