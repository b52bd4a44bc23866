"""A trained network as a Python function from a picture to its label map: `psp.load`."""

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from psp.device import pick_device
from psp.errors import PspError
from psp.events import Report, ignore
from psp.files import read_bytes
from psp.images.pictures import as_rgb
from psp.model.choice import Choice
from psp.model.engines.registry import choose_engine
from psp.model.inference import SlidingWindow
from psp.model.load import load_sliding_window
from psp.model.pspnet import PSPNet
from psp.model.together import label_maps
from psp.model.weights import Header, load_network
from psp.predict.photos import decode_photo
from psp.zoo.find import find_model


class Predictor:
    """Predicts the classes of pictures: `predictor(image)` returns a label map.

    An image is a path, a Pillow picture, or a uint8 (H, W, 3) RGB array. A file is turned upright
    by its EXIF orientation.

    On a CPU, several threads may use one Predictor at the same time: calls share the network, which
    they do not change, and the results are those of one thread. On a GPU use it from one thread:
    cuDNN's choice of float32 or TF32 belongs to the whole process. A `stream` or `many` that was
    begun belongs to one thread.
    """

    def __init__(self, sliding_window: SlidingWindow, header: Header, path: Path) -> None:
        self._sliding_window, self.header, self._path = sliding_window, header, path

    @cached_property
    def network(self) -> PSPNet:
        """The network, in evaluation mode and float32: normalized (B, 3, H, W) to logits at 1/8.

        It is read from the file at the first access. Pictures are predicted by another copy, whose
        batch norms are folded into the convolutions, so that it cannot be trained.
        """
        return load_network(self._path)[0].to(self._sliding_window.device)

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names, in id order."""
        return self.header.classes

    @property
    def palette(self) -> tuple[tuple[int, int, int], ...]:
        """The (R, G, B) color of each class, in id order."""
        return self.header.palette

    def __call__(self, image: object) -> NDArray[np.uint8]:
        """Return the most probable class ids, uint8 (H, W): single scale, no flip, no seams.

        They are those that psp predict writes.
        """
        procedure = Choice(predicting=True)(self.header)
        label = self._sliding_window.label_map(_pixels(image), procedure)
        return np.asarray(label.cpu().numpy(), np.uint8)

    def many(self, images: Iterable[object]) -> Iterator[NDArray[np.uint8]]:
        """Yield the label map of each image, uint8 (H, W), in order.

        They are those of single calls, up to rounding, but the windows of images go through the
        network together if they have the same size: faster on a GPU, where a small image alone
        leaves it idle. Only as many images are held as fill one batch (`window_batch` of load), so
        that any number may come from a generator. Raises PspError for an image that cannot be read,
        after the label maps of those before it.
        """
        procedure = Choice(predicting=True)(self.header)
        for label in label_maps(self._sliding_window, map(_pixels, images), procedure):
            yield np.asarray(label.cpu().numpy(), np.uint8)

    def stream(
        self, frames: Iterable[object]
    ) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
        """Yield each frame, uint8 (H, W, 3) RGB, and its label map, uint8 (H, W), as they come.

        For cameras and streams, whose frames are read by the caller: no frame is asked for before
        the one before it is done, so a slow network skips none and keeps none. OpenCV's frames are
        BGR: `frame[..., ::-1]` is RGB. Raises PspError for a frame that is no image.
        """
        for frame in frames:
            image = _pixels(frame)
            yield image, self(image)

    def probabilities(
        self,
        image: object,
        scales: Sequence[float] | None = None,
        flip: bool = False,
        crop: int | None = None,
        base_size: int | None = None,
        procedure: str | None = None,
        *,
        windows: str | None = None,
        stride: str | None = None,
        resize: str | None = None,
        blend: str | None = None,
    ) -> NDArray[np.float32]:
        """Return class probabilities, float32 (classes, H, W), that sum to 1 over the classes.

        A test procedure, as in psp evaluate, by its name (psp evaluate --help); None is what the
        weights carry, or torch, without flip and at one scale. It fixes all that is None.
        `windows`, `stride`, `resize` and `blend` are as on the command line. Raises PspError for
        values out of range.
        """
        chosen = Choice(
            named=procedure,
            scales=tuple(scales) if scales is not None else None,
            flip=flip,
            crop=crop,
            base_size=base_size,
            windows=windows,
            stride=stride,
            resize=resize,
            blend=blend,
        )(self.header)
        probabilities = self._sliding_window.probabilities(_pixels(image), chosen)
        return np.asarray(probabilities.cpu().numpy(), np.float32)


def load(
    path: str | Path,
    device: str = "auto",
    precision: str = "auto",
    *,
    engine: str | None = None,
    window_batch: int | None = None,
    compiled: bool = False,
    report: Report = ignore,
) -> Predictor:
    """Load a run's best weights, a weights file, published weights by name, or an ONNX file.

    `device`: auto, cpu, cuda, cuda:N or mps. `precision`: auto, fp32 or bf16. `compiled`: use
    torch.compile, which makes the first picture slow. `engine`: torch, onnxruntime or openvino; of
    None, onnxruntime for an ONNX file, and else torch. `window_batch` windows go through the
    network at a time, mirrored ones counted; None: 2 on a CPU, 16 elsewhere. `report` gets what
    happens when published weights are downloaded at their first use. Raises PspError if there are
    no such weights.
    """
    if precision not in ("auto", "fp32", "bf16"):
        raise PspError(f"precision '{precision}': must be one of auto, fp32, bf16.")
    chosen = pick_device(device)
    weights = find_model(path, report=report).path
    how = choose_engine(weights, engine, precision, chosen)
    loaded = load_sliding_window(
        weights,
        chosen,
        how.precision,
        engine=how.name,
        window_batch=window_batch,
        compiled=compiled,
        report=report,
    )
    return Predictor(*loaded, weights)


def _pixels(image: object) -> NDArray[np.uint8]:
    """Return an image of any accepted kind as uint8 (H, W, 3) RGB."""
    if isinstance(image, (str, Path)):
        path = Path(image)
        return decode_photo(read_bytes(path), str(path))
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise PspError(
                f"an image must be uint8 (H, W, 3) RGB; this array is {image.dtype} {image.shape}."
            )
        # torch warns about read-only arrays, and takes no negative steps, as of BGR made RGB.
        image = np.ascontiguousarray(image)
        return image if image.flags.writeable else image.copy()
    return as_rgb(image)
