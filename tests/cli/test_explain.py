"""psp explain: one page of one picture, its samples, and what it refuses."""

import base64
import io
import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="module")
def photo(journey, tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    first = min((journey.folder / "raw/images/val").iterdir())
    return shutil.copy(first, folder / f"boat{first.suffix}")


@pytest.fixture
def explain(journey, psp):
    """explain(*words): the command in the folder of the journey; (exit code, stdout, stderr)."""
    return lambda *words: psp("explain", *words, cwd=journey.folder)


def test_a_page_is_written_beside_the_picture_and_a_second_gets_a_number(explain, photo):
    code, out, err = explain(photo, "-m", "run")
    page = photo.with_name("boat-explained.html")
    assert code == 0 and out.strip() == str(page), err
    text = page.read_text()
    assert "4 pictures of" in text
    maps = json.loads(re.search(r'"maps":(\[[^]]*\])', text)[1])
    record = json.loads(explain(photo, "-m", "run", "--json")[1])
    assert record["out"] == str(photo.with_name("boat-explained-2.html"))
    assert [level["bin"] for level in record["levels"]] == [1, 2, 3, 6]
    for level in record["levels"]:
        assert 0 <= level["most"] <= level["changed"] <= 1
    assert len(maps) == 16


def test_the_last_map_on_the_page_is_what_predict_writes(explain, journey, photo):
    out = photo.with_name("page.html")
    assert explain(photo, "-m", "run", "-o", out, "--samples", "raw/images/val")[0] == 0
    maps = json.loads(re.search(r'"maps":(\[[^]]*\])', out.read_text())[1])
    last = base64.b64decode(maps[-1].partition(",")[2])
    expected = np.asarray(Image.open(min((journey.folder / "predicted/labels").iterdir())))
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(last))), expected)


@pytest.mark.parametrize(
    ("words", "subject", "remedy"),
    [
        (["missing.jpg", "-m", "run"], "missing.jpg", "No such"),
        (["raw/images/val", "-m", "run"], "folder", "psp explain PICTURE"),
        (["tiny.toml", "-m", "run"], "tiny.toml", ""),
        (["PHOTO", "-m", "run/best.safetensors"], "best.safetensors", "--samples"),
        (["PHOTO", "-m", "run", "--samples", "nowhere"], "nowhere", "no such"),
        (["PHOTO", "-m", "run", "-o", "page.png"], "page.png", ".html"),
    ],
)
def test_what_cannot_be_explained_is_said_in_one_line(explain, photo, words, subject, remedy):
    code, _, err = explain(*(photo if word == "PHOTO" else word for word in words))
    assert code == 2 and subject in err and remedy in err
    assert len(err.strip().splitlines()) == 1
