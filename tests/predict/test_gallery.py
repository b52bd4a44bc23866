"""The gallery of psp predict: when it is made, and what its page holds."""

import json
import re
from urllib.parse import unquote

import numpy as np
import pytest
from helpers.photos import EXPECTED, save
from PIL import Image


def data(out):
    """What the page's script reads."""
    text = (out / "index.html").read_text(encoding="utf-8")
    return json.loads(re.search(r"^const data = (.*);$", text, re.MULTILINE)[1])


def thumbnails(out):
    return {
        str(p.relative_to(out / "gallery").with_suffix("")) for p in out.rglob("gallery/**/*.jpg")
    }


def test_it_holds_every_picture_and_names_what_has_no_result(journey, psp, photos, tmp_path):
    (photos / "broken.png").write_bytes(b"\x89PNG")
    (photos / "film.mp4").write_bytes(b"\0\0\0\x18ftypmp42")
    _, _, err = psp("predict", photos, "-m", journey.folder / "run", "-o", "out", check=3)
    out = tmp_path / "out"
    assert "out/index.html" in err and thumbnails(out) == set(EXPECTED)
    page, records = data(out), (out / "predictions.jsonl").read_text().splitlines()
    records = {record["name"]: record for record in map(json.loads, records)}
    assert [one[0] for one in page["pictures"]] == sorted(EXPECTED)
    for name, address, photo, _, height, width, shares, uncertainty, outputs in page["pictures"]:
        assert (width, height) == EXPECTED[name]
        assert (out / unquote(photo)).samefile(records[name]["source"])
        found = {
            page["classes"][index]: share
            for index, share in zip(shares[::2], shares[1::2], strict=True)
        }
        assert found == pytest.approx(records[name]["shares"], abs=1e-4)
        assert 0 < uncertainty < 1
        for title, folder, suffix in (page["outputs"][index] for index in outputs):
            assert (out / folder / unquote(address + suffix)).is_file() and title in (
                "labels",
                "overlays",
            )
        assert len(outputs) == 2
    text = (out / "index.html").read_text(encoding="utf-8")
    assert "broken.png: " in text and "film.mp4" in text and "1 failed" in text


def test_a_thumbnail_is_the_photo_and_its_colors(journey, psp, tmp_path):
    Image.new("RGB", (1600, 1000), (200, 60, 60)).save(tmp_path / "x.png")
    run = journey.folder / "run"
    psp("predict", "x.png", "-m", run, "--base-size", "64", "-o", "out", check=0)
    both = np.asarray(Image.open(tmp_path / "out/gallery/x.jpg"), int)
    assert both.shape == (300, 960, 3)
    assert np.abs(both[:, :478] - (200, 60, 60)).max() < 12
    label = Image.open(tmp_path / "out/labels/x.png").convert("RGB").resize((480, 300), 0)
    assert np.abs(both[:, 480:] - np.asarray(label, int)).mean() < 6


def test_what_is_finished_gets_its_gallery_without_the_network(
    journey, psp, photos, tmp_path, monkeypatch
):
    call = ("predict", photos, "-m", journey.folder / "run", "-o", "out")
    psp(*call, "--no-gallery", check=0)
    out = tmp_path / "out"
    assert not (out / "index.html").exists() and not (out / "gallery").exists()
    for number in (1, 2):
        psp(*call, "--part", f"{number}/2", check=0)
    assert not (out / "index.html").exists()
    monkeypatch.setattr("psp.predict.pipeline.load_sliding_window", None)  # nothing needs it
    psp(*call, check=0)
    assert thumbnails(out) == set(EXPECTED)
    before = (out / "index.html").read_bytes()
    (out / "index.html").unlink()
    (out / "gallery/gray.jpg").unlink()
    psp(*call, "-q", check=0)
    assert (out / "index.html").read_bytes() == before and thumbnails(out) == set(EXPECTED)


def test_without_label_maps_the_pictures_are_there_all_the_same(journey, psp, photos, tmp_path):
    call = ("predict", photos, "-m", journey.folder / "run", "--write", "shares")
    psp(*call, "-o", "out", check=0)
    assert thumbnails(tmp_path / "out") == set(EXPECTED)
    psp(*call, "-o", "bare", "--no-gallery", check=0)
    psp(*call, "-o", "bare", check=0)  # nothing is left to make thumbnails of
    assert len(data(tmp_path / "bare")["pictures"]) == len(EXPECTED)
    assert thumbnails(tmp_path / "bare") == set()


def test_a_picture_that_changed_without_it_gets_another_thumbnail(journey, psp, tmp_path):
    call = ("predict", "photos", "-m", journey.folder / "run", "-o", "out")
    save(tmp_path / "photos/x.png", (64, 48))
    psp(*call, check=0)
    save(tmp_path / "photos/x.png", (32, 64))
    psp(*call, "--no-gallery", check=0)
    psp(*call, check=0)
    assert Image.open(tmp_path / "out/gallery/x.jpg").size == (64, 64)


def test_more_pictures_than_a_gallery_holds_are_said(journey, psp, photos, tmp_path, monkeypatch):
    monkeypatch.setattr("psp.cli.outputs.MOST_IN_GALLERY", 3)
    call = ("predict", photos, "-m", journey.folder / "run", "-o", "out")
    assert "no gallery: 8 pictures" in psp(*call, check=0)[2]
    assert not (tmp_path / "out/index.html").exists()


def test_in_a_folder_of_many_calls_the_page_says_what_it_leaves_out(
    journey, psp, photos, tmp_path, monkeypatch
):
    monkeypatch.setattr("psp.predict.writers.gallery.MOST", 3)
    psp("predict", photos, "-m", journey.folder / "run", "-o", "out", check=0)
    assert len(data(tmp_path / "out")["pictures"]) == 3
    assert "first 3 of 8 pictures" in (tmp_path / "out/index.html").read_text(encoding="utf-8")
