"""A trained network as a function of pictures: the Python face of psp."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from psp.device import pick_device, pick_inference_precision
from psp.errors import PspError
from psp.files import read_bytes
from psp.images import as_rgb
from psp.model.inference import SlidingWindow, load_sliding_window
from psp.model.procedure import Procedure
from psp.model.pspnet import PSPNet
from psp.model.weights import Header, load_network
from psp.predict.photos import decode_photo
from psp.zoo.find import find_model
from psp.zoo.published import Report


class Predictor:
    """Parses pictures: `predictor(image)` gives a label map.

    An image is a path, a Pillow picture, or a uint8 (H, W, 3) RGB array. Of a file, an EXIF
    orientation is honored.
    """

    def __init__(self, sliding_window: SlidingWindow, header: Header, path: Path) -> None:
        self._sliding_window, self.header, self._path = sliding_window, header, path

    @cached_property
    def network(self) -> PSPNet:
        """The network, in evaluation mode and float32: normalized (B, 3, H, W) to logits at 1/8.

        It is read from the file when first asked for: pictures are parsed by a copy with batch norm
        folded into the convolutions, which cannot be trained on.
        """
        return load_network(self._path)[0].to(self._sliding_window.device)

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names, in id order."""
        return self.header.classes

    @property
    def palette(self) -> tuple[tuple[int, int, int], ...]:
        """One (R, G, B) a class, in id order."""
        return self.header.palette

    def __call__(self, image: object) -> NDArray[np.uint8]:
        """Return the most probable class ids, uint8 (H, W): single scale, no flip."""
        found = self._sliding_window.label_map(_pixels(image), self._procedure())
        return np.asarray(found.cpu().numpy(), np.uint8)

    def probabilities(
        self,
        image: object,
        scales: Sequence[float] = (1.0,),
        flip: bool = False,
        crop: int | None = None,
        base_size: int | None = None,
        procedure: str = "torch",
    ) -> NDArray[np.float32]:
        """Return class probabilities, float32 (classes, H, W), that sum to 1 over the classes.

        The authors' test procedure, as in psp evaluate; `crop` and `base_size` are the weights' own
        if None. `procedure`: torch or caffe, which of their two. Raises PspError for a procedure that
        cannot be.
        """
        chosen = self._procedure(tuple(scales), flip, crop, base_size, procedure)
        found = self._sliding_window.probabilities(_pixels(image), chosen)
        return np.asarray(found.cpu().numpy(), np.float32)

    def _procedure(
        self,
        scales: tuple[float, ...] = (1.0,),
        flip: bool = False,
        crop: int | None = None,
        base_size: int | None = None,
        name: str = "torch",
    ) -> Procedure:
        return Procedure(
            crop=self.header.crop if crop is None else crop,
            base_size=self.header.base_size if base_size is None else base_size,
            scales=scales,
            flip=flip,
            name=name,
        )


def load(
    path: str | Path,
    device: str = "auto",
    precision: str = "auto",
    *,
    compiled: bool = False,
    report: Report = lambda event: None,
) -> Predictor:
    """Load a run's best weights, a weights file, or published weights by name (psp models).

    `device`: auto, cpu, cuda, cuda:N or mps. `precision`: auto, fp32 or bf16. `compiled`: through
    torch.compile, which the first picture waits for. `report` hears of published weights that are
    fetched at their first use. Raises PspError when there are none.
    """
    if precision not in ("auto", "fp32", "bf16"):
        raise PspError(f"precision '{precision}': one of auto, fp32, bf16.")
    chosen = pick_device(device)
    found = find_model(path, report=report)
    dtype = pick_inference_precision(precision, chosen)
    return Predictor(*load_sliding_window(found.path, chosen, dtype, compiled=compiled), found.path)


def _pixels(image: object) -> NDArray[np.uint8]:
    if isinstance(image, (str, Path)):
        path = Path(image)
        return decode_photo(read_bytes(path), str(path))
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise PspError(
                f"an image must be uint8 (H, W, 3) RGB, this array is {image.dtype} {image.shape}."
            )
        return image if image.flags.writeable else image.copy()  # torch warns of read-only ones
    return as_rgb(image)
