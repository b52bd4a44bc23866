"""The probability of every class at every pixel, for numpy.load."""

import io
import zipfile

import numpy as np

from psp.predict.writers.writer import Prediction, Writer


def write(prediction: Prediction) -> bytes:
    """Return an .npz file with the array `probabilities`, float16 (classes, H, W).

    It is compressed lightly: numpy's own level takes much longer.
    """
    assert prediction.probabilities is not None
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open("probabilities.npy", "w", force_zip64=True) as file:
            np.lib.format.write_array(file, prediction.probabilities)
    return buffer.getvalue()


PROBABILITIES = Writer(
    name="probabilities", folder="probabilities", suffix=".npz", write=write, probabilities=True
)
