"""labelme's JSON: a mask for each class of a picture, to be corrected there.

labelme looks for a picture beside its JSON file: copy the files of this folder to the pictures.
"""

import base64
import json
from typing import Any

import numpy as np

from psp.images.encoding import encode_label
from psp.predict.writers.drawn import drawn_classes
from psp.predict.writers.writer import Prediction, Writer

VERSION = "5.4.1"  # of labelme, which has masks since 5.3


def write(prediction: Prediction) -> bytes:
    """Return the JSON file of one picture."""
    height, width = prediction.labels.shape
    shapes: list[dict[str, Any]] = []
    for index, mask in drawn_classes(prediction):
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        top, bottom, left, right = rows[0], rows[-1], columns[0], columns[-1]
        part = mask[top : bottom + 1, left : right + 1].astype(np.uint8)
        shapes.append(
            {
                "label": prediction.classes[index],
                # Whole numbers: the corners' pixels belong to the mask.
                "points": [[int(left), int(top)], [int(right), int(bottom)]],
                "group_id": None,
                "description": "",
                "shape_type": "mask",
                "flags": {},
                "mask": base64.b64encode(encode_label(part)).decode(),
            }
        )
    record = {
        "version": VERSION,
        "flags": {},
        "shapes": shapes,
        "imagePath": prediction.source.name,
        "imageData": None,
        "imageHeight": height,
        "imageWidth": width,
    }
    return json.dumps(record).encode()


LABELME = Writer(name="labelme", folder="labelme", suffix=".json", write=write)
