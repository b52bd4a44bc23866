"""Export of a model to an ONNX file, which is compared with torch before it is written."""

import json
from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from psp.errors import PspError
from psp.files import atomic_write
from psp.model.choice import Choice
from psp.model.fold import fold
from psp.model.onnx_form import OPSET, PLAIN, Form
from psp.model.pspnet import PSPNet, upsample
from psp.model.weights import HEADER, Header, load_network
from psp.settings.size import Sides, Size, parse_pair, size_of

Pixels = NDArray[np.float32]
# Largest difference, as a share of the logits' range; float32 rounding gives about 1e-6, float16
# about 1e-3.
TOLERANCE, TOLERANCE_FP16 = 1e-4, 2e-2
AGREEMENT = 0.8  # least share of pixels to which an int8 file gives torch's class
EVERY = 8  # of the windows for int8, each eighth is not calibrated with, but compared
PARTS = ("preprocess", "argmax")  # that a file can include


@dataclass(frozen=True)
class Exported:
    """An ONNX file that was written."""

    path: Path
    size: Size  # of the pictures that it takes
    difference: float  # from torch's logits, as a share of their range
    header: Header
    form: Form = PLAIN
    agreement: float | None = None  # of int8: the share of pixels that get torch's class

    @property
    def input(self) -> str:
        """What it takes, for people."""
        width, height = self.size
        if self.form.preprocess:
            return f"images: uint8 (batch, {height}, {width}, 3), RGB pixels as they are"
        return (
            f"images: float32 (batch, 3, {height}, {width}), normalized as described in its "
            "metadata"
        )

    @property
    def output(self) -> str:
        """What it gives, for people."""
        width, height = self.size
        if self.form.argmax:
            return f"labels: uint8 (batch, {height}, {width}), class ids"
        sides = f"{height}, {width}" if self.form.upsample else "h, w"
        small = "" if self.form.upsample else ", at 1/8 of the size"
        return f"logits: float32 (batch, {len(self.header.classes)}, {sides}){small}"


def export(
    weights: Path,
    out: Path,
    size: Size | None = None,
    report: Callable[[str], None] = lambda text: None,
    *,
    include: tuple[str, ...] = (),
    upsampled: bool = True,
    half: bool = False,
    opset: int = OPSET,
    calibration: Callable[[Header], Iterable[Pixels]] | None = None,
) -> Exported:
    """Write a model for pictures of `size`, the model's crop if None, in any batch size.

    The file takes normalized RGB, float32 (batch, 3, H, W), and gives logits (batch, classes, H,
    W), at 1/8 of that if not `upsampled`. With `preprocess` in `include` it takes the pixels, uint8
    (batch, H, W, 3) RGB; with `argmax` it gives class ids, uint8 (batch, H, W). `half` computes in
    float16. With `calibration`, which returns normalized windows (3, H, W) for the file's header,
    it computes in int8. Its metadata have classes, colors, preprocessing, procedure and windows as
    JSON. It is run by onnxruntime in batches of 1 and 2, and written only if the result agrees with
    torch's. Raises PspError if onnx or onnxruntime is not installed, for an impossible size or
    opset, or if the logits differ.
    """
    try:
        import onnxruntime

        from psp.model.onnx_graph import onnx_graph
        from psp.zoo.int8 import quantized
    except ImportError as error:
        raise PspError(
            f"psp export needs {error.name}, which is not installed: pip install onnx onnxruntime"
        ) from None
    if half and calibration is not None:
        raise PspError("--fp16 and --int8: use only one of them.")
    network, header = load_network(weights)
    size = size or size_of(header.crop)
    if not all(9 <= side <= 4097 for side in size):
        raise PspError(f"--size {size}: each side must be from 9 to 4097.")
    header = _of_file(header, size)
    pixels = header.preprocessing if "preprocess" in include else None
    form = Form(
        preprocess=pixels,
        argmax="argmax" in include,
        upsample=upsampled,
        half=half,
        opset=opset,
    )
    report(f"writing the network for pictures of {size}")
    model = onnx_graph(fold(deepcopy(network), torch.float32), size.shape, form)
    compared: list[Pixels] = []
    if calibration is not None:
        pictures = list(calibration(header))
        report(f"calibrating int8 with windows of {len(pictures)} pictures")
        compared = pictures[::EVERY]
        others = [x for i, x in enumerate(pictures) if i % EVERY or len(pictures) < EVERY]
        model = quantized(model, (_as_taken(torch.from_numpy(x)[None], form) for x in others))
    for key, value in _metadata(header).items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    data = model.SerializeToString()
    report("comparing it with torch")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    if compared:
        agreement, difference = agreement_of(session, network, compared, form)
        if not agreement >= AGREEMENT:
            raise PspError(
                f"{out}: not written: in int8, only {agreement:.0%} of the pixels of "
                f"{len(compared)} windows get torch's class. Leave out --int8, or calibrate with "
                "pictures like those that the network was trained on"
            )
        return _written(out, data, Exported(out, size, difference, header, form, agreement))
    difference = largest_difference(session, network, size.shape, form)
    if not difference <= (TOLERANCE_FP16 if half else TOLERANCE):
        remedy = "leave out --fp16, whose numbers end at 65504, or try" if half else "Try"
        raise PspError(
            f"{out}: not written: onnxruntime's logits differ from torch's by {difference:.1e} of "
            f"their range. {remedy[0].upper()}{remedy[1:]} another version of onnxruntime (this is "
            f"{onnxruntime.__version__})"
        )
    return _written(out, data, Exported(out, size, difference, header, form))


def _written(out: Path, data: bytes, exported: Exported) -> Exported:
    with atomic_write(out) as temporary:
        temporary.write_bytes(data)
    return exported


def parse_include(text: str | None) -> tuple[str, ...]:
    """Return the parts of "preprocess,argmax". Raises PspError for what is none."""
    names = tuple(dict.fromkeys(part.strip() for part in text.split(","))) if text else ()
    for name in names:
        if name not in PARTS:
            raise PspError(f"--include {text}: '{name}' is none of {', '.join(PARTS)}.")
    return names


def parse_size(text: str) -> Size:
    """Return the sides of "473" or "1425x713". Raises PspError for anything else."""
    if text.lower() in ("dynamic", "any", "-1"):
        raise PspError(
            f"--size {text}: the pyramid's grids depend on the size of the picture, so a file for "
            "any size would silently compute another network. Export one file for each size"
        )
    sides = text.lower()
    size = parse_pair(sides if "x" in sides else f"{sides}x{sides}")
    if size is None:
        raise PspError(f"--size {text}: must be one side, such as 473, or WIDTHxHEIGHT.")
    return size


def _of_file(header: Header, size: Size) -> Header:
    """Return the header of a file for pictures of a size, which are the windows of a procedure.

    Unless no procedure can have them: they lie side by side where corners do.
    """
    crop: Sides = size.width if size.width == size.height else str(size)
    if header.architecture.align_corners and any(side % 8 != 1 for side in size):
        crop = header.crop
    return replace(header, crop=crop, windows=str(size))


def _metadata(header: Header) -> dict[str, str]:
    width, height = map(int, (header.windows or "").split("x"))
    values = {
        "classes": list(header.classes),
        "palette": [list(color) for color in header.palette],
        "preprocessing": {"channels": "RGB", **asdict(header.preprocessing)},
        "procedure": _procedure(header),
        "windows": {"width": width, "height": height},
    }
    texts = {key: json.dumps(value, ensure_ascii=False) for key, value in values.items()}
    return {**texts, HEADER: header.to_json()}


def _procedure(header: Header) -> dict[str, Any]:
    """Return how psp evaluate runs the file, by default; for a size that it refuses, only whose."""
    try:
        procedure = asdict(Choice()(header))
    except PspError:
        return {"name": header.procedure.name if header.procedure else "torch"}
    return {key: value for key, value in procedure.items() if key != "changed"}


def largest_difference(session: Any, network: PSPNet, size: tuple[int, int], form: Form) -> float:
    """Return the largest difference of the logits of random pictures, relative to their range.

    The pictures' `size` is (H, W).
    `session` is onnxruntime's InferenceSession of the exported network. It gets a batch of two
    pictures, and a batch of one. Of class ids, it is by how much torch's logit of the class that
    the file gives is below its highest one.
    """
    images, normalized = _random_pictures(size, form)
    with torch.inference_mode():
        expected = _logits(network, normalized, form)
        worst = 0.0
        for batch in (2, 1):
            (found,) = session.run(None, {"images": images[:batch]})
            given, own = torch.from_numpy(found), expected[:batch]
            if form.argmax:
                own, given = own.amax(1), own.gather(1, given.long()[:, None])[:, 0]
            worst = float(np.maximum(worst, (given - own).abs().max().item()))  # keeps a NaN
        return worst / max(float(expected.max() - expected.min()), 1e-12)


def agreement_of(
    session: Any, network: PSPNet, windows: list[Pixels], form: Form
) -> tuple[float, float]:
    """Return the share of the windows' pixels that get torch's class, and the largest difference
    of the logits as a share of their range (1, if the file gives class ids)."""
    same, worst = [], 0.0
    for window in windows:
        images = torch.from_numpy(window)[None]
        (found,) = session.run(None, {"images": _as_taken(images, form)})
        given = torch.from_numpy(found)
        with torch.inference_mode():
            expected = _logits(network, images, form)
        if form.argmax:
            labels, worst = given, 1.0
        else:
            labels = given.argmax(1)
            span = float(expected.max() - expected.min())
            worst = max(worst, float((given - expected).abs().max()) / max(span, 1e-12))
        same.append(float((labels == expected.argmax(1)).float().mean()))
    return float(np.mean(same)), worst


def _logits(network: PSPNet, images: Tensor, form: Form) -> Tensor:
    """Return torch's logits of normalized pictures, of the size that the file gives."""
    logits: Tensor = network(images).main
    if not form.upsample:
        return logits
    height, width = images.shape[2:]
    return upsample(logits, (height, width), align_corners=network.spec.align_corners)


def _as_taken(normalized: Tensor, form: Form) -> Any:
    """Return normalized pictures (B, 3, H, W) as the file takes them."""
    if form.preprocess is None:
        return normalized.contiguous().numpy()
    return form.preprocess.undone(normalized).permute(0, 2, 3, 1).contiguous().numpy()


def _random_pictures(size: tuple[int, int], form: Form) -> tuple[Any, Tensor]:
    """Return two random pictures as the file takes them, and as torch does."""
    random = np.random.default_rng(0)
    if form.preprocess is None:
        images = random.normal(size=(2, 3, *size)).astype(np.float32)
        return images, torch.from_numpy(images)
    pixels = random.integers(0, 256, (2, *size, 3), np.uint8)
    return pixels, form.preprocess(torch.from_numpy(pixels))
