"""Initial weights: torchvision's fit by name; anything else is an error, never a silent start."""

import hashlib
import os
from dataclasses import replace
from urllib.error import URLError

import pytest
import torch
from helpers.errors import error_naming
from helpers.plain_nets import MMSegmentation

from psp.errors import PspError
from psp.model.architecture import Architecture
from psp.model.backbones.backbone import find_backbone
from psp.model.backbones.resnet import FIRST
from psp.model.procedure import Published
from psp.model.pspnet import build
from psp.model.weights import Header, save_weights
from psp.settings.config import train_config
from psp.train.finetune import follow
from psp.train.init import draw_new_layers, inherit, initialize

CLASSES = ("a", "b", "c")


def network(**fields):
    return build(Architecture(classes=3, **{"backbone": "resnet18", "stem": "7x7", **fields}))


@pytest.fixture
def torchvision_file(tmp_path):
    from torchvision import models

    torch.manual_seed(5)
    path = tmp_path / "resnet18.pth"
    torch.save(models.resnet18().state_dict(), path)
    return path


def test_a_torchvision_file_fills_the_backbone_and_nothing_else(torchvision_file):
    net = network()
    head = net.head.classifier.weight.clone()
    (said,) = initialize(net, str(torchvision_file), CLASSES).remarks
    theirs = torch.load(torchvision_file)
    for name, tensor in net.backbone.state_dict().items():
        assert torch.equal(tensor, theirs[name])
    assert torch.equal(net.head.classifier.weight, head)
    assert "new: pyramid and classifiers" in said


def test_the_backbone_computes_what_torchvision_does_before_dilation(torchvision_file):
    from torchvision import models

    net = network().eval()
    initialize(net, str(torchvision_file), CLASSES)
    theirs = models.resnet18()
    theirs.load_state_dict(torch.load(torchvision_file))
    theirs.eval()
    x = torch.randn(1, 3, 65, 65)
    with torch.inference_mode():
        expected = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(x))))
        expected = theirs.layer2(theirs.layer1(expected))
        found = {}
        net.backbone.layer2.register_forward_hook(lambda m, i, o: found.setdefault("x", o))
        net.backbone(x)
    assert torch.allclose(found["x"], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"backbone": "resnet34"}, "resnet34.*7x7"),
        ({"stem": "deep"}, "resnet18.*deep"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(torchvision_file, fields, message):
    with pytest.raises(PspError, match=message):
        initialize(network(**fields), str(torchvision_file), CLASSES)


def offline(*arguments, **options):
    raise URLError("Name or service not known")


@pytest.mark.slow
def test_without_a_network_imagenet_is_an_error_that_names_the_file(monkeypatch, tmp_path, capfd):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("urllib.request.urlopen", offline)
    for fields, file in (
        ({}, r"resnet18-\w+\.pth.*--init"),
        ({"backbone": "convnext_tiny"}, r"convnext_tiny-\w+\.pth.*--init"),
    ):
        with pytest.raises(PspError, match=file):
            initialize(network(**fields), "imagenet", CLASSES)
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_imagenet_takes_the_file_from_torchs_cache_and_checks_it(
    monkeypatch, tmp_path, torchvision_file
):
    data = torchvision_file.read_bytes()
    name = f"resnet18-{hashlib.sha256(data).hexdigest()[:8]}.pth"  # as torchvision names its files
    monkeypatch.setitem(FIRST, "resnet18", name)
    monkeypatch.setattr("urllib.request.urlopen", offline)
    cached = tmp_path / "hub/checkpoints" / name
    cached.parent.mkdir(parents=True)
    cached.write_bytes(data)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    net = network()
    assert "IMAGENET1K_V1" in " ".join(initialize(net, "imagenet", CLASSES).remarks)
    assert torch.equal(net.backbone.conv1.weight, torch.load(torchvision_file)["conv1.weight"])
    cached.write_bytes(data[:-1])
    with pytest.raises(PspError, match=f"{name}.*--init"):
        initialize(network(), "imagenet", CLASSES)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"stem": "deep"}, "deep.*stem=7x7.*--init none"),
        ({"backbone": "resnet269"}, "resnet269.*--init"),
    ],
)
def test_imagenet_weights_that_do_not_exist_are_said(fields, message):
    with torch.device("meta"):
        net = network(**fields)
    with pytest.raises(PspError, match=message):
        initialize(net, "imagenet", CLASSES)


@pytest.mark.parametrize(
    ("backbone", "name", "version"),
    [
        ("resnet18", "imagenet", "IMAGENET1K_V1"),
        ("resnet34", "imagenet", "IMAGENET1K_V1"),
        ("resnet50", "imagenet", "IMAGENET1K_V1"),
        ("resnet50", "imagenet-v2", "IMAGENET1K_V2"),
        ("resnet101", "imagenet", "IMAGENET1K_V1"),
        ("resnet101", "imagenet-v2", "IMAGENET1K_V2"),
        ("resnet152", "imagenet", "IMAGENET1K_V1"),
        ("resnet152", "imagenet-v2", "IMAGENET1K_V2"),
        ("convnext_tiny", "imagenet", "IMAGENET1K_V1"),
    ],
)
def test_torchvisions_weights_are_where_torchvision_says(backbone, name, version):
    """Address, digits of the checksum, and the mean and deviation that a run takes over."""
    from torchvision import models

    spec = Architecture(classes=3, backbone=backbone, stem="7x7")
    (ours,) = (w for w in find_backbone(backbone).initial_weights(spec) if w.name == name)
    theirs = models.get_model_weights(backbone)[version]
    assert ours.address == theirs.url
    assert ours.file == theirs.url.rpartition("/")[2]
    assert len(ours.sha256) == 8 and ours.file.endswith(f"-{ours.sha256}.pth")
    pixels, transform = inherit(spec, name)[1], theirs.transforms()
    assert pixels.mean == pytest.approx([255 * value for value in transform.mean])
    assert pixels.std == pytest.approx([255 * value for value in transform.std])


def test_weights_that_a_backbone_does_not_have_are_refused_with_what_there_is():
    for fields, name, texts in (
        ({"backbone": "resnet18"}, "imagenet-v2", ["resnet18", "imagenet)", "--init none"]),
        ({"backbone": "resnet50"}, "imagenet-v3", ["imagenet, imagenet-v2"]),
        ({"backbone": "resnet50", "stem": "deep"}, "imagenet-v2", ["stem=deep", "stem=7x7"]),
        ({"backbone": "convnext_tiny"}, "imagenet-v2", ["convnext_tiny", "imagenet)"]),
    ):
        with torch.device("meta"):
            net = network(**fields)
        with error_naming(PspError, f"--init {name}", *texts):
            initialize(net, name, CLASSES)


@pytest.mark.slow
def test_torchvisions_convnext_fills_the_backbone(tmp_path):
    from torchvision import models

    theirs = models.convnext_tiny().state_dict()
    torch.save(theirs, tmp_path / "convnext.pth")
    net = network(backbone="convnext_tiny")
    initialize(net, str(tmp_path / "convnext.pth"), CLASSES)
    for name, tensor in net.backbone.state_dict().items():
        assert torch.equal(tensor, theirs[name]), name
    with error_naming(PspError, "convnext.pth", "resnet18"):
        initialize(network(), str(tmp_path / "convnext.pth"), CLASSES)


def header(spec, classes):
    return Header(
        architecture=spec,
        classes=classes,
        palette=((0, 0, 0),) * len(classes),
        dataset="d",
        data="f",
        crop=41,
        base_size=None,
        step=1,
    )


@pytest.fixture
def model(tmp_path):
    """A network, and its weights file."""
    torch.manual_seed(1)
    source = network()
    path = tmp_path / "m.safetensors"
    save_weights(path, source.state_dict(), header(source.spec, CLASSES))
    return source, path


@pytest.mark.slow
def test_a_model_of_the_same_classes_is_taken_whole(model):
    source, path = model
    same = network()
    begun = initialize(same, str(path), CLASSES)
    assert all(torch.equal(v, same.state_dict()[k]) for k, v in source.state_dict().items())
    assert "head.classifier" in begun.reused
    assert begun.record["new"] == {"heads": [], "classes": []}
    assert not any("procedure" in remark for remark in begun.remarks)
    published = replace(header(source.spec, CLASSES), procedure=Published("csail", "whole"))
    save_weights(path, source.state_dict(), published)
    (said,) = (text for text in initialize(same, str(path), CLASSES).remarks if "procedure" in text)
    assert "csail" in said and "torch" in said


def test_rows_of_equal_names_are_copied_and_all_others_stay_fresh(model):
    """To another number of classes in another order: b is the model's, on both classifiers."""
    source, path = model
    classes = ("x", "b", "y", "z")
    other = build(Architecture(classes=4, backbone="resnet18"))
    before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
    begun = initialize(other, str(path), classes)
    theirs = source.state_dict()
    for name, tensor in other.state_dict().items():
        if ".classifier." not in name:
            assert torch.equal(tensor, theirs[name]), name
            continue
        for row, class_name in enumerate(classes):
            expected = theirs[name][1] if class_name == "b" else before[name][row]
            assert torch.equal(tensor[row], expected), (name, class_name)
    text = "\n".join(begun.remarks)
    assert "1 class: b" in text and "3 classes: x, y, z" in text
    assert begun.record["reused"]["classes"] == ["b"]
    assert set(begun.reused) == {"head.conv", "head.bn", "aux.conv", "aux.bn"}


@pytest.mark.slow
def test_a_head_of_another_kind_is_new_and_said(model):
    source, path = model
    flat = network(bins=(6, 3, 2, 1), aux=False)
    before = {name: tensor.clone() for name, tensor in flat.state_dict().items()}
    begun = initialize(flat, str(path), CLASSES)
    for name, tensor in flat.state_dict().items():  # its levels mean other grids
        expected = source.state_dict()[name] if name.startswith("backbone.") else before[name]
        assert torch.equal(tensor, expected), name
    assert not begun.reused
    assert "pyramid" in begun.remarks[2] and "a, b, c" in begun.remarks[2]
    with pytest.raises(PspError, match="resnet34.*--backbone resnet18"):
        initialize(network(backbone="resnet34"), str(path), CLASSES)


def test_the_network_follows_the_model_but_for_what_is_given(tmp_path):
    source = network(bins=(1, 2), dropout=0.4, norm_momentum=0.05)
    path = tmp_path / "m.safetensors"
    save_weights(path, source.state_dict(), header(source.spec, CLASSES))
    config = train_config(init=str(path), crop=185)
    found = follow(config, path, ()).network
    assert (found.backbone, found.bins, found.dropout) == ("resnet18", (1, 2), 0.4)
    assert follow(config, path, ("dropout",)).network.dropout == 0.1
    assert follow(config, path, ()).augmentation.crop == 185
    with error_naming(PspError, "backbone=resnet50", "resnet18", str(path)):
        follow(config, path, ("backbone",))


def test_another_programs_network_is_to_be_imported_first(tmp_path):
    theirs = MMSegmentation(18, 3)
    torch.save({"state_dict": theirs.state_dict()}, tmp_path / "theirs.pth")
    with error_naming(PspError, "theirs.pth", "mmsegmentation", "psp import"):
        initialize(network(), str(tmp_path / "theirs.pth"), CLASSES)


class Evil:
    def __reduce__(self):
        return os.system, ("touch executed",)


@pytest.mark.slow
def test_wrong_files_are_refused_and_nothing_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": Evil()}, "evil.pth")
    (tmp_path / "text.pth").write_text("hello")
    torch.save([1, 2], "list.pth")
    for name, message in (
        ("evil.pth", "refused"),
        ("text.pth", "damaged|refused"),
        ("list.pth", "list.pth"),
        ("none.pth", "none.pth"),
    ):
        with pytest.raises(PspError, match=message) as error:
            initialize(network(), name, CLASSES)
        assert "\n" not in str(error.value)
    assert not (tmp_path / "executed").exists()


def timms_names(network):
    """Name a deep-stem backbone's tensors as timm does: conv1 is a sequence, bn1 ends it."""
    stem = {
        "conv1": "conv1.0",
        "bn1": "conv1.1",
        "conv2": "conv1.3",
        "bn2": "conv1.4",
        "conv3": "conv1.6",
        "bn3": "bn1",
    }
    for name, tensor in network.backbone.state_dict().items():
        first, _, rest = name.partition(".")
        yield f"{stem.get(first, first)}.{rest}", tensor


@pytest.mark.slow
def test_timms_deep_stem_fits_by_meaning(tmp_path):
    from safetensors.torch import save_file

    torch.manual_seed(2)
    source, target = (network(backbone="resnet50", stem="deep") for _ in range(2))
    for module in source.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # or no exchange of two would be seen
            torch.nn.init.uniform_(module.weight)
            torch.nn.init.uniform_(module.running_mean)
    tensors = dict(timms_names(source)) | {"fc.weight": torch.zeros(1000, 2048)}
    save_file({n: t.contiguous() for n, t in tensors.items()}, tmp_path / "timm.safetensors")
    initialize(target, str(tmp_path / "timm.safetensors"), CLASSES)
    for name, tensor in source.backbone.state_dict().items():
        assert torch.equal(tensor, target.backbone.state_dict()[name]), name


@pytest.mark.slow
def test_imagenet_for_the_deep_stem_is_fetched_once_pinned_or_named(monkeypatch, tmp_path):
    from safetensors.torch import save_file

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("urllib.request.urlopen", offline)
    net = network(backbone="resnet50", stem="deep")
    with pytest.raises(PspError, match="timm/resnet50s.gluon_in1k.*--init"):
        initialize(net, "imagenet", CLASSES)

    published = tmp_path / "published.safetensors"
    save_file({n: t.contiguous() for n, t in timms_names(net)}, published)
    monkeypatch.undo()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("psp.model.backbones.resnet.TIMM", published.as_uri())
    first = " ".join(initialize(net, "imagenet", CLASSES).remarks)
    assert "timm's resnet50s.gluon_in1k" in first and ".sha256" in first  # no checksum is published
    published.unlink()
    assert "timm's resnet50s.gluon_in1k" in " ".join(initialize(net, "imagenet", CLASSES).remarks)
    with pytest.raises(PspError, match="resnet18.*stem=7x7"):
        initialize(network(stem="deep"), "imagenet", CLASSES)


def test_new_layers_can_begin_as_mmsegmentations():
    torch.manual_seed(0)
    net, same = network(), network()
    same.load_state_dict(net.state_dict())
    draw_new_layers(same, "torch")
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), same.parameters(), strict=True))
    draw_new_layers(net, "normal")
    for head in (net.head, net.aux):
        assert 0.009 < head.classifier.weight.std() < 0.011 and not head.classifier.bias.any()
    deviation = float(net.head.conv.conv.weight.detach().std())
    assert deviation == pytest.approx((2 / (512 * 9)) ** 0.5, rel=0.01)
    assert torch.equal(net.backbone.conv1.weight, same.backbone.conv1.weight)


def test_open_mmlabs_file_fills_the_stem_of_32_channels(tmp_path):
    net, other = (network(stem="deep", stem_widths=(32, 32, 64)) for _ in range(2))
    stem = {"conv1": 0, "bn1": 1, "conv2": 3, "bn2": 4, "conv3": 6, "bn3": 7}
    tensors = {}
    for name, tensor in other.backbone.state_dict().items():
        part, _, rest = name.partition(".")
        tensors[f"stem.{stem[part]}.{rest}" if part in stem else name] = tensor
    torch.save(tensors | {"fc.weight": torch.zeros(10, 512)}, tmp_path / "resnet18_v1c.pth")
    initialize(net, str(tmp_path / "resnet18_v1c.pth"), CLASSES)
    for name, tensor in net.backbone.state_dict().items():
        assert torch.equal(tensor, other.backbone.state_dict()[name])
    (known,) = find_backbone("resnet18").initial_weights(net.spec)
    assert known.name == "imagenet" and known.sha256 in known.file
