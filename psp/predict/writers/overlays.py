"""The classes' colors over the picture, as JPEGs to look at."""

from psp.images.encoding import encode_jpeg
from psp.predict.writers.writer import Prediction, Writer
from psp.render import draw


def write(prediction: Prediction) -> bytes:
    """Return a JPEG of the picture's size (side by side: twice as wide), or smaller if that is more
    than a JPEG can have."""
    picture, labels = prediction.image, prediction.labels
    return encode_jpeg(draw(picture, labels, prediction.palette, prediction.style))


OVERLAYS = Writer(name="overlays", folder="overlays", suffix=".jpg", write=write, draws=True)
