"""The network: the authors' graph, and the factored head equal to the plain one."""

from copy import deepcopy

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from psp.errors import PspError
from psp.model.architecture import Architecture, architecture_from
from psp.model.fold import fold, refold
from psp.model.pspnet import build, build_shapes, upsample
from psp.model.pyramid import PyramidConv


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def meta(**fields):
    with torch.device("meta"):
        return build(Architecture(classes=21, **{"stem": "deep", **fields}))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fields", "stage4", "stage5"),
    [
        ({"backbone": "resnet18"}, 256, 512),
        ({"backbone": "resnet50"}, 1024, 2048),
        ({"backbone": "resnet269", "stem": "7x7"}, 1024, 2048),
    ],
)
def test_stages_keep_an_eighth_of_the_size(fields, stage4, stage5):
    network = meta(**fields)
    four, five = network.backbone(torch.empty(1, 3, 473, 473, device="meta"))
    assert four.shape == (1, stage4, 60, 60)
    assert five.shape == (1, stage5, 60, 60)


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"])
def test_the_7x7_backbone_has_torchvisions_tensors(name):
    from torchvision import models

    with torch.device("meta"):
        theirs = getattr(models, name)().state_dict()
    ours = meta(backbone=name, stem="7x7").backbone.state_dict()
    kept = {key: value.shape for key, value in theirs.items() if not key.startswith("fc.")}
    assert {key: value.shape for key, value in ours.items()} == kept


def test_the_authors_number_of_weights():
    """PSPNet-50 with 150 classes, counted from the layers of section 3 by hand."""
    stem = 3 * 64 * 9 + 64 * 64 * 9 + 64 * 128 * 9 + 2 * (64 + 64 + 128)
    blocks, inputs = 0, 128
    for width, number in ((64, 3), (128, 4), (256, 6), (512, 3)):
        for block in range(number):
            blocks += inputs * width + width * width * 9 + width * 4 * width + 2 * (6 * width)
            if block == 0:
                blocks += inputs * 4 * width + 2 * 4 * width
            inputs = 4 * width
    pyramid = 4 * (2048 * 512 + 2 * 512)
    head = 4096 * 512 * 9 + 2 * 512 + 512 * 150 + 150
    aux = 1024 * 256 * 9 + 2 * 256 + 256 * 150 + 150
    with torch.device("meta"):
        network = build(Architecture(classes=150, stem="deep"))
    assert count(network) == stem + blocks + pyramid + head + aux


def test_dilation_is_2_in_stage_4_and_4_in_stage_5_from_the_first_block_on():
    network = meta(backbone="resnet50")
    for layer, dilation in ((network.backbone.layer3, 2), (network.backbone.layer4, 4)):
        for block in layer:
            assert block.conv2.dilation == (dilation, dilation)
            assert block.conv2.stride == (1, 1)
    halved = meta(backbone="resnet50", first_dilation="half").backbone
    assert halved.layer3[0].conv2.dilation == (1, 1)
    assert halved.layer4[0].conv2.dilation == (2, 2)
    assert halved.layer4[1].conv2.dilation == (4, 4)


HEADS = [
    {},
    {"pooling": "max"},
    {"reduce": False, "bins": (1, 3)},
    {"bins": ()},
    {"bins": (1,)},
    {"bins": (2, 5, 9)},
    {"align_corners": False},
    {"align_corners": False, "pooling": "max", "bins": (2, 5, 9)},
    {"level_width": 10},
]


def compare(module, inputs, run):
    """Return the largest relative differences, plain against factored, of output and gradients."""
    found = []
    for plain in (True, False):
        module.zero_grad()
        outputs = run(plain, inputs)
        (outputs.square() * outputs.cos()).sum().backward()
        gradients = [p.grad.clone() for p in [inputs, *module.parameters()]]
        inputs.grad = None
        found.append([outputs.detach(), *gradients])
    return [
        ((one - other).abs().max() / one.abs().max().clamp(min=1e-6)).item()
        for one, other in zip(*found, strict=True)
    ]


@pytest.mark.parametrize("fields", HEADS, ids=lambda f: ",".join(f"{k}={v}" for k, v in f.items()))
@pytest.mark.parametrize("size", [(6, 6), (8, 12), (2, 4), (1, 7)])
def test_factored_and_plain_pyramid_are_equal_with_their_gradients(fields, size):
    torch.manual_seed(0)
    options = {"bins": (1, 2, 3, 6), "pooling": "average", "reduce": True, "align_corners": True}
    pyramid = PyramidConv(24, 16, momentum=0.1, **{**options, **fields}).double().train()

    def run(plain, x):
        pyramid.plain = plain
        return pyramid(x)

    x = torch.randn(3, 24, *size, dtype=torch.float64, requires_grad=True)
    assert max(compare(pyramid, x, run)) <= 1e-10


@pytest.mark.slow
def test_factored_and_plain_head_give_the_same_network():
    torch.manual_seed(0)
    network = build(Architecture(classes=5, backbone="resnet18", stem="deep")).double().train()

    def run(plain, images):
        network.use_plain_head(plain)
        torch.manual_seed(1)  # the same dropout
        logits = network(images)
        return torch.cat([logits.main, logits.aux], dim=1)

    images = torch.randn(2, 3, 41, 57, dtype=torch.float64, requires_grad=True)
    assert max(compare(network, images, run)) <= 1e-10


@pytest.mark.slow
def test_the_pyramid_sees_the_whole_picture():
    """Far pixels change the logits through the pyramid only: without it, a small net is local."""
    torch.manual_seed(0)
    reached = {}
    for bins in ((), (1,)):
        network = build(Architecture(classes=2, backbone="resnet18", bins=bins, stem="deep")).eval()
        image = torch.randn(1, 3, 41, 1609)
        changed = image.clone()
        changed[..., -8:] += 3
        with torch.inference_mode():
            difference = (network(image).main - network(changed).main)[..., 0].abs().max()
        reached[bins] = difference.item()
    assert reached[()] == 0
    assert reached[(1,)] > 0


def test_auxiliary_logits_only_while_training():
    network = build(Architecture(classes=4, backbone="resnet18", stem="deep"))
    images = torch.randn(2, 3, 41, 41)
    assert network.train()(images).aux.shape == (2, 4, 6, 6)
    assert network.eval()(images).aux is None
    bare = build(Architecture(classes=4, backbone="resnet18", aux=False, stem="deep"))
    assert bare.train()(images).aux is None
    assert count(bare) < count(network)


def test_dropout_kinds():
    for kind, module in (("element", torch.nn.Dropout), ("channel", torch.nn.Dropout2d)):
        network = meta(dropout_kind=kind)
        assert type(network.head.dropout) is module
        assert type(network.aux.dropout) is module


@pytest.mark.slow
@pytest.mark.parametrize(
    "fields",
    [
        {"backbone": "resnet50"},
        {"backbone": "resnet18", "stem": "7x7", "bins": (1,), "pooling": "max", "reduce": False},
        {"backbone": "resnet50", "bins": (), "aux": False, "stride_in": "1x1"},
    ],
)
def test_a_folded_network_gives_the_same_logits(fields):
    torch.manual_seed(0)
    network = build(Architecture(classes=7, **{"stem": "deep", **fields}))
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.3, 2)
            module.weight.data.uniform_(-1, 1)
            module.bias.data.normal_(0, 0.2)
    network.eval()
    folded = fold(deepcopy(network), torch.float32)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded.modules())
    images = torch.randn(2, 3, 89, 105)
    with torch.inference_mode():
        expected, found = network(images).main, folded(images).main
        fast = fold(network, torch.bfloat16)(images.bfloat16()).main
    scale = expected.max() - expected.min()
    assert (found - expected).abs().max() <= 1e-5 * scale
    assert fast.dtype == torch.float32  # the classifier's own
    assert (fast - expected).abs().max() <= 0.05 * scale


@pytest.mark.slow
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16], ids=str)
def test_a_folded_network_follows_the_weights_to_the_bit(precision):
    torch.manual_seed(0)
    network = build(Architecture(classes=7, backbone="resnet18", stem="7x7"))
    folded = fold(deepcopy(network), precision)
    for tensor in (*network.parameters(), *network.buffers()):
        if tensor.is_floating_point():
            tensor.data.uniform_(0.1, 2)
    refold(folded, network)
    expected = fold(network, precision).state_dict()
    found = folded.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_upsampling_by_eight_keeps_the_grid():
    logits = torch.randn(1, 3, 6, 6)
    assert torch.allclose(upsample(logits, (41, 41))[..., ::8, ::8], logits, atol=1e-5)


def test_architecture_survives_json_and_refuses_the_unknown():
    spec = Architecture(classes=3, bins=(), stem_widths=(32, 32, 64))
    assert architecture_from(spec.to_dict()) == spec
    with pytest.raises(PspError, match="newer psp.*pruned"):
        architecture_from({**spec.to_dict(), "pruned": True})
    with pytest.raises(PspError, match="vgg16"):
        Architecture(classes=3, backbone="vgg16", stem="deep")


def test_shapes_are_those_of_the_network_and_no_value_is_drawn():
    """On the meta device, torch would load sympy to draw values that there are not."""
    drawn = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            drawn.append(str(func))
            return func(*args, **(kwargs or {}))

    spec = Architecture(classes=3, backbone="resnet18")
    with Watch():
        shapes = build_shapes(spec)
    assert drawn and not [name for name in drawn if "normal" in name or "uniform" in name]
    assert all(tensor.is_meta for tensor in shapes.state_dict().values())
    expected = build(spec).state_dict()
    assert {name: (t.shape, t.dtype) for name, t in shapes.state_dict().items()} == {
        name: (t.shape, t.dtype) for name, t in expected.items()
    }
