"""The page of psp explain in a browser: levels, views, the table, odd names."""

import io

import numpy as np
import pytest
from PIL import Image

from psp.images.encoding import encode_jpeg, encode_label
from psp.pages.explain import ExplainPage, Level, explain_page

pytestmark = pytest.mark.browser

EVIL = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Two levels: without the first, the left half is class 1; without both, all is class 2."""
    labels = np.zeros((20, 40), np.uint8)
    half = labels.copy()
    half[:, :20] = 1
    maps = [np.full_like(labels, 2), labels, half, labels]
    record = ExplainPage(
        name=EVIL,
        how=EVIL,
        samples="3 pictures",
        notes=[EVIL],
        levels=[Level("1x1", EVIL), Level("2x2", "nothing")],
        classes=["sky", EVIL, "road", "absent"],
        colors=["#ff0000", "#00ff00", "#0000ff", "#123456"],
        photo=encode_jpeg(np.full((20, 40, 3), 100, np.uint8), 95),
        maps=[encode_label(one) for one in maps],
    )
    path = tmp_path_factory.mktemp("page") / "explained.html"
    path.write_bytes(explain_page(record))
    return path


def drawn(tab):
    """The canvas as the browser shows it: the color in the middle of each half."""
    shot = Image.open(io.BytesIO(tab.locator("canvas").screenshot())).convert("RGB")
    return [shot.getpixel((shot.width * x // 4, shot.height // 2)) for x in (1, 3)]


def wait(tab, on):
    tab.wait_for_selector(f"canvas[data-on='{on}']")


def test_levels_change_the_classes(opened, page, weak_texts, too_wide):
    with opened(page) as tab:
        wait(tab, 3)
        left, right = drawn(tab)
        assert left == right and left[0] > 150  # red
        assert "psp predict" in tab.inner_text("#summary")
        tab.click(".level >> nth=0")
        wait(tab, 2)
        left, right = drawn(tab)
        assert left[1] > 150 and right[0] > 150
        assert "50.0%" in tab.inner_text("#summary")
        assert tab.get_attribute(".level >> nth=0", "aria-pressed") == "false"
        rows = tab.inner_text("#shares")
        assert EVIL in rows and "absent" not in rows
        tab.keyboard.press("2")
        wait(tab, 0)
        assert drawn(tab)[0][2] > 150
        tab.click("#every")
        wait(tab, 3)
        tab.click("[data-view=photo]")
        tab.wait_for_timeout(50)
        assert all(abs(value - 100) < 4 for value in drawn(tab)[0])
        assert weak_texts(tab) == [] and not too_wide(tab)
    with opened(page, width=390, dark=True) as tab:
        wait(tab, 3)
        assert weak_texts(tab) == [] and not too_wide(tab)
