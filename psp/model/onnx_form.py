"""What of the way from a picture to its label map an ONNX file holds, and in which numbers."""

from dataclasses import dataclass

from psp.errors import PspError
from psp.model.preprocessing import Preprocessing

OPSET = 17  # of 2022, so that any runtime since then can read the file
OPSETS = (13, 21)  # whose operators compute the same


@dataclass(frozen=True, kw_only=True)
class Form:
    """The form of a file.

    With `preprocess` the input is the pixels, uint8 (batch, H, W, 3) RGB. With `argmax` the output
    is `labels`, the class ids, uint8 (batch, H, W). Without `upsample`, logits are at 1/8. With
    `half`, weights and arithmetic are float16 up to the classifier; other inputs and outputs stay
    float32. Raises PspError for what does not go together, and an impossible opset.
    """

    preprocess: Preprocessing | None = None
    argmax: bool = False
    upsample: bool = True
    half: bool = False
    opset: int = OPSET

    def __post_init__(self) -> None:
        low, high = OPSETS
        if not low <= self.opset <= high:
            raise PspError(f"--opset {self.opset}: must be from {low} to {high}. Default: {OPSET}")
        if self.argmax and not self.upsample:
            raise PspError("--no-upsample: class ids are of the full size. Leave out one of both")


PLAIN = Form()
