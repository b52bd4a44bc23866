"""Exports in which something that is needed is missing: pictures, or anything drawn."""

import json

import numpy as np
import pytest
from PIL import Image

from psp.data.card import Exports
from psp.errors import PspError
from psp.prepare.own.card import OwnOptions, draft_card
from psp.prepare.own.gather import gather
from psp.prepare.own.sources import Sources, open_exports


def save(folder, file, annotations):
    content = {
        "images": [{"id": 5, "file_name": "a.jpg", "width": 9, "height": 8}],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "car"}],
    }
    (folder / file).write_text(json.dumps(content))


def test_a_panoptic_mask_is_no_picture_though_it_has_the_name(tmp_path):
    (tmp_path / "panoptic_val").mkdir()
    Image.fromarray(np.full((8, 9, 3), 7, np.uint8)).save(tmp_path / "panoptic_val/a.png")
    segments = [{"id": 460_551, "category_id": 1}]
    annotation = {"image_id": 5, "file_name": "a.png", "segments_info": segments}
    save(tmp_path, "panoptic_val.json", [annotation])
    with open_exports(Sources(paths=(tmp_path,)), tmp_path) as (export,):
        picture = export.pictures[0]
    assert picture.image is None and "a.jpg" in picture.problem and "--images" in picture.problem


def test_boxes_alone_are_named_as_the_reason_that_nothing_is_drawn(tmp_path):
    Image.new("RGB", (9, 8)).save(tmp_path / "a.jpg")
    box = {"image_id": 5, "category_id": 1, "bbox": [1, 2, 3, 4], "segmentation": []}
    save(tmp_path, "boxes.json", [box])
    with (
        open_exports(Sources(paths=(tmp_path,)), tmp_path) as exports,
        pytest.raises(PspError, match=r"boxes\.json.*1 annotation of a box alone.*export again"),
    ):
        gather(exports, Exports(sources=(str(tmp_path),), labels={"car": 1}, undrawn=0))


def test_the_problem_of_the_only_picture_is_the_reason_that_there_is_no_class(tmp_path):
    Image.new("RGB", (9, 8)).save(tmp_path / "a.jpg")
    shape = {"label": "car", "points": [[1, 2], [3, 4]], "shape_type": "polygon"}
    content = {"shapes": [shape], "imagePath": "a.jpg", "imageData": None}
    (tmp_path / "a.json").write_text(json.dumps(content))
    sources = Sources(paths=(tmp_path,))
    with (
        open_exports(sources, tmp_path) as exports,
        pytest.raises(PspError, match=r"a\.json: shapes\[0\]: 2 points"),
    ):
        draft_card(exports, sources, OwnOptions(undrawn="ignore"), tmp_path / "card.toml")
