"""The stages of a picture: it is decoded, run through the network, and its files are written.

While the network runs on one picture, threads decode the next ones, and encode and write the files
of those before. What they hold at a time is bounded, whatever the number of pictures.
"""

import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from psp.device import picture_fits
from psp.errors import PspError
from psp.files import NameFaultError, read_bytes, write
from psp.images.encoding import encode_png
from psp.images.labels import histogram
from psp.images.reading import ignore_warnings
from psp.model.inference import SlidingWindow
from psp.model.procedure import Procedure
from psp.model.weights import Header
from psp.predict.folder import PredictionFolder
from psp.predict.photos import decode_photo
from psp.predict.writers.writer import Prediction
from psp.render import OverlayStyle, legend
from psp.workers import cores, prefetch_map

THREADS = 4  # that decode, and as many that write; fewer on a machine with fewer cores
MAX_WAITING = 256 << 20  # bytes of pictures and results that may wait to be written
MAX_PROBABILITIES = 2_000_000_000  # bytes of one picture's probabilities


@dataclass
class Picture:
    """A picture on its way through the stages, with its arrays while they are needed."""

    name: str
    path: Path
    seconds: float = 0.0  # of all work on it
    image: NDArray[np.uint8] | None = None  # (H, W, 3)
    labels: NDArray[np.uint8] | None = None  # (H, W)
    probabilities: NDArray[np.float16] | None = None  # (classes, H, W)
    confidence: NDArray[np.float16] | None = None  # (H, W)
    drawn: NDArray[np.uint8] | None = None  # (H, W, 3), in a video
    finished: bool = False  # its label map is that of an earlier call
    files: dict[str, bytes] = field(default_factory=dict)  # writer's name to its file's contents
    record: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)  # what is worth saying of its file
    error: str | None = None

    @property
    def nbytes(self) -> int:
        """The bytes of its arrays."""
        arrays = (self.image, self.labels, self.probabilities, self.confidence, self.drawn)
        return sum(array.nbytes for array in arrays if array is not None)

    def run_stage(self, stage: Callable[["Picture"], None], fault: type[PspError]) -> None:
        """Run a stage unless an earlier one failed. An exception of type `fault` is its error."""
        if self.error is not None:
            return
        begin = time.perf_counter()
        try:
            stage(self)
        except fault as error:
            self.error = str(error)
        self.seconds += time.perf_counter() - begin


class Stages:
    """Runs a call's pictures through the stages, and records what was predicted and what failed."""

    def __init__(self, folder: PredictionFolder, header: Header, overwrite: bool) -> None:
        self.folder, self.header, self.overwrite = folder, header, overwrite
        self.predicted: list[str] = []
        self.failed: list[tuple[str, str]] = []
        self.remarks = Counter[str]()  # on how many files there is one
        self._unrecorded: list[Picture] = []  # failures from before the folder was made

    def run(
        self,
        items: Iterable[Picture],
        network: Callable[[Picture], None],
        draw: Callable[[Picture], None] = lambda item: None,
    ) -> Generator[Picture, None, None]:
        """Yield the pictures in order, with files written or an error.

        What has an image already is not decoded. `draw` is called with what is predicted, before
        its arrays are freed. What is `finished` is neither written nor recorded once more.

        If the generator is closed, files that are being written are completed.
        """
        threads = min(THREADS, cores())

        def decoded(item: Picture) -> Picture:
            item.run_stage(_decode, PspError)
            return item

        def predicted(item: Picture) -> Picture:
            item.run_stage(network, PspError)
            if item.error is None:
                self.open_folder()
            return item

        def written(item: Picture) -> Picture:
            item.run_stage(draw, PspError)
            if not item.finished:
                item.run_stage(self._encode, PspError)
            item.image = item.labels = item.probabilities = item.confidence = None  # free memory
            if not self.folder.pack:  # else they are appended in the pictures' order
                item.run_stage(self._write, NameFaultError)
                item.files = {}
            return item

        with ignore_warnings(), closing(prefetch_map(decoded, items, threads)) as images:
            results = prefetch_map(
                written, map(predicted, images), threads, lambda item: item.nbytes, MAX_WAITING
            )
            with closing(results):
                for item in results:
                    if not item.finished:
                        self._record(item)
                    yield item

    def open_folder(self) -> None:
        """Make the folder of results, if this has not been done."""
        if not self.folder.opened:
            self.folder.open(self._legend, self.overwrite)
            for item in self._unrecorded:
                self.folder.record(item.name, item.path, {"error": item.error})

    def _legend(self) -> bytes:
        return encode_png(legend(self.header.classes, self.header.palette))

    def _encode(self, item: Picture) -> None:
        """Let the writers make the contents of the picture's files, and begin its record."""
        assert item.image is not None and item.labels is not None
        classes, palette = self.header.classes, self.header.palette
        prediction = Prediction(
            item.name,
            item.image,
            item.labels,
            classes,
            palette,
            item.path,
            item.probabilities,
            item.confidence,
            self.folder.settings.overlay or OverlayStyle(),
        )
        for writer in self.folder.writers:
            if writer.write:
                item.files[writer.name] = writer.write(prediction)
        height, width = item.labels.shape
        item.record = {"height": height, "width": width, "shares": _shares(item.labels, classes)}
        if item.confidence is not None:
            mean = 1 - float(item.confidence.mean(dtype=np.float32))
            item.record["uncertainty"] = round(mean, 4)

    def _write(self, item: Picture) -> None:
        paths = self.folder.paths(item.name)
        for name, data in item.files.items():
            write(paths[name], data)

    def _record(self, item: Picture) -> None:
        record = {**item.record, "seconds": round(item.seconds, 4)}
        if item.error is None:
            self.predicted.append(item.name)
            self.remarks.update(item.notes)
        else:
            self.failed.append((item.name, item.error))
            record = {"error": item.error}
        if self.folder.opened:
            self.folder.record(item.name, item.path, record, item.files)
        else:
            self._unrecorded.append(item)


def _decode(item: Picture) -> None:
    if item.image is None:
        item.image = decode_photo(read_bytes(item.path), str(item.path), item.notes)


def _shares(labels: NDArray[np.uint8], classes: tuple[str, ...]) -> dict[str, float]:
    """Return the share of the pixels of each class in a label map, the largest first."""
    counts = histogram(labels)
    return {
        classes[index]: round(counts[index] / labels.size, 6)
        for index in np.argsort(-counts, kind="stable")
        if counts[index]
    }


@dataclass(frozen=True)
class Network:
    """The stage that predicts a picture's label map, and what else a writer asks for."""

    sliding_window: SlidingWindow
    procedure: Procedure
    probabilities: bool
    confidence: bool = False

    def __call__(self, item: Picture) -> None:
        """Set `labels`, and `probabilities` and `confidence` if asked for.

        Raises PspError if the picture does not fit into memory, or its probabilities are too large.
        """
        assert item.image is not None
        height, width = item.image.shape[:2]
        device = self.sliding_window.device
        with picture_fits(str(item.path), (height, width), self.procedure.windows_text, device):
            if self.probabilities:
                self._predict_probabilities(item, item.image)
            elif self.confidence:
                labels, confidence = self.sliding_window.confident_label_map(
                    item.image, self.procedure
                )
                item.labels = _to_host(labels)
                item.confidence = _to_host(confidence.to(torch.float16))
            else:
                item.labels = _to_host(self.sliding_window.label_map(item.image, self.procedure))

    def _predict_probabilities(self, item: Picture, image: NDArray[np.uint8]) -> None:
        height, width = image.shape[:2]
        classes = self.sliding_window.classes
        size = 2 * classes * height * width
        if size > MAX_PROBABILITIES:
            raise PspError(
                f"{item.path}: its probabilities would take {size / 1e9:.1f} GB ({classes} "
                f"classes, {width}x{height}), and {MAX_PROBABILITIES / 1e9:.0f} GB is the limit. "
                "Shrink the picture, or leave out what needs them: --probabilities, or a name in "
                "--write"
            )
        probabilities = self.sliding_window.probabilities(image, self.procedure)
        item.labels = _to_host(probabilities.argmax(0).to(torch.uint8))
        item.probabilities = _to_host(probabilities.to(torch.float16))
        if self.confidence:
            item.confidence = _to_host(probabilities.amax(0).to(torch.float16))


def _to_host(tensor: Tensor) -> NDArray[Any]:
    array: NDArray[Any] = tensor.cpu().numpy()
    return array
