"""The classes' colors over the picture, as JPEGs to look at."""

from psp.images.encoding import encode_jpeg
from psp.predict.writers.writer import Prediction, Writer
from psp.render import overlay


def write(prediction: Prediction) -> bytes:
    """Return a JPEG of the picture's size, or smaller if that is larger than a JPEG can be."""
    return encode_jpeg(overlay(prediction.image, prediction.labels, prediction.palette))


OVERLAYS = Writer(name="overlays", folder="overlays", suffix=".jpg", write=write)
