"""A mask that has its picture's name is not taken for it where the picture is missing."""

import json

import numpy as np
from PIL import Image

from psp.prepare.own.sources import Sources, open_exports


def test_a_panoptic_mask_is_no_picture(tmp_path):
    (tmp_path / "panoptic_val").mkdir()
    Image.fromarray(np.full((8, 9, 3), 7, np.uint8)).save(tmp_path / "panoptic_val/a.png")
    segments = [{"id": 460_551, "category_id": 1}]
    content = {
        "images": [{"id": 5, "file_name": "a.jpg", "width": 9, "height": 8}],
        "annotations": [{"image_id": 5, "file_name": "a.png", "segments_info": segments}],
        "categories": [{"id": 1, "name": "car"}],
    }
    (tmp_path / "panoptic_val.json").write_text(json.dumps(content))
    with open_exports(Sources(paths=(tmp_path,)), tmp_path) as (export,):
        picture = export.pictures[0]
    assert picture.image is None and "a.jpg" in picture.problem and "--images" in picture.problem
