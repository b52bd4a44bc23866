"""Label maps as NumPy arrays: numpy.load returns uint8 (H, W)."""

import io

import numpy as np

from psp.predict.writers.writer import Prediction, Writer


def write(prediction: Prediction) -> bytes:
    """Return an .npy file of the class ids."""
    buffer = io.BytesIO()
    np.save(buffer, prediction.labels)
    return buffer.getvalue()


NPY = Writer(name="npy", folder="npy", suffix=".npy", write=write)
