"""Configurations beside a checkpoint: files, what they include, logs; several decide nothing."""

import json

import pytest

from psp.zoo.configs.beside import mmseg_beside, semseg_beside
from psp.zoo.configs.python_text import at, variables
from psp.zoo.importers.mmseg_config import configured_card, configured_classes, read_test

CONFIG = """
model = dict(type='EncoderDecoder', decode_head=dict(type='PSPHead', num_classes={classes}),
    test_cfg=dict(mode='slide', crop_size=(65, 97), stride=(33, 65)))
"""


@pytest.fixture
def weights(tmp_path):
    return tmp_path / "iter_100.pth"


def classes(weights):
    found = mmseg_beside(weights)
    return at(variables(found.text), "model", "decode_head", "num_classes"), found.name


def test_files_come_before_logs(tmp_path, weights):
    assert mmseg_beside(weights).text == ""
    old = json.dumps({"env_info": "x", "config": CONFIG.format(classes=5)})
    (tmp_path / "1.log.json").write_text(old + "\n" + json.dumps({"mode": "train", "iter": 50}))
    assert classes(weights) == (5, "1.log.json")
    (tmp_path / "1.log.json").unlink()
    (tmp_path / "20240101").mkdir()
    log = "2024/01/01 10:00:00 - INFO - Config:\n{}\n2024/01/01 10:00:01 - INFO - loss = nan(\n"
    (tmp_path / "20240101/20240101.log").write_text(log.format(CONFIG.format(classes=6)))
    assert classes(weights) == (6, "20240101.log")
    (tmp_path / "20240101/vis_data").mkdir()
    (tmp_path / "20240101/vis_data/config.py").write_text(CONFIG.format(classes=7))
    assert classes(weights) == (7, "config.py")
    (tmp_path / "mine.py").write_text(CONFIG.format(classes=8))
    (tmp_path / "notes.py").write_text("print('something else')")
    assert classes(weights) == (8, "mine.py")
    (tmp_path / "other.py").write_text(CONFIG.format(classes=9))
    assert classes(weights) == (None, "")


def test_what_a_file_includes_is_read_too(tmp_path, weights):
    (tmp_path / "base").mkdir()
    (tmp_path / "base/model.py").write_text(CONFIG.format(classes=3))
    (tmp_path / "mine.py").write_text(
        "_base_ = ['base/model.py', 'base/gone.py']\nmodel = dict(decode_head=dict(num_classes=4))"
    )
    assert classes(weights) == (4, "mine.py")
    found = mmseg_beside(weights)
    assert "gone.py" in found.missing[0]
    test = read_test(found.text).procedure
    assert (test.windows, test.stride) == ("97x65", "65x33")


def test_semsegs_is_beside_or_above(tmp_path):
    weights = tmp_path / "model/train_epoch_1.pth"
    weights.parent.mkdir()
    assert semseg_beside(weights) is None
    above, beside = tmp_path / "a.yaml", tmp_path / "model/b.yaml"
    above.write_text("TRAIN:\n  zoom_factor: 8\n")
    (tmp_path / "other.yaml").write_text("names: [x]")
    assert semseg_beside(weights) == above.resolve()
    beside.write_text("TRAIN:\n  zoom_factor: 8\n")
    assert semseg_beside(weights) == beside
    (tmp_path / "model/c.yml").write_text("TRAIN:\n  zoom_factor: 8\n")
    assert semseg_beside(weights) is None


def test_a_configuration_names_its_data_set_and_classes():
    text = """
dataset_type = 'ADE20KDataset'
train_dataloader = dict(dataset=dict(type=dataset_type, metainfo=dict(classes=('cat', 'dog'))))
"""
    assert configured_card(text) == "ade20k" and configured_classes(text) == ("cat", "dog")
    old = "data = dict(train=dict(type='Mine', classes=['a', 'b']))"
    assert configured_card(old) is None and configured_classes(old) == ("a", "b")
    assert configured_classes("") is None
    ignoring = CONFIG.format(classes=2).replace("num_classes", "ignore_index=0, num_classes")
    assert any("class 0" in text for text in read_test(ignoring).remarks)
