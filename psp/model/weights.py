"""Weights files: safetensors that describe themselves.

One metadata key, "psp", holds sorted JSON (`Header`): architecture, classes with colors,
preprocessing, crop and base size, the step they come from and the data they were trained on. One
key, because several would be written in random order, and the same weights must give the same file.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from psp.errors import PspError
from psp.files import atomic_write
from psp.headers import Fields, NewerError, is_label, is_whole, parse, shown
from psp.model.architecture import Architecture, architecture_from
from psp.model.foreign import CONVERT, is_torch, what_it_is
from psp.model.onnx_metadata import is_onnx, read_metadata
from psp.model.preprocessing import IMAGENET, Preprocessing, preprocessing_from
from psp.model.procedure import Published, parse_windows
from psp.model.pspnet import PSPNet, build_shapes
from psp.settings.resize import LARGEST_SIDE
from psp.settings.size import Sides, is_sides, size_of

FORMAT = "psp-weights"
VERSION = 1
HEADER = "psp"  # the key of the metadata that has all of it
# What an ONNX file of psp export has, each as JSON, for programs that know nothing of psp's header.
ONNX_KEYS = ("classes", "palette", "preprocessing", "procedure", "windows", HEADER)
CROPS = (9, 8193)  # sides of windows; psp's own are 4097 at most


@dataclass(frozen=True)
class Header:
    """What a weights file says of itself."""

    architecture: Architecture
    classes: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    dataset: str
    data: str  # fingerprint of the shards
    crop: Sides
    base_size: int | None
    step: int
    preprocessing: Preprocessing = IMAGENET
    max_side: int | None = None  # of the pictures trained on, where longer ones were shrunk to it
    source: str = ""  # of imported weights: what they were, the file's name and its SHA-256
    procedure: Published | None = None  # of imported weights: the one that their scores are from
    windows: str | None = None  # of an ONNX file: the only ones that it takes, WIDTHxHEIGHT

    def to_json(self) -> str:
        """Return one line of sorted JSON; `_header_from` is its inverse."""
        value = asdict(self)
        for later in ("max_side", "procedure", "windows"):
            if value[later] is None:
                del value[later]
        value |= {"format": FORMAT, "version": VERSION, "architecture": self.architecture.to_dict()}
        return json.dumps(value, sort_keys=True, ensure_ascii=False)


def save_weights(path: Path, state: Mapping[str, Tensor], header: Header) -> None:
    """Write a weights file, whole or not at all. The same tensors give the same bytes."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    data = save(tensors, metadata={"psp": header.to_json()})
    with atomic_write(path) as temporary:
        temporary.write_bytes(data)


def load_network(path: Path) -> tuple[PSPNet, Header]:
    """Return the network in a weights file, in evaluation mode on the CPU, and its header.

    Raises PspError for a file that is not psp weights, is damaged, or does not fit its own header.
    """
    header, tensors = read_weights(path)
    network = build_shapes(header.architecture)
    check_values(tensors, network.state_dict(), path)
    try:
        network.load_state_dict(tensors, strict=True, assign=True)
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise PspError(f"{path}: the tensors do not fit the file's own header: {first}") from None
    return network.eval(), header


def check_values(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], path: Path) -> None:
    """Raise PspError for a tensor of another type than expected, or without meaning: NaN."""
    for name, tensor in tensors.items():
        if name not in expected:
            continue  # load_state_dict says it
        if tensor.dtype != expected[name].dtype:
            raise PspError(
                f"{path}: damaged: its tensor '{name}' is {tensor.dtype}, not "
                f"{expected[name].dtype}."
            )
        # The sum is finite if all are, but may overflow; it is one pass, the other takes five.
        if tensor.is_floating_point() and not (
            bool(tensor.sum().isfinite()) or bool(tensor.isfinite().all())
        ):
            raise PspError(f"{path}: damaged: its tensor '{name}' has values that are not finite.")
        if name.endswith("running_var") and bool((tensor < 0).any()):
            raise PspError(f"{path}: damaged: its tensor '{name}' has negative variances.")


def is_weights(path: Path) -> bool:
    """Whether a safetensors file says that psp wrote it."""
    if not path.is_file():
        return False  # opening a pipe would block
    try:
        with safe_open(path, framework="pt") as file:
            return "psp" in (file.metadata() or {})
    except (SafetensorError, OSError):
        return False


def read_header(path: Path) -> Header:
    """Return the header of a weights file or of an ONNX file of psp export.

    Raises PspError as `read_weights`, and for an ONNX file of another program.
    """
    if not is_onnx(path):
        return _read(path, tensors=False)[0]
    metadata = read_metadata(path)
    missing = [key for key in ONNX_KEYS if key not in metadata]
    if HEADER not in metadata:
        raise PspError(
            f"{path}: an ONNX file that psp did not write: its metadata lack {', '.join(missing)}. "
            f"Write one from the weights: psp export MODEL {path.name}"
        )
    return _header_from(Fields(parse(metadata[HEADER], str(path)), str(path)))


def read_weights(path: Path) -> tuple[Header, dict[str, Tensor]]:
    """Return a weights file's header and tensors. Raises PspError for another or a damaged file."""
    return _read(path, tensors=True)


def _read(path: Path, tensors: bool) -> tuple[Header, dict[str, Tensor]]:
    if path.exists() and not path.is_file():
        raise PspError(f"{path}: not a regular file (a folder, device or pipe).")
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(HEADER)
            if text is None:
                raise PspError(
                    f"{path}: a safetensors file, but not psp's own (it has no header of psp). "
                    f"{CONVERT.format(path=path)}"
                )
            header = _header_from(Fields(parse(text, str(path)), str(path)))
            # An open safetensors file has keys(), but cannot be iterated.
            names = file.keys() if tensors else []
            return header, {name: file.get_tensor(name) for name in names}
    except FileNotFoundError:
        raise PspError(f"{path}: no such file.") from None
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        what = what_it_is(path)
        if what is None and (is_torch(path) or path.suffix.lower() == ".caffemodel"):
            what = f"not psp weights. {CONVERT.format(path=path)}"
        raise PspError(f"{path}: {what or f'damaged, or not a weights file: {error}'}") from None


def check_header(header: Header, where: str) -> None:
    """Raise PspError, which begins with `where`, for a header that could not be read again."""
    _header_from(Fields(parse(header.to_json(), where), where))


def _header_from(value: Fields) -> Header:
    """Return the header in the metadata of a weights file, with every value checked.

    Raises DamagedError or NewerError.
    """
    kind, version = value.text("format"), value.whole("version")
    if kind != FORMAT or version > VERSION:
        raise NewerError(
            f"{value.where}: {shown(kind)} {version}, this psp reads {FORMAT} up to {VERSION}: "
            "written by a newer psp? Upgrade psp."
        )
    value.only({"format", "version", *(item.name for item in fields(Header))})
    classes = value.texts("classes")
    if len(set(classes)) < len(classes) or not all(map(is_label, classes)):
        raise value.error("classes", "must be different names without control characters")
    palette = tuple(value.items("palette"))
    if not all(isinstance(color, list) and len(color) == 3 for color in palette) or not all(
        is_whole(part, 0, 255) for color in palette for part in color
    ):
        raise value.error("palette", "must be colors of three whole numbers from 0 to 255")
    architecture = architecture_from(value.get("architecture"), value.where)
    if not len(classes) == len(palette) == architecture.classes:
        raise value.error("classes", f"must be {architecture.classes}, as in its network")
    if not is_label(value.text("dataset")):
        raise value.error("dataset", "must be a name without control characters")
    return Header(
        architecture=architecture,
        classes=classes,
        palette=tuple((r, g, b) for r, g, b in palette),
        dataset=value.text("dataset"),
        data=value.text("data"),
        crop=_crop_from(value),
        base_size=value.whole("base_size", 1, LARGEST_SIDE, default=None),
        step=value.whole("step"),
        preprocessing=preprocessing_from(value.object("preprocessing", asdict(IMAGENET))),
        max_side=value.whole("max_side", 1, default=None),
        source=value.text("source", ""),
        procedure=_procedure_from(value),
        windows=_windows_from(value),
    )


def _crop_from(value: Fields) -> Sides:
    """Return the crop of a header. Raises DamagedError."""
    crop = value.get("crop")
    if isinstance(crop, str) and is_sides(crop):
        if not all(is_whole(side, *CROPS) for side in size_of(crop)):
            raise value.error("crop", f"must have sides from {CROPS[0]} to {CROPS[1]}")
        return crop
    side: int = value.whole("crop", *CROPS)
    return side


def _windows_from(value: Fields) -> str | None:
    """Return the windows of a header, if it has any. Raises DamagedError for what are none."""
    if "windows" not in value:
        return None
    windows: str = value.text("windows")
    try:
        whole = parse_windows(windows) is None
    except PspError:
        whole = True
    if whole:
        raise value.error("windows", "must be WIDTHxHEIGHT")
    return windows


def _procedure_from(value: Fields) -> Published | None:
    """Return the procedure that a header carries, if any. Raises DamagedError or NewerError."""
    if "procedure" not in value:
        return None
    stored = value.object("procedure", {}).only({item.name for item in fields(Published)})
    texts = {name: stored.text(name) for name in stored.value if stored.get(name) is not None}
    try:
        return Published(**texts)
    except (PspError, TypeError) as error:
        raise NewerError(
            f"{value.where}: carries a procedure that this psp lacks ({error}). Upgrade psp."
        ) from None
