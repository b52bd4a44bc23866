"""The gallery in a browser: sorting, filters, pages, the slider, links, and odd names."""

import io
from pathlib import Path
from urllib.parse import quote, unquote, urlparse

import numpy as np
import pytest
from PIL import Image

from psp.pages.gallery import Gallery, GalleryPicture, Missing, Output, gallery_page

EVIL = "<img src=x onerror=alert(1)>"
NAMES = [EVIL, "a#b", "who?", "100%41", "two words", "Straße ü", "sub/a:b", "'\"&amp;"]


def jpeg(size, color):
    buffer = io.BytesIO()
    Image.new("RGB", size, color).save(buffer, "JPEG")
    return buffer.getvalue()


def shares(index):
    """Class 0 falls, class 1 rises, class 2 is in every third picture alone."""
    third = [(2, 0.001)] if index % 3 == 0 else []
    return [(0, 1 - index / 200), (1, index / 200), *third]


@pytest.fixture(scope="module")
def gallery(tmp_path_factory):
    """A folder with a gallery of 70 pictures, the last ones of odd names."""
    out = tmp_path_factory.mktemp("out")
    names = [f"p{index:03d}" for index in range(62)] + NAMES
    for name in names:
        for folder, suffix, content in (
            ("gallery", ".jpg", jpeg((64, 24), (90, 120, 150))),
            ("overlays", ".jpg", jpeg((32, 24), (9, 9, 9))),
            ("photos", ".jpg", jpeg((32, 24), (90, 120, 150))),
            ("labels", ".png", png(np.zeros((24, 32), np.uint8))),
        ):
            path = out / folder / f"{name}{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    pictures = [
        GalleryPicture(
            name=name,
            address=quote(name),
            photo=quote(f"photos/{name}.jpg"),
            shown=index % 2 == 0,
            thumbnail=True,
            height=24,
            width=32,
            shares=shares(index),
            uncertainty=None if index == 1 else (index * 37 % 70) / 100,
            outputs=[0, 1],
        )
        for index, name in enumerate(names)
    ]
    page = Gallery(
        how=f"Predicted with {EVIL}",
        notes=[],
        classes=[EVIL, "sky", "tree", "absent"],
        colors=["#ff0000", "#0000ff", "#00ff00", "#123456"],
        outputs=[Output("labels", "labels", ".png"), Output("overlays", "overlays", ".jpg")],
        pictures=pictures,
        failed=[Missing(EVIL, "broken")],
        left_out=[Missing("x.mov", "video")],
        left_out_text="not used: 1 .mov (video)",
    )
    (out / "index.html").write_bytes(gallery_page(page))
    return out / "index.html"


def png(label):
    buffer = io.BytesIO()
    Image.fromarray(label).save(buffer, "PNG")
    return buffer.getvalue()


def names(tab):
    return tab.locator(".tile .caption .name").all_inner_texts()


@pytest.mark.browser
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)], ids=["desk", "phone"])
def test_it_can_be_read_and_fits(gallery, opened, weak_texts, too_wide, width, dark):
    with opened(gallery, width, dark) as tab:
        assert tab.inner_text("h1") == gallery.parent.name
        assert len(names(tab)) == 60 and "70 pictures" in tab.inner_text("#count")
        assert EVIL in tab.inner_text(".missing >> nth=0")
        assert "x.mov" in tab.inner_text("#left-out ~ .missing")
        assert weak_texts(tab) == [] and not too_wide(tab)
        tab.locator(".open").first.click()
        assert weak_texts(tab) == [] and not too_wide(tab)


@pytest.mark.browser
def test_sorting_filters_and_pages(gallery, opened):
    with opened(gallery) as tab:
        tab.click("[data-turn='1'] >> nth=0")
        assert names(tab)[-len(NAMES) :] == NAMES and "page 2 of 2" in tab.inner_text(
            ".where >> nth=0"
        )
        assert tab.is_disabled("[data-turn='1'] >> nth=0")
        tab.select_option("#sort", "uncertainty")
        assert names(tab)[0] == "p017"  # 17 * 37 % 70 = 69
        assert tab.is_disabled("#sort [value=share]")
        tab.click(".chip[data-class='2']")
        assert "24 of 70" in tab.inner_text("#count")
        assert tab.input_value("#class") == "2"
        tab.select_option("#class", "1")
        tab.select_option("#sort", "share")
        assert names(tab)[:2] == NAMES[::-1][:2]
        assert tab.locator(".tile >> nth=0").locator("li >> nth=0").inner_text() == "sky 34.5%"
        assert not tab.locator("#class option", has_text="absent").count()
        tab.fill("#name", "WHO?")
        assert names(tab) == ["who?"]
        tab.click(".chip[data-class='1']")  # off again
        assert tab.input_value("#class") == "" and tab.input_value("#sort") == "name"


@pytest.mark.browser
def test_every_name_is_text_and_a_working_link(gallery, opened):
    with opened(gallery) as tab:
        tab.click("[data-turn='1'] >> nth=0")
        tab.wait_for_function(
            "[...document.querySelectorAll('.tile img')].every(one => one.complete)"
        )
        sizes = tab.eval_on_selector_all(".tile img", "all => all.map(one => one.naturalWidth)")
        assert sizes == [64] * len(sizes) and len(sizes) == 3 * 10
        links = tab.eval_on_selector_all(".links a", "all => all.map(one => one.href)")
        assert len(links) == 3 * 10
        assert all(Path(unquote(urlparse(link).path)).is_file() for link in links)
        assert not any(urlparse(link).query or urlparse(link).fragment for link in links)


COVER = """() => {
  const layers = [...document.querySelectorAll("#large-frame .layer")].map(getComputedStyle);
  return layers.map(one => [one.clipPath, Number(one.opacity)]);
}"""


@pytest.mark.browser
def test_one_picture_large_with_slider_keys_and_drag(gallery, opened):
    with opened(gallery) as tab:
        tab.keyboard.press("Tab")
        tab.locator(".open >> nth=0").focus()
        tab.keyboard.press("Enter")
        assert tab.inner_text("#large-name") == "p000"
        sources = tab.eval_on_selector_all("#large-frame img", "all => all.map(one => one.src)")
        assert [source.split("/")[-2] for source in sources] == ["photos", "labels", "labels"]
        tab.fill("#large-split", "25")
        tab.fill("#large-strength", "100")
        assert all("75%" in clip and opacity == 1 for clip, opacity in tab.evaluate(COVER))
        assert tab.input_value("#split") == "25" and tab.input_value("#strength") == "100"
        tab.fill("#large-strength", "0")
        assert all(opacity == 0 for _, opacity in tab.evaluate(COVER))
        box = tab.locator("#large-frame .frame").bounding_box()
        tab.mouse.move(box["x"] + 5, box["y"] + 5)
        tab.mouse.down()
        tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + 5)
        tab.mouse.up()
        assert tab.input_value("#split") == "50"
        tab.locator("#next").focus()
        tab.keyboard.press("ArrowRight")
        assert tab.inner_text("#large-name") == "p001"  # its photo cannot be shown: the thumbnail
        assert tab.get_attribute("#large-frame img >> nth=0", "src") == "gallery/p001.jpg"
        tab.keyboard.press("ArrowLeft")
        assert tab.inner_text("#large-name") == "p000" and tab.is_disabled("#previous")
        tab.keyboard.press("Escape")
        assert not tab.is_visible("#large")
