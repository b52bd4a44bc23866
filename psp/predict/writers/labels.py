"""Label maps as palette PNGs: they look colored, and their values are class ids."""

from psp.images.encoding import encode_palette
from psp.predict.writers.writer import Prediction, Writer


def write(prediction: Prediction) -> bytes:
    """Return a PNG of the picture's size."""
    return encode_palette(prediction.labels, prediction.palette)


LABELS = Writer(name="labels", folder="labels", suffix=".png", write=write)
