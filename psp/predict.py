"""psp predict: pictures in, label maps and overlays out."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from os.path import abspath, commonpath
from pathlib import Path

import torch

from psp.device import pick_inference_precision, precision_name
from psp.errors import PspError
from psp.files import free_name, make_folder, read_bytes, whole_file
from psp.infer import Protocol, load_segmenter
from psp.pictures import (
    SUFFIXES,
    decode_image,
    encode_jpeg,
    encode_palette,
    encode_png,
)
from psp.render import legend, overlay
from psp.weights import Header


@dataclass(frozen=True)
class Parsed:
    """A picture is done; or `error` says why not."""

    name: str
    done: int
    total: int
    seconds: float
    error: str | None = None


@dataclass(frozen=True)
class Prediction:
    """Where the results are, what was parsed, what failed (name, reason), and how it was done."""

    out: Path
    parsed: tuple[str, ...]
    failed: tuple[tuple[str, str], ...]
    header: Header
    protocol: Protocol
    precision: str


def find_pictures(inputs: Sequence[Path]) -> dict[str, Path]:
    """Return the pictures among files and folders (with their sub-folders), by output name.

    A name is the path below the folder, or below what all inputs have in common, without suffix.
    A picture keeps its suffix where the shorter name is another's too, so no two ever collide.
    Raises PspError for a path that is missing and when there is no picture at all.
    """
    files: list[Path] = []
    for path in inputs:
        if path.is_dir():
            below = [p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file()]
            below = [p for p in below if not p.name.startswith(".")]  # macOS leaves ._photo.jpg
            done = {p.parent for p in path.rglob("legend.png") if (p.parent / "labels").is_dir()}
            below = [p for p in below if done.isdisjoint(p.parents)]  # what psp wrote itself
            if not below:
                raise PspError(
                    f"{path}: no pictures in this folder ({', '.join(sorted(SUFFIXES))})."
                )
            files += below
        elif path.is_file():
            files.append(path)
        else:
            raise PspError(f"{path}: no such file or folder.")
    found = {Path(abspath(path)): path for path in files}  # no ".." may reach an output's name
    root = Path(commonpath([path.parent for path in found]))
    if len(inputs) == 1 and inputs[0].is_dir():
        root = Path(abspath(inputs[0]))
    names = {path.relative_to(root): found[path] for path in sorted(found)}
    taken = Counter(name.with_suffix("") for name in names) + Counter(list(names))
    return {
        str(short if taken[short := name.with_suffix("")] == 1 else name): path
        for name, path in names.items()
    }


def default_out(inputs: Sequence[Path]) -> Path:
    """Return a folder that does not exist yet: PHOTOS-parsed beside one input, else `parsed`."""
    if len(inputs) > 1:
        return free_name(Path("parsed"))
    only = inputs[0].resolve() if inputs[0].name in ("", "..") else inputs[0]
    return free_name(only.with_name(f"{only.stem if only.is_file() else only.name}-parsed"))


def predict(
    pictures: Mapping[str, Path],
    weights: Path,
    out: Path,
    *,
    overwrite: bool = False,
    protocol: Callable[[Header], Protocol],
    device: torch.device,
    precision: str = "auto",
    window_batch: int | None = None,
    compiled: bool = False,
    report: Callable[[Parsed], None] = lambda event: None,
) -> Prediction:
    """Write labels/NAME.png, overlays/NAME.jpg and legend.png for every picture into `out`.

    `pictures` are files by output name, from `find_pictures`.

    A label map has exactly its picture's size, upright by EXIF; its values are class ids. A picture
    that cannot be read is reported and the others are done. Raises PspError when none could be, or
    when `out` exists and `overwrite` is not set.
    """
    if out.exists() and not overwrite:
        raise PspError(f"{out}: exists already. Choose another -o, or replace it with --overwrite")
    pictures = {  # not what an earlier call wrote inside the folder
        name: path
        for name, path in pictures.items()
        if not path.resolve().is_relative_to(out.resolve())
    }
    if not pictures:
        raise PspError(f"{out}: all the pictures lie in this folder. Choose another -o")
    dtype = pick_inference_precision(precision, device)
    segmenter, header = load_segmenter(
        weights, device, dtype, window_batch=window_batch, compiled=compiled
    )
    chosen = protocol(header)
    done: list[str] = []
    failed: list[tuple[str, str]] = []
    for number, (name, path) in enumerate(pictures.items(), start=1):
        start = time.perf_counter()
        error = None
        try:
            image = decode_image(read_bytes(path), str(path), upright=True)
        except PspError as reason:
            if len(pictures) == 1:
                raise
            error = str(reason)
            failed.append((name, error))
        else:
            label = segmenter.label_map(image, chosen).cpu().numpy()
            drawn = overlay(image, label, header.palette)
            _write(out / "labels" / f"{name}.png", encode_palette(label, header.palette))
            _write(out / "overlays" / f"{name}.jpg", encode_jpeg(drawn))
            done.append(name)
        report(Parsed(name, number, len(pictures), time.perf_counter() - start, error))
    if not done:
        raise PspError(f"{out}: not written, as none of the {len(failed)} pictures could be read.")
    key = legend(header.classes, header.palette)
    _write(out / "legend.png", encode_png(key))
    return Prediction(out, tuple(done), tuple(failed), header, chosen, precision_name(dtype))


def _write(path: Path, data: bytes) -> None:
    make_folder(path.parent)
    with whole_file(path) as temporary:
        temporary.write_bytes(data)
