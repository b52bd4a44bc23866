"""COCO instances of all pictures: what labeling tools import, and pycocotools loads and scores.

Each class of a picture is one annotation, an RLE mask: none lies over another, and all of them
together are the label map. A class that is called background is left undrawn, as COCO has it.
"""

import json
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from psp.annotations.rle import mask_runs, pack
from psp.predict.writers.drawn import drawn_classes
from psp.predict.writers.writer import Prediction, Results, Writer


def write(prediction: Prediction) -> bytes:
    """Return the annotations of one picture as JSON, without the ids that `collect` gives."""
    assert prediction.confidence is not None
    height, width = prediction.labels.shape
    annotations = []
    for index, mask in drawn_classes(prediction):
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        box = (columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1)
        annotations.append(
            {
                "category_id": index + 1,
                "segmentation": {"size": [height, width], "counts": pack(mask_runs(mask.T))},
                "area": int(mask.sum()),
                "bbox": [int(side) for side in box],
                "iscrowd": 0,
                "score": round(float(prediction.confidence[mask].mean()), 4),
            }
        )
    return json.dumps(annotations).encode()


def collect(results: Results) -> bytes:
    """Return the file of all pictures; ids count from 1 in the order of the pictures' names."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for record in results:
        suffix = PurePosixPath(record["source"]).suffix
        images.append(
            {
                "id": len(images) + 1,
                "file_name": f"{record['name']}{suffix}",
                "width": record["width"],
                "height": record["height"],
            }
        )
        for annotation in json.loads(results.read(record, COCO)):
            known = {"id": len(annotations) + 1, "image_id": len(images)}
            annotations.append({**known, **annotation})
    categories = [
        {"id": index + 1, "name": name, "supercategory": ""}
        for index, name in enumerate(results.classes)
    ]
    whole = {"images": images, "annotations": annotations, "categories": categories}
    return json.dumps(whole).encode()


COCO = Writer(
    name="coco",
    folder="coco",
    suffix=".json",
    write=write,
    confidence=True,
    file="instances.json",
    collect=collect,
)
