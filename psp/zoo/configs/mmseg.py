"""What a configuration of mmsegmentation says of a training, 1.x and before.

Sources: its configs/_base_ (models, datasets, schedules), mmseg/datasets/transforms and mmengine's
schedulers; for versions before 1.0 its configs of 0.30 and mmcv's learning rate hooks.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from psp.errors import PspError
from psp.zoo.configs.config import ForeignConfig, shown, table
from psp.zoo.configs.mmseg_pipeline import take_pipeline
from psp.zoo.configs.python_text import as_text, at, read_config
from psp.zoo.importers.mmseg_config import card_of, data_set, read_test

UNKNOWN_PARTS = ("multi_grid", "dcn", "plugins", "avg_down", "deep_stem")
GPUS = 4  # of its own trainings
IMAGENET = ("open-mmlab://resnet", "torchvision://resnet")
MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]


def is_mmseg(values: Mapping[str, Any]) -> bool:
    """Whether these are the variables of a configuration of mmsegmentation."""
    return bool(table(values.get("model")).get("decode_head")) or "train_pipeline" in values


def read_mmseg_config(path: Path) -> ForeignConfig:
    """Return what a file says. Raises PspError for one that is not of a PSPNet, or damaged."""
    values, unknown = read_config(path)
    if not is_mmseg(values):
        kind = f" ({unknown[0]})" if unknown else ""
        raise PspError(f"{path}: no model and no train_pipeline of mmsegmentation in it{kind}.")
    config = ForeignConfig("a configuration of mmsegmentation", "mmseg", missing=list(unknown))
    model, head = table(values.get("model")), table(at(values, "model", "decode_head"))
    network = head.get("type") or model.get("type")
    if isinstance(network, str) and network not in ("PSPHead", "EncoderDecoder"):
        raise PspError(f"{path}: a configuration of {shown(network)}, not of PSPNet (PSPHead).")
    _network(config, values)
    _loss(config, table(at(values, "model", "decode_head")), "decode_head")
    _optimizer(config, values)
    _schedule(config, values)
    _batch(config, values, path.name)
    _data_set(config, values)
    take_pipeline(config, values)
    _test(config, values)
    config.take("seed", at(values, "randomness", "seed") or values.get("seed"))
    if values.get("load_from"):
        config.lack(f"load_from {shown(values['load_from'])}: start from it with --init")
    for name in ("custom_hooks", "optimizer_config", "fp16"):
        content = values.get(name)
        for item in content if isinstance(content, list) else [content] if content else []:
            text = table(item).get("type") or ((table(item) or "") and shown(dict(item)))
            if text:
                config.lack(f"{name}: {shown(text)}")
    return config


def _network(config: ForeignConfig, values: Mapping[str, Any]) -> None:
    model = table(values.get("model"))
    backbone, head = table(model.get("backbone")), table(model.get("decode_head"))
    kind, depth = backbone.get("type"), backbone.get("depth")
    if kind in ("ResNetV1c", "ResNet"):
        config.take("stem", "deep" if kind == "ResNetV1c" else "7x7")
        if kind == "ResNetV1c":
            config.take("stem_widths", [32, 32, 64])
        config.take("backbone", f"resnet{depth}")
        config.take("basic_dilation", "first")
        half = backbone.get("contract_dilation", False)
        config.take("first_dilation", "half" if half else "full")
        if backbone.get("style", "pytorch") != "pytorch":
            config.lack("backbone: strides in the first 1x1 convolution (style='caffe')")
        for key, usual in (("strides", [1, 2, 1, 1]), ("dilations", [1, 1, 2, 4])):
            if backbone.get(key, usual) != usual:
                config.lack(f"backbone: {key}={shown(backbone[key])}; psp's have {shown(usual)}")
        for key in UNKNOWN_PARTS:
            if backbone.get(key):
                config.lack(f"backbone: {key}={shown(backbone[key])}")
        if backbone.get("norm_eval"):
            config.take("freeze_norm", "backbone")
        stages = backbone.get("frozen_stages", -1)
        if type(stages) is int and stages >= 0:
            config.take("freeze", "stem" if stages == 0 else f"stage{stages + 1}")
    elif kind is not None:
        config.lack(f"backbone {shown(kind)}")
    config.take("bins", head.get("pool_scales"))
    config.take("dropout", head.get("dropout_ratio"))
    config.take("dropout_kind", "channel")
    config.take("align_corners", head.get("align_corners", False))
    norm = table(head.get("norm_cfg") or values.get("norm_cfg"))
    if norm.get("type", "SyncBN") not in ("SyncBN", "BN"):
        config.lack(f"norm {shown(norm.get('type'))}")
    config.take("norm_momentum", norm.get("momentum", 0.1))
    if norm.get("eps", 1e-5) != 1e-5:
        config.lack(f"norm_cfg: eps={shown(norm['eps'])}; psp's is 1e-05")
    deepest = 512 if depth in (18, 34) else 2048
    if (width := head.get("channels")) not in (None, deepest // 4):
        config.lack(f"decode_head: channels={shown(width)}; psp's levels have {deepest // 4}")
    config.take("head_width", width)
    classes = head.get("num_classes")
    config.classes = classes if type(classes) is int else None
    other = table(model.get("auxiliary_head")).get("dropout_ratio", head.get("dropout_ratio"))
    if other != head.get("dropout_ratio"):
        config.lack(f"auxiliary_head: dropout_ratio={shown(other)}; psp's heads have the same")
    _preprocessing(config, values)
    init = model.get("pretrained") or table(backbone.get("init_cfg")).get("checkpoint")
    if init is None or str(init).startswith(IMAGENET):
        config.take("init", "imagenet" if init else "none")
    else:
        config.lack(f"initial weights {shown(init)}: give them with --init")


def _preprocessing(config: ForeignConfig, values: Mapping[str, Any]) -> None:
    said = table(at(values, "model", "data_preprocessor")) or table(values.get("img_norm_cfg"))
    for key, usual in (("mean", MEAN), ("std", STD)):
        if said.get(key, usual) != usual:
            config.lack(f"{key}={shown(said[key])}: psp normalizes as the initial weights were")
    if False in (said.get("bgr_to_rgb"), said.get("to_rgb")):
        config.lack("pictures in BGR; psp's are RGB")


def _loss(config: ForeignConfig, head: Mapping[str, Any], name: str) -> None:
    config.take("loss_stride", 1)
    config.take("new_layers", "normal")
    losses = head.get("loss_decode")
    for loss in losses if isinstance(losses, list) else [losses]:
        loss = table(loss)
        kind = loss.get("type", "CrossEntropyLoss")
        if kind == "DiceLoss" and name == "decode_head":
            config.lack("DiceLoss: psp's (dice) is another, a mean over each picture's classes")
        elif kind != "CrossEntropyLoss":
            config.lack(f"{name}: {shown(kind)}")
            continue
        if name == "decode_head":
            config.take("mean_over", "valid" if loss.get("avg_non_ignore") else "all")
        weight = loss.get("loss_weight", 1.0)
        if name == "auxiliary_head":
            config.take("aux_weight", weight)
        elif weight != 1.0:
            config.lack(f"decode_head: loss_weight={shown(weight)}")
        if loss.get("use_sigmoid"):
            config.lack(f"{name}: use_sigmoid")
        if loss.get("class_weight"):
            config.lack(f"{name}: class_weight={shown(loss['class_weight'])}; see class_weights")
    if sampler := table(head.get("sampler")):
        config.lack(f"{name}: {shown(sampler.get('type'))}; psp's (ohem) counts by shares")


def _optimizer(config: ForeignConfig, values: Mapping[str, Any]) -> None:
    aux = at(values, "model", "auxiliary_head")
    if isinstance(aux, list):
        config.lack(f"{len(aux)} auxiliary heads; psp has one")
        aux = aux[0] if aux else None
    if aux:
        config.take("aux_width", table(aux).get("channels"))
        _loss(config, table(aux), "auxiliary_head")
    elif "model" in values:
        config.take("aux_weight", 0.0)
    wrapper = table(values.get("optim_wrapper"))
    optimizer = table(wrapper.get("optimizer") or values.get("optimizer"))
    kind = optimizer.get("type", "SGD")
    if wrapper.get("type", "OptimWrapper") != "OptimWrapper":
        config.lack(f"{shown(wrapper['type'])}: psp has precision=bf16 or fp32")
    config.take("accumulate", wrapper.get("accumulative_counts"))
    if wrapper.get("clip_grad"):
        config.lack(f"clip_grad={shown(dict(table(wrapper['clip_grad'])))}")
    if kind != "SGD":
        config.lack(f"optimizer {shown(kind)}: psp has SGD; its rates are of no use there")
        return
    for name, key in (("lr", "lr"), ("momentum", "momentum"), ("weight_decay", "weight_decay")):
        config.take(name, optimizer.get(key))
    if optimizer.get("nesterov"):
        config.lack("nesterov momentum")
    groups = table(wrapper.get("paramwise_cfg") or optimizer.get("paramwise_cfg"))
    keys = {str(key): table(item) for key, item in table(groups.get("custom_keys")).items()}
    heads = [item.get("lr_mult") for key, item in keys.items() if "head" in key]
    config.take("head_lr", heads[0] if heads and heads.count(heads[0]) == len(heads) else 1.0)
    config.take("bias_lr", groups.get("bias_lr_mult", 1.0))
    config.take("norm_decay", groups.get("norm_decay_mult", 1.0) != 0)
    for key, item in keys.items():
        if "head" not in key or set(item) - {"lr_mult"}:
            config.lack(f"paramwise_cfg of {shown(key)}: {shown(dict(item))}")


def _schedule(config: ForeignConfig, values: Mapping[str, Any]) -> None:
    steps = (
        at(values, "train_cfg", "max_iters")
        or at(values, "runner", "max_iters")
        or values.get("total_iters")
    )
    config.take("steps", steps)
    if steps is None:
        epochs = at(values, "train_cfg", "max_epochs") or at(values, "runner", "max_epochs")
        config.lack(f"steps: {f'{shown(epochs)} epochs are said' if epochs else 'not said'}")
    found = values.get("param_scheduler")
    old = table(values.get("lr_config"))
    for item in found if isinstance(found, list) else [found] if found else []:
        policy = table(item)
        if policy.get("type") != "PolyLR":
            config.lack(f"schedule {shown(policy.get('type'))}")
            continue
        config.take("power", policy.get("power", 1.0))
        config.take("lr_min", policy.get("eta_min", 0.0))
        if policy.get("begin", 0) or (steps and policy.get("end", steps) != steps):
            config.lack("PolyLR from another step than the first, or to another than the last")
    if old:
        if old.get("policy") != "poly":
            config.lack(f"schedule {shown(old.get('policy'))}")
        else:
            config.take("power", old.get("power", 1.0))
            config.take("lr_min", old.get("min_lr", 0.0))
        if old.get("warmup"):
            config.lack(f"warmup {shown(old['warmup'])}")
    elif not found:
        config.lack("schedule: not said")


def _batch(config: ForeignConfig, values: Mapping[str, Any], name: str) -> None:
    own = at(values, "train_dataloader", "batch_size") or at(values, "data", "samples_per_gpu")
    if type(own) is not int:
        config.lack("batch: not said")
        return
    named = re.search(r"_(\d+)xb(\d+)[-_]", name)
    gpus = int(named[1]) if named else GPUS
    config.take("batch", gpus * own)
    where = "as its name says" if named else "as in mmsegmentation's own trainings"
    config.assumed.append(f"batch {gpus * own}: {own} on each of {gpus} GPUs, {where}")


def _data_set(config: ForeignConfig, values: Mapping[str, Any]) -> None:
    config.card = card_of(values)
    kind = data_set(values)
    if kind is not None and config.card is None:
        config.lack(f"data set {shown(kind)}: psp ships no card of it; see psp cards new")


def _test(config: ForeignConfig, values: Mapping[str, Any]) -> None:
    test = read_test(as_text(values))
    config.missing += [remark for remark in test.remarks if remark not in config.missing]
    config.take("procedure", test.procedure.name)
    config.take("windows", test.procedure.windows)
    config.take("stride", test.procedure.stride)
    if test.procedure.resize:
        config.take("base_size", "auto")
    config.take("resize", test.procedure.resize)
