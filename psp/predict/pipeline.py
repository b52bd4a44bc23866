"""psp predict: pictures in, label maps and overlays out.

While the network looks at one picture, threads decode the next ones and encode the last ones.
"""

import time
import zipfile
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from psp.device import memory_ran_out, pick_inference_precision, precision_name
from psp.errors import PspError
from psp.files import NameFaultError, file_sha256, numbered_names, read_bytes, write, writing
from psp.images import (
    encode_jpeg,
    encode_palette,
    encode_png,
    histogram,
    ignore_warnings,
)
from psp.model.inference import SlidingWindow, load_sliding_window
from psp.model.procedure import Procedure
from psp.model.weights import Header, read_header
from psp.predict.folder import Predictions, Settings, choose
from psp.predict.photos import decode_photo
from psp.ranks import Share
from psp.render import legend, overlay
from psp.workers import cores, prefetch_map

THREADS = 4  # that decode, and as many that encode, where there are as many cores
HELD = 256 << 20  # bytes that may wait to be encoded
LARGEST = 2_000_000_000  # bytes of one picture's probabilities


@dataclass(frozen=True)
class Predicted:
    """A picture is done; or `error` says why not. `seconds` are those of all the work on it."""

    name: str
    done: int
    total: int
    seconds: float
    error: str | None = None


@dataclass(frozen=True)
class Prediction:
    """Where the results are, what was parsed, what failed (name, reason), and how it was done.

    `skipped` were finished before.
    """

    out: Path
    parsed: tuple[str, ...]
    skipped: tuple[str, ...]
    failed: tuple[tuple[str, str], ...]
    header: Header
    procedure: Procedure
    precision: str


def predict(
    pictures: Mapping[str, Path],
    weights: Path,
    out: Path,
    *,
    numbering: bool = False,
    overwrite: bool = False,
    probabilities: bool = False,
    part: Share | None = None,
    procedure: Callable[[Header], Procedure],
    device: torch.device,
    precision: str = "auto",
    window_batch: int | None = None,
    compiled: bool = False,
    report: Callable[[Predicted], None] = lambda event: None,
) -> Prediction:
    """Write labels/NAME.png, overlays/NAME.jpg and more for every picture into `out`.

    `pictures` are files by output name, from `inputs.find_pictures`; predictions.py says what the
    folder holds. `part` takes a share of them. What is finished there already is skipped, unless
    `overwrite` is set; `numbering` goes on to out-2, out-3, … where `out` holds something else.

    A label map has exactly its picture's size, upright by EXIF; its values are class ids. A picture
    that cannot be read or written is reported and the others are done. Raises PspError when none
    could be, or `out` holds something else.
    """
    part = part or Share()
    pictures = {  # not what an earlier call wrote inside the folder
        name: path
        for name, path in pictures.items()
        if not path.resolve().is_relative_to(out.resolve())
    }
    if not pictures:
        raise PspError(f"{out}: all the pictures lie in this folder. Choose another -o")
    dtype = pick_inference_precision(precision, device)
    header = read_header(weights)
    chosen = procedure(header)
    settings = Settings(
        weights=str(weights),
        sha256=file_sha256(weights),
        procedure=asdict(chosen),
        precision=precision_name(dtype),
        dataset=header.dataset,
        step=header.step,
        classes=header.classes,
    )
    kinds = {"labels": ".png", "overlays": ".jpg"}
    kinds |= {"probabilities": ".npz"} if probabilities else {}
    share = dict(part.of(list(pictures.items())))
    places = numbered_names(out) if numbering and not overwrite and part.total == 1 else [out]
    folder, left = choose(places, settings, part, kinds, share, overwrite)
    work = _Work(folder, header, overwrite)
    with closing(folder):
        if left:
            sliding_window, _ = load_sliding_window(
                weights, device, dtype, window_batch=window_batch, compiled=compiled
            )
            look = _Look(sliding_window, chosen, probabilities)
            with closing(work.run(left, look)) as results:
                for done, picture in enumerate(results, start=1):
                    if picture.error and len(pictures) == 1:
                        raise PspError(picture.error)
                    seconds = round(picture.seconds, 4)
                    report(Predicted(picture.name, done, len(left), seconds, picture.error))
            if not work.parsed and len(left) == len(share) and part.total == 1:
                raise PspError(
                    f"{folder.out}: nothing new in it, as none of the {len(left)} pictures could "
                    "be parsed."
                )
        work.begin()
        folder.merge(pictures)
    skipped = tuple(name for name in share if name not in left)
    return Prediction(
        folder.out,
        tuple(work.parsed),
        skipped,
        tuple(work.failed),
        header,
        chosen,
        settings.precision,
    )


@dataclass
class _Picture:
    """A picture on its way: each station fills in what it makes, or the error."""

    name: str
    path: Path
    seconds: float = 0.0
    image: NDArray[np.uint8] | None = None  # (H, W, 3)
    label: NDArray[np.uint8] | None = None  # (H, W)
    probabilities: NDArray[np.float16] | None = None  # (classes, H, W)
    found: dict[str, Any] = field(default_factory=dict)  # for its record
    error: str | None = None

    @property
    def size(self) -> int:
        """The bytes that it holds."""
        arrays = (self.image, self.label, self.probabilities)
        return sum(array.nbytes for array in arrays if array is not None)


class _Work:
    """The pictures of one call on their way through decoding, the network and encoding."""

    def __init__(self, folder: Predictions, header: Header, overwrite: bool) -> None:
        self.folder, self.header, self.overwrite = folder, header, overwrite
        self.parsed: list[str] = []
        self.failed: list[tuple[str, str]] = []
        self._unrecorded: list[_Picture] = []  # failed before there was a folder

    def run(
        self, pictures: Mapping[str, Path], look: Callable[[_Picture], None]
    ) -> Generator[_Picture, None, None]:
        """Yield the pictures, done or with an error. What has begun to be written becomes whole."""
        threads = min(THREADS, cores())

        def seen(picture: _Picture) -> _Picture:
            _station(look, picture, PspError)
            if picture.error is None:
                self.begin()
            return picture

        fresh = (_Picture(name, path) for name, path in pictures.items())
        with ignore_warnings(), closing(prefetch_map(_loaded, fresh, threads)) as images:
            seen_ones = map(seen, images)
            with closing(
                prefetch_map(self._written, seen_ones, threads, lambda picture: picture.size, HELD)
            ) as results:
                for picture in results:
                    self._record(picture)
                    yield picture

    def begin(self) -> None:
        """Make the folder, if this has not been done."""
        if not self.folder.opened:
            self.folder.open(self._legend, self.overwrite)
            for picture in self._unrecorded:
                self.folder.record(picture.name, picture.path, {"error": picture.error})

    def _record(self, picture: _Picture) -> None:
        found = {**picture.found, "seconds": round(picture.seconds, 4)}
        if picture.error is None:
            self.parsed.append(picture.name)
        else:
            self.failed.append((picture.name, picture.error))
            found = {"error": picture.error}
        if self.folder.opened:
            self.folder.record(picture.name, picture.path, found)
        else:
            self._unrecorded.append(picture)

    def _legend(self) -> bytes:
        return encode_png(legend(self.header.classes, self.header.palette))

    def _written(self, picture: _Picture) -> _Picture:
        """Write a picture's files and let go of its arrays."""
        _station(self._write, picture, NameFaultError)
        picture.image = picture.label = picture.probabilities = None
        return picture

    def _write(self, picture: _Picture) -> None:
        image, label = picture.image, picture.label
        assert image is not None and label is not None
        paths = self.folder.paths(picture.name)
        if picture.probabilities is not None:
            with writing(paths["probabilities"]) as temporary:
                _write_npz(temporary, picture.probabilities)
        palette = self.header.palette
        write(paths["overlays"], encode_jpeg(overlay(image, label, palette)))
        write(paths["labels"], encode_palette(label, palette))
        counts = histogram(label)
        picture.found = {
            "height": label.shape[0],
            "width": label.shape[1],
            "shares": {
                self.header.classes[number]: round(counts[number] / label.size, 6)
                for number in np.argsort(-counts, kind="stable")
                if counts[number]
            },
        }


@dataclass(frozen=True)
class _Look:
    """What the network makes of a picture, on the host."""

    sliding_window: SlidingWindow
    procedure: Procedure
    probabilities: bool

    def __call__(self, picture: _Picture) -> None:
        assert picture.image is not None
        height, width = picture.image.shape[:2]
        classes, device = self.sliding_window.classes, self.sliding_window.device
        try:
            if not self.probabilities:
                picture.label = _on_host(
                    self.sliding_window.label_map(picture.image, self.procedure)
                )
                return
            size = 2 * classes * height * width
            if size > LARGEST:
                raise PspError(
                    f"{picture.path}: its probabilities would take {size / 1e9:.1f} GB ({classes} "
                    f"classes, {width}x{height}); 2 GB at most. Shrink it, or leave out "
                    "--probabilities"
                )
            found = self.sliding_window.probabilities(picture.image, self.procedure)
            picture.label = _on_host(found.argmax(0).to(torch.uint8))
            picture.probabilities = _on_host(found.to(torch.float16))
        except Exception as error:
            if not memory_ran_out(error):
                raise
            raise PspError(
                f"{picture.path}: not enough memory on {device} for this picture of "
                f"{width}x{height} with windows of {self.procedure.crop}. Try a smaller --crop, or "
                "--device cpu"
            ) from None


def _station(work: Callable[[_Picture], None], picture: _Picture, fault: type[PspError]) -> None:
    """Do one station's work on a picture that has no error yet; a `fault` is its error."""
    if picture.error is not None:
        return
    begin = time.perf_counter()
    try:
        work(picture)
    except fault as error:
        picture.error = str(error)
    picture.seconds += time.perf_counter() - begin


def _loaded(picture: _Picture) -> _Picture:
    _station(_load, picture, PspError)
    return picture


def _load(picture: _Picture) -> None:
    picture.image = decode_photo(read_bytes(picture.path), str(picture.path))


def _on_host(tensor: Tensor) -> NDArray[Any]:
    found: NDArray[Any] = tensor.cpu().numpy()
    return found


def _write_npz(path: Path, probabilities: NDArray[np.float16]) -> None:
    """Write what numpy.load reads; compressed lightly, as numpy's own level takes much longer."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open("probabilities.npy", "w", force_zip64=True) as file:
            np.lib.format.write_array(file, probabilities)
