"""A network as an ONNX graph for inference.

Input `images`: float32 (batch, 3, H, W), normalized; `batch` is free, H and W are fixed. Output
`logits`: float32 (batch, classes, H, W). `Form` says what else it may be. The network comes with
its batch norms folded into the convolutions (psp.model.fold), so there are plain convolutions only;
the pyramid's convolution is factored as in psp.model.pyramid. Pooling is an ONNX operator if the
bins divide the map; else it is a product with two matrices, as ONNX has no adaptive pooling. So is
every upsampling.

Pyramid, head and ResNets are written node by node. Any other backbone goes through torch's
exporter, and what that gives is put in front.
"""

import io
import warnings
from copy import deepcopy
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn import functional as F

from psp.errors import PspError
from psp.model.backbones.backbone import Backbone
from psp.model.backbones.resnet import BasicBlock, Bottleneck, DilatedResNet
from psp.model.onnx_form import PLAIN, Form
from psp.model.pspnet import PSPNet
from psp.model.pyramid import PyramidConv, PyramidLevel, spread


def onnx_graph(network: PSPNet, size: tuple[int, int], form: Form = PLAIN) -> onnx.ModelProto:
    """Return the graph of a folded network for pictures of `size` (H, W).

    Raises PspError for max pooling to bins that do not divide the map, which ONNX cannot express,
    and for a backbone that torch cannot export.
    """
    return _Writer(network, size, form).model()


class _Writer:
    def __init__(self, network: PSPNet, size: tuple[int, int], form: Form) -> None:
        self.network, self.size, self.form = network, size, form
        self.half = form.half  # of the constants that are written next
        height, width = size
        side = network.backbone.map_side
        self.map = (side(height), side(width))  # h, w of stages 4 and 5
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def model(self) -> onnx.ModelProto:
        backbone, head, form = self.network.backbone, self.network.head, self.form
        x = self.input()
        if isinstance(backbone, DilatedResNet):
            x = self.resnet(x, backbone)
        else:
            x = self.exported(x, backbone)
        assert isinstance(head.conv, PyramidConv)
        x = self.relu(self.pyramid(x, head.conv))
        if self.half:  # scores of three digits would be too few
            self.half = False
            x = self.cast(x, TensorProto.FLOAT)
        x = self.conv(x, head.classifier)
        (height, width), classes = self.map, self.network.spec.classes
        if form.upsample:
            x = self.resize(x, self.map, self.size)
            height, width = self.size
        output = _value("logits", ["batch", classes, height, width])
        if form.argmax:
            x = self.node("ArgMax", x, axis=1, keepdims=0)
            x = self.cast(x, TensorProto.UINT8)
            output = _value("labels", ["batch", height, width], TensorProto.UINT8)
        self.nodes[-1].output[0] = output.name
        height, width = self.size
        images = _value("images", ["batch", 3, height, width])
        if form.preprocess:
            images = _value("images", ["batch", height, width, 3], TensorProto.UINT8)
        graph = helper.make_graph(self.nodes, "pspnet", [images], [output], self.constants)
        opset = [helper.make_opsetid("", form.opset)]
        ir = helper.find_min_ir_version_for(opset)
        return helper.make_model(graph, opset_imports=opset, ir_version=ir, producer_name="psp")

    def input(self) -> str:
        """Return the normalized pictures, (B, 3, H, W), in the type of the backbone."""
        x = "images"
        if self.form.preprocess:
            self.half = False
            x = self.node("Transpose", x, perm=[0, 3, 1, 2])
            x = self.cast(x, TensorProto.FLOAT)
            for kind, values in (
                ("Sub", self.form.preprocess.mean),
                ("Div", self.form.preprocess.std),
            ):
                x = self.node(kind, x, self.constant(torch.tensor(values).view(3, 1, 1)))
            self.half = self.form.half
        return self.cast(x, TensorProto.FLOAT16) if self.half else x

    def resnet(self, x: str, backbone: DilatedResNet) -> str:
        """Map the pictures to stage 5, (B, channels, h, w)."""
        for number in (1, 2, 3) if backbone.deep else (1,):
            x = self.relu(self.conv(x, getattr(backbone, f"conv{number}")))
        x = self.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
        for stage in (backbone.layer1, backbone.layer2, backbone.layer3, backbone.layer4):
            assert isinstance(stage, nn.Sequential)
            for block in stage:
                x = self.block(x, block)
        return x

    def exported(self, x: str, backbone: Backbone) -> str:
        """Map the pictures to stage 5, (B, channels, h, w), by what torch's exporter writes."""
        graph = _exported(backbone, self.size, x, self.form)
        self.nodes += graph.node
        self.constants += graph.initializer
        return "stage5"

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"{kind.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def constant(self, value: Tensor | NDArray[np.int64]) -> str:
        array = value if isinstance(value, np.ndarray) else value.detach().float().cpu().numpy()
        if self.half and array.dtype == np.float32:
            array = array.astype(np.float16)
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def cast(self, x: str, to: int) -> str:
        return self.node("Cast", x, to=to)

    def relu(self, x: str) -> str:
        return self.node("Relu", x)

    def conv(self, x: str, conv: nn.Conv2d) -> str:
        assert conv.bias is not None  # a folded convolution has one
        return self.node(
            "Conv",
            x,
            self.constant(conv.weight),
            self.constant(conv.bias),
            kernel_shape=list(conv.kernel_size),
            pads=[int(n) for n in conv.padding] * 2,
            strides=list(conv.stride),
            dilations=list(conv.dilation),
        )

    def block(self, x: str, block: nn.Module) -> str:
        assert isinstance(block, (BasicBlock, Bottleneck))
        y = self.relu(self.conv(x, block.conv1))
        y = self.conv(y, block.conv2)
        if isinstance(block, Bottleneck):
            y = self.conv(self.relu(y), block.conv3)
        if isinstance(block.downsample, nn.Sequential):
            conv = block.downsample[0]
            assert isinstance(conv, nn.Conv2d)
            x = self.conv(x, conv)
        return self.relu(self.node("Add", x, y))

    def pyramid(self, x: str, pyramid: PyramidConv) -> str:
        """Map (B, in_channels, h, w) to (B, out_channels, h, w)."""
        assert pyramid.conv.bias is not None
        map_weight, *level_weights = torch.split(pyramid.conv.weight, pyramid.widths, dim=1)
        y = self.node(
            "Conv",
            x,
            self.constant(map_weight),
            self.constant(pyramid.conv.bias),
            kernel_shape=[3, 3],
            pads=[1, 1, 1, 1],
        )
        like = torch.zeros(())
        for level, weight in zip(pyramid.levels, level_weights, strict=True):
            assert isinstance(level, PyramidLevel)
            bins, out_channels = level.bin_size, weight.shape[0]
            p = self.pool(x, level)
            if level.reduce:
                p = self.relu(self.conv(p, level.conv))
            # The nine taps' products with the few pixels, (B, out_channels * 9, bins, bins) ...
            taps = weight.permute(0, 2, 3, 1).reshape(9 * out_channels, -1, 1, 1)
            p = self.node("Conv", p, self.constant(taps), kernel_shape=[1, 1])
            p = self.reshape(p, -1, out_channels, 3, 3, bins, bins)
            p = self.node("Transpose", p, perm=[0, 1, 2, 4, 3, 5])
            p = self.reshape(p, -1, out_channels, 3 * bins, 3 * bins)
            # ... are spread over the map by one matrix for each axis.
            down, across = (
                spread(length, bins, like.dtype, like.device, align_corners=pyramid.align_corners)
                for length in self.map
            )
            y = self.node("Add", y, self.between(down, p, across.T))
        return y

    def pool(self, x: str, level: PyramidLevel) -> str:
        bins, (height, width) = level.bin_size, self.map
        by_max = level.pooling == "max"
        if height % bins == 0 and width % bins == 0:
            kernel = [height // bins, width // bins]
            kind = "MaxPool" if by_max else "AveragePool"
            return self.node(kind, x, kernel_shape=kernel, strides=kernel)
        if by_max:
            raise PspError(
                f"ONNX cannot express max pooling of a {width}x{height} map to {bins}x{bins} bins. "
                "Choose a --size whose map divides by the bins: 48k-7, such as 473"
            )
        rows, columns = (_averages(length, bins) for length in self.map)
        return self.between(rows, x, columns.T)

    def resize(self, x: str, before: tuple[int, int], after: tuple[int, int]) -> str:
        align = self.network.spec.align_corners
        down, across = (
            F.interpolate(torch.eye(old)[None], new, mode="linear", align_corners=align)[0].T
            for old, new in zip(before, after, strict=True)
        )
        return self.between(down, x, across.T)

    def between(self, left: Tensor, x: str, right: Tensor) -> str:
        """Multiply the last two axes of x by a matrix from each side."""
        product = self.node("MatMul", x, self.constant(right))
        return self.node("MatMul", self.constant(left), product)

    def reshape(self, x: str, *shape: int) -> str:
        return self.node("Reshape", x, self.constant(np.array(shape, np.int64)))


class _Deepest(nn.Module):
    """The last stage of a backbone alone."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, images: Tensor) -> Tensor:
        """Map (B, 3, H, W) to stage 5, (B, channels, h, w)."""
        stage5: Tensor = self.backbone(images)[1]
        return stage5


def _exported(
    backbone: Backbone, size: tuple[int, int], images: str, form: Form
) -> onnx.GraphProto:
    """Return torch's graph of a backbone, from `images` to `stage5`, for any batch."""
    file = io.BytesIO()
    kind = torch.float16 if form.half else torch.float32
    network = _Deepest(deepcopy(backbone).to(kind)).eval()
    batch = {0: "batch"}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch prefers its other exporter, which needs more
            torch.onnx.export(
                network,
                (torch.zeros(2, 3, *size, dtype=kind),),
                file,  # type: ignore[arg-type]  # without dynamo, memory is as good as a path
                dynamo=False,
                opset_version=form.opset,
                input_names=[images],
                output_names=["stage5"],
                dynamic_axes={images: batch, "stage5": batch},
            )
    except Exception as error:  # of many kinds, one for each thing that it cannot express
        reason = str(error).partition("\n")[0]
        raise PspError(
            f"{type(backbone).__name__}: torch {torch.__version__} cannot export this backbone to "
            f"ONNX ({type(error).__name__}: {reason}). Choose another backbone, or another torch"
        ) from error
    return onnx.load_model_from_string(file.getvalue()).graph


def _averages(length: int, bins: int) -> Tensor:
    """Return the (bins, length) matrix of torch's adaptive average pooling along an axis."""
    identity = torch.eye(length)[None]  # (1, length, length): pooling each unit vector
    return F.adaptive_avg_pool1d(identity, bins)[0].T


def _value(name: str, shape: list[Any], kind: int = TensorProto.FLOAT) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)
