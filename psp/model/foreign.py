"""What a file is that is given as weights and is none of psp's: by its contents."""

import json
import os
import re
import zipfile
from pathlib import Path

from psp.files import placeholder
from psp.names import CONFIG_SUFFIXES

CONVERT = "Convert it with: psp import {path} OUT --card CARD"
_STARTS = (
    (b"\x89HDF", "an HDF5 file, as of Keras. psp imports networks of PyTorch and Caffe alone"),
    (b"\x1f\x8b", "a gzip archive. Unpack it, and give the file in it"),
    (b"BZh", "a bzip2 archive. Unpack it, and give the file in it"),
    (b"\xfd7zXZ", "an xz archive. Unpack it, and give the file in it"),
    (b"7z\xbc\xaf", "a 7z archive. Unpack it, and give the file in it"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive. Unpack it, and give the file in it"),
    (b"Rar!", "a RAR archive. Unpack it, and give the file in it"),
    (b"\x89PNG", "a picture, not a weights file"),
    (b"\xff\xd8\xff", "a picture, not a weights file"),
    (b"%PDF", "a PDF, not a weights file"),
    (b"GGUF", "a GGUF file of a language model"),
    (b"\x93NUMPY", "a numpy array. Save the whole state dict with torch.save"),
)
_TENSORFLOW = "weights of TensorFlow. psp imports networks of PyTorch and Caffe alone"
_KERAS = "weights of Keras. psp imports networks of PyTorch and Caffe alone"
_ONNX = (
    "an ONNX network, which psp predict and psp evaluate run if its name ends in .onnx. Here, name "
    "the weights that it was exported from"
)
_SCRIPT = (
    "a TorchScript program, which psp does not run. In Python, save its weights alone: "
    "torch.save(torch.jit.load('{name}').state_dict(), 'weights.pth')"
)
LONGEST_HEADER = 50_000_000  # bytes, of a safetensors file
_MAGIC = b"l\xfc\x9cF\xf9 j\xa8P\x19"  # in the first bytes of old files of torch.save
_CUT = "cut off: the download or copy did not finish. Get it again"


def what_it_is(path: Path) -> str | None:
    """Return what a file or folder is that is no psp weights file; None if nothing is known.

    A file of PyTorch is not named here. Nothing in the file is run.
    """
    try:
        if path.is_dir():
            return _folder(path)
        with path.open("rb") as file:
            start = file.read(512)
        size = path.stat().st_size
    except OSError:
        return None
    if path.suffix.lower() in CONFIG_SUFFIXES:
        return f"a configuration, not weights. To see the recipe in it: psp import {path}"
    if not start:
        return "an empty file (0 bytes). Get it again"
    if what := placeholder(start):
        return what
    if start.startswith(b"PK\x03\x04"):
        return _archive(path)
    if start[257:262] == b"ustar":
        return "a tar archive. Unpack it, and give the file in it"
    if start[4:8] == b"TFL3" or path.suffix in (".pb", ".index", ".tflite", ".meta"):
        return _TENSORFLOW
    if path.suffix == ".onnx" or re.match(rb"\x08[\x01-\x14][\x12\x1a\x22\x3a]", start):
        return _ONNX
    if start[8:9] == b"{" and _is_cut(path, size):
        return _CUT
    if start.startswith(b"\x80") and _MAGIC not in start:
        return (
            "a pickle that torch.save did not write. In Python, save its arrays as a dictionary of "
            "tensors with torch.save"
        )
    return next((what for sign, what in _STARTS if start.startswith(sign)), None)


def is_torch(path: Path) -> bool:
    """Whether a file is one of torch.save: a ZIP archive of its kind, or an old pickle."""
    try:
        with path.open("rb") as file:
            start = file.read(64)
        if start.startswith(b"PK"):
            with zipfile.ZipFile(path) as archive:
                return any(name.endswith("/data.pkl") for name in archive.namelist())
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError):
        return False
    return start.startswith(b"\x80") and _MAGIC in start


def _archive(path: Path) -> str | None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return _CUT
    if any(name.endswith("/data.pkl") for name in names):
        code = any("/code/" in name for name in names)
        return _SCRIPT.format(name=path.name) if code else None
    if "config.json" in names and any(name.endswith(".h5") for name in names):
        return _KERAS
    if names and all(name.endswith(".npy") for name in names):
        return "numpy arrays (.npz). Save them as a dictionary of tensors with torch.save"
    shown = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
    return f"a ZIP archive of {shown or 'nothing'}. Unpack it, and give the file in it"


def _folder(path: Path) -> str | None:
    names = sorted(os.listdir(path))  # noqa: PTH208 - names alone
    if "saved_model.pb" in names or any(name.endswith(".index") for name in names):
        return _TENSORFLOW
    files = [n for n in names if n.endswith((".safetensors", ".pth", ".pt", ".ckpt", ".bin"))]
    if files:
        more = ", …" if len(files) > 3 else ""
        return f"a folder. Name the weights file in it: {', '.join(files[:3])}{more}"
    return None


def _is_cut(path: Path, size: int) -> bool:
    """Whether a safetensors file ends before its last tensor."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 0 < length < LONGEST_HEADER or 8 + length > size:
            return 0 < length < LONGEST_HEADER
        try:
            entries = json.loads(file.read(length)).values()
            ends = [entry["data_offsets"][1] for entry in entries if "data_offsets" in entry]
            return bool(8 + length + max(ends, default=0) > size)
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
            return False
