"""What predict writes for labeling tools: read back by their own rules, it is the label map."""

import base64
import csv
import io
import json

import numpy as np
import pytest
from PIL import Image

from psp.predict.writers.registry import find_writers
from psp.predict.writers.writer import Prediction, Results

CLASSES = ("background", "car", "tree")
PALETTE = ((0, 0, 0), (255, 0, 0), (0, 255, 0))


@pytest.fixture
def labels(rng):
    """Areas and single pixels of three classes, neither square nor symmetric."""
    coarse = rng.integers(0, 3, (5, 8), dtype=np.uint8)
    labels = np.kron(coarse, np.ones((7, 6), np.uint8))
    labels[3, ::5] = 1
    return labels


def prediction(labels, tmp_path, rng, name="sub/a b"):
    height, width = labels.shape
    return Prediction(
        name,
        rng.integers(0, 256, (height, width, 3), dtype=np.uint8),
        labels,
        CLASSES,
        PALETTE,
        tmp_path / f"{name}.jpg",
        confidence=rng.random((height, width)).astype(np.float16),
    )


def written(writer, predictions, tmp_path):
    """Write pictures' files and records; return the file of all of them."""
    lines = []
    for item in predictions:
        path = tmp_path / writer.folder / f"{item.name}{writer.suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(writer.write(item))
        height, width = item.labels.shape
        record = {"name": item.name, "source": str(item.source), "height": height, "width": width}
        lines.append(json.dumps(record) + "\n")
    (tmp_path / "predictions.jsonl").write_text("".join(lines))
    return writer.collect(Results(tmp_path, tmp_path / "predictions.jsonl", CLASSES, PALETTE))


def decoded(counts, height, width):
    """COCO's packed run lengths as a mask, by its own rules, one character at a time."""
    lengths, position = [], 0
    while position < len(counts):
        value, shift, more = 0, 0, True
        while more:
            char = ord(counts[position]) - 48
            value |= (char & 0x1F) << 5 * shift
            more = bool(char & 0x20)
            position, shift = position + 1, shift + 1
            if not more and char & 0x10:
                value |= -1 << 5 * shift
        lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
    flat = np.concatenate([np.full(n, i % 2, bool) for i, n in enumerate(lengths)])
    return flat.reshape(width, height).T


def test_coco_masks_are_the_label_map(labels, tmp_path, rng):
    (coco,) = find_writers(["coco"])
    other = prediction(labels[:20, :31].copy(), tmp_path, rng, "b")
    whole = json.loads(written(coco, [prediction(labels, tmp_path, rng), other], tmp_path))
    assert [c["name"] for c in whole["categories"]] == list(CLASSES)
    assert [i["file_name"] for i in whole["images"]] == ["sub/a b.jpg", "b.jpg"]
    for image, item in zip(whole["images"], (labels, other.labels), strict=True):
        map_ = np.zeros((image["height"], image["width"]), int)
        for entry in whole["annotations"]:
            if entry["image_id"] != image["id"]:
                continue
            height, width = entry["segmentation"]["size"]
            mask = decoded(entry["segmentation"]["counts"], height, width)
            assert not map_[mask].any()
            map_[mask] = entry["category_id"] - 1
            x, y, w, h = entry["bbox"]
            assert mask[y : y + h, x : x + w].sum() == entry["area"] == mask.sum()
            assert mask[y].any() and mask[y + h - 1].any() and 0 <= entry["score"] <= 1
        assert np.array_equal(map_, item)
    ids = [entry["id"] for entry in whole["annotations"]]
    assert ids == list(range(1, len(ids) + 1))


def test_pycocotools_loads_and_scores_it(labels, tmp_path, rng):
    coco_module = pytest.importorskip("pycocotools.coco")
    from pycocotools.cocoeval import COCOeval

    (coco,) = find_writers(["coco"])
    path = tmp_path / "instances.json"
    path.write_bytes(written(coco, [prediction(labels, tmp_path, rng)], tmp_path))
    truth = coco_module.COCO(path)
    for entry in truth.anns.values():
        assert np.array_equal(truth.annToMask(entry), labels == entry["category_id"] - 1)
    scored = COCOeval(truth, truth.loadRes(list(truth.anns.values())), "segm")
    scored.evaluate()
    scored.accumulate()
    scored.summarize()
    assert scored.stats[0] == pytest.approx(1)


def test_labelme_masks_are_the_label_map(labels, tmp_path, rng):
    (labelme,) = find_writers(["labelme"])
    record = json.loads(labelme.write(prediction(labels, tmp_path, rng)))
    assert record["imagePath"] == "a b.jpg"
    map_ = np.zeros((record["imageHeight"], record["imageWidth"]), int)
    for shape in record["shapes"]:
        (x0, y0), (x1, y1) = shape["points"]
        mask = np.array(Image.open(io.BytesIO(base64.b64decode(shape["mask"]))))
        assert mask.shape == (y1 - y0 + 1, x1 - x0 + 1)
        map_[y0 : y1 + 1, x0 : x1 + 1][mask > 0] = CLASSES.index(shape["label"])
    assert np.array_equal(map_, labels)


def test_the_most_uncertain_pictures_come_first(labels, tmp_path, rng):
    (uncertain,) = find_writers(["uncertain"])
    items = [prediction(labels, tmp_path, rng, name) for name in ("a", "b", "c")]
    for item, level in zip(items, (0.9, 0.3, 0.6), strict=True):
        item.confidence[:] = level
    table = list(
        csv.DictReader(io.StringIO(written(uncertain, items, tmp_path).decode("utf-8-sig")))
    )
    assert [row["name"] for row in table] == ["b", "c", "a"]
    assert float(table[0]["uncertainty"]) == pytest.approx(0.7, abs=0.005)


def test_a_confident_label_map_is_the_label_map(journey, psp, tmp_path, photos):
    run = journey.folder / "run"
    psp("predict", photos, "-m", run, "-o", "plain", check=0)
    psp("predict", photos, "-m", run, "-o", "ranked", "--rank", "uncertain", check=0)
    for path in sorted((tmp_path / "plain/labels").rglob("*.png")):
        other = tmp_path / "ranked/labels" / path.relative_to(tmp_path / "plain/labels")
        assert np.array_equal(np.array(Image.open(path)), np.array(Image.open(other)))
    assert (tmp_path / "ranked/uncertain.csv").exists()
    psp("predict", photos, "-m", run, "-o", "plain", "--rank", "sure", check=2)
