"""From picture files to files of label maps, overlays and probabilities.

A picture goes through three stages: it is decoded, run through the network, and its results are
written. While the network runs on one picture, threads decode the next ones and write the results
of those before.
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
from psp.predict.folder import PredictionFolder, choose_folder
from psp.predict.photos import decode_photo
from psp.predict.settings import Settings
from psp.ranks import Share
from psp.render import legend, overlay
from psp.workers import cores, prefetch_map

THREADS = 4  # that decode, and as many that write; fewer on a machine with fewer cores
MAX_WAITING = 256 << 20  # bytes of pictures and results that may wait to be written
MAX_PROBABILITIES = 2_000_000_000  # bytes of one picture's probabilities


@dataclass(frozen=True)
class Predicted:
    """Event: a picture is done, or has failed with `error`."""

    name: str
    done: int  # pictures so far
    total: int
    seconds: float  # of all work on this picture
    error: str | None = None


@dataclass(frozen=True)
class PredictResult:
    """Where the results of a call are, and how they were made."""

    out: Path
    predicted: tuple[str, ...]  # names of the pictures
    skipped: tuple[str, ...]  # finished by an earlier call
    failed: tuple[tuple[str, str], ...]  # name, error
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
    share: Share | None = None,
    procedure: Callable[[Header], Procedure],
    device: torch.device,
    precision: str = "auto",
    window_batch: int | None = None,
    compiled: bool = False,
    report: Callable[[Predicted], None] = lambda event: None,
) -> PredictResult:
    """Write labels/NAME.png, overlays/NAME.jpg and more for every picture into `out`.

    `pictures` maps output names to files, as `inputs.find_pictures` does; folder.py describes the
    folder. `procedure` returns the test procedure for weights with the given header. With a
    `share`, only that share of the pictures is done. Pictures that are finished already are
    skipped, unless `overwrite` is set. With `numbering`, out-2, out-3, … is used if `out` has other
    contents.

    A label map has its picture's size, upright by EXIF; its values are class ids. A picture that
    cannot be read or written is reported, and the others are done. Raises PspError if all fail, or
    if `out` has other contents.
    """
    share = share or Share()
    pictures = {  # without what an earlier call wrote inside the folder
        name: path
        for name, path in pictures.items()
        if not path.resolve().is_relative_to(out.resolve())
    }
    if not pictures:
        raise PspError(f"{out}: all the pictures are in this folder. Choose another -o")
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
    suffixes = {"labels": ".png", "overlays": ".jpg"}
    suffixes |= {"probabilities": ".npz"} if probabilities else {}
    own = dict(share.of(list(pictures.items())))
    candidates = numbered_names(out) if numbering and not overwrite and share.total == 1 else [out]
    folder, unfinished = choose_folder(candidates, settings, share, suffixes, own, overwrite)
    pipeline = _Pipeline(folder, header, overwrite)
    with closing(folder):
        if unfinished:
            sliding_window, _ = load_sliding_window(
                weights, device, dtype, window_batch=window_batch, compiled=compiled
            )
            network = _Network(sliding_window, chosen, probabilities)
            with closing(pipeline.run(unfinished, network)) as results:
                for done, item in enumerate(results, start=1):
                    if item.error and len(pictures) == 1:
                        raise PspError(item.error)
                    seconds = round(item.seconds, 4)
                    report(Predicted(item.name, done, len(unfinished), seconds, item.error))
            if not pipeline.predicted and len(unfinished) == len(own) and share.total == 1:
                raise PspError(
                    f"{folder.out}: nothing was written, because all {len(own)} pictures failed."
                )
        pipeline.open_folder()
        folder.merge(pictures)
    return PredictResult(
        out=folder.out,
        predicted=tuple(pipeline.predicted),
        skipped=tuple(name for name in own if name not in unfinished),
        failed=tuple(pipeline.failed),
        header=header,
        procedure=chosen,
        precision=settings.precision,
    )


@dataclass
class _Prediction:
    """A picture in the pipeline: each stage fills in its results, or the error."""

    name: str
    path: Path
    seconds: float = 0.0
    image: NDArray[np.uint8] | None = None  # (H, W, 3)
    label: NDArray[np.uint8] | None = None  # (H, W)
    probabilities: NDArray[np.float16] | None = None  # (classes, H, W)
    record: dict[str, Any] = field(default_factory=dict)
    error: str | None = None

    @property
    def nbytes(self) -> int:
        """The bytes of its arrays."""
        arrays = (self.image, self.label, self.probabilities)
        return sum(array.nbytes for array in arrays if array is not None)

    def run_stage(self, stage: Callable[["_Prediction"], None], fault: type[PspError]) -> None:
        """Run a stage unless an earlier one failed. An exception of type `fault` is its error."""
        if self.error is not None:
            return
        begin = time.perf_counter()
        try:
            stage(self)
        except fault as error:
            self.error = str(error)
        self.seconds += time.perf_counter() - begin


class _Pipeline:
    """Runs the stages of a call's pictures, and records what was predicted and what failed."""

    def __init__(self, folder: PredictionFolder, header: Header, overwrite: bool) -> None:
        self.folder, self.header, self.overwrite = folder, header, overwrite
        self.predicted: list[str] = []
        self.failed: list[tuple[str, str]] = []
        self._unrecorded: list[_Prediction] = []  # failures from before the folder was made

    def run(
        self, pictures: Mapping[str, Path], network: Callable[[_Prediction], None]
    ) -> Generator[_Prediction, None, None]:
        """Yield the pictures in order, with results written or an error.

        If the generator is closed, results that are being written are completed.
        """
        threads = min(THREADS, cores())

        def decoded(item: _Prediction) -> _Prediction:
            item.run_stage(_decode, PspError)
            return item

        def predicted(item: _Prediction) -> _Prediction:
            item.run_stage(network, PspError)
            if item.error is None:
                self.open_folder()
            return item

        def written(item: _Prediction) -> _Prediction:
            item.run_stage(self._write, NameFaultError)
            item.image = item.label = item.probabilities = None  # to free the memory
            return item

        items = (_Prediction(name, path) for name, path in pictures.items())
        with ignore_warnings(), closing(prefetch_map(decoded, items, threads)) as images:
            results = prefetch_map(
                written, map(predicted, images), threads, lambda item: item.nbytes, MAX_WAITING
            )
            with closing(results):
                for item in results:
                    self._record(item)
                    yield item

    def open_folder(self) -> None:
        """Make the folder of results, if this has not been done."""
        if not self.folder.opened:
            self.folder.open(self._legend, self.overwrite)
            for item in self._unrecorded:
                self.folder.record(item.name, item.path, {"error": item.error})

    def _record(self, item: _Prediction) -> None:
        record = {**item.record, "seconds": round(item.seconds, 4)}
        if item.error is None:
            self.predicted.append(item.name)
        else:
            self.failed.append((item.name, item.error))
            record = {"error": item.error}
        if self.folder.opened:
            self.folder.record(item.name, item.path, record)
        else:
            self._unrecorded.append(item)

    def _legend(self) -> bytes:
        return encode_png(legend(self.header.classes, self.header.palette))

    def _write(self, item: _Prediction) -> None:
        """Write a picture's files, and make its record."""
        image, label = item.image, item.label
        assert image is not None and label is not None
        paths = self.folder.paths(item.name)
        if item.probabilities is not None:
            with writing(paths["probabilities"]) as temporary:
                _write_npz(temporary, item.probabilities)
        palette = self.header.palette
        write(paths["overlays"], encode_jpeg(overlay(image, label, palette)))
        write(paths["labels"], encode_palette(label, palette))
        counts = histogram(label)
        item.record = {
            "height": label.shape[0],
            "width": label.shape[1],
            "shares": {
                self.header.classes[index]: round(counts[index] / label.size, 6)
                for index in np.argsort(-counts, kind="stable")
                if counts[index]
            },
        }


def _decode(item: _Prediction) -> None:
    item.image = decode_photo(read_bytes(item.path), str(item.path))


@dataclass(frozen=True)
class _Network:
    """The stage that predicts a picture's label map, and its probabilities if asked for."""

    sliding_window: SlidingWindow
    procedure: Procedure
    probabilities: bool

    def __call__(self, item: _Prediction) -> None:
        assert item.image is not None
        height, width = item.image.shape[:2]
        try:
            if self.probabilities:
                self._predict_probabilities(item, item.image)
            else:
                label = self.sliding_window.label_map(item.image, self.procedure)
                item.label = _to_host(label)
        except Exception as error:
            if not memory_ran_out(error):
                raise
            raise PspError(
                f"{item.path}: not enough memory on {self.sliding_window.device} for this picture "
                f"of {width}x{height} with windows of {self.procedure.crop}. Try a smaller --crop, "
                "or --device cpu"
            ) from None

    def _predict_probabilities(self, item: _Prediction, image: NDArray[np.uint8]) -> None:
        height, width = image.shape[:2]
        classes = self.sliding_window.classes
        size = 2 * classes * height * width
        if size > MAX_PROBABILITIES:
            raise PspError(
                f"{item.path}: its probabilities would take {size / 1e9:.1f} GB ({classes} "
                f"classes, {width}x{height}), and {MAX_PROBABILITIES / 1e9:.0f} GB is the limit. "
                "Shrink the picture, or leave out --probabilities"
            )
        probabilities = self.sliding_window.probabilities(image, self.procedure)
        item.label = _to_host(probabilities.argmax(0).to(torch.uint8))
        item.probabilities = _to_host(probabilities.to(torch.float16))


def _to_host(tensor: Tensor) -> NDArray[Any]:
    array: NDArray[Any] = tensor.cpu().numpy()
    return array


def _write_npz(path: Path, probabilities: NDArray[np.float16]) -> None:
    """Write a file for numpy.load, with light compression: numpy's own level takes much longer."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open("probabilities.npy", "w", force_zip64=True) as file:
            np.lib.format.write_array(file, probabilities)
