"""How uncertain the network is: a gray map of each picture, and the pictures in that order.

The uncertainty of a pixel is 1 minus the probability of its most probable class.
"""

import csv
import io

import numpy as np

from psp.images.encoding import encode_label
from psp.images.labels import decode_label
from psp.predict.writers.writer import Prediction, Results, Writer


def write(prediction: Prediction) -> bytes:
    """Return an 8-bit gray PNG: 0 is certain, 255 an uncertainty of 1."""
    assert prediction.confidence is not None
    return encode_label(np.round((1 - prediction.confidence.astype(np.float32)) * 255).astype("u1"))


def collect(results: Results) -> bytes:
    """Return a CSV file with a row per picture and its mean uncertainty, the most uncertain first.

    These are the pictures to label next. It begins with a byte order mark, as Excel expects.
    """
    rows = []
    for record in results:
        mean = float(decode_label(results.read(record, UNCERTAIN), record["name"]).mean()) / 255
        rows.append((mean, record["name"]))
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(["name", "uncertainty"])
    for mean, name in sorted(rows, key=lambda row: (-row[0], row[1])):
        table.writerow([name, f"{mean:.4f}"])
    return text.getvalue().encode("utf-8-sig", "backslashreplace")


UNCERTAIN = Writer(
    name="uncertain",
    folder="uncertainty",
    suffix=".png",
    write=write,
    confidence=True,
    file="uncertain.csv",
    collect=collect,
)
