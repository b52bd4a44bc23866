"""The page of a comparison, opened in a browser."""

import pytest
from helpers.evaluations import stored

EVIL = "<img src=x onerror=alert(1)>"


@pytest.mark.browser
def test_a_comparison_in_a_browser(psp, tmp_path, opened, weak_texts, too_wide):
    names = [EVIL, "second", "third"]
    for number, folder in enumerate(("a", "b", EVIL)):
        path = tmp_path / folder / "val-ss.json"
        stored(path, pictures=3, names=names, seed=number, wrong=0.1 + 0.1 * number)
    _, out, _ = psp("compare", "a", "b", EVIL, "--format", "html", check=0)
    page = tmp_path / "compare.html"
    page.write_text(out, encoding="utf-8")
    with opened(page, width=390, dark=True) as tab:
        assert weak_texts(tab) == []
        assert not too_wide(tab)
        assert EVIL in tab.inner_text("thead >> nth=0") and "tiny val" in tab.inner_text("main")
        assert tab.locator(".best").count() == 8 + 9 + 3  # all scores, classes and pictures
        classes = tab.locator("table").nth(1)
        classes.locator("[data-key=entry1]").click()
        values = classes.locator("td:nth-of-type(2) .text").all_inner_texts()
        assert [float(v) for v in values] == sorted(map(float, values), reverse=True)


def test_a_comparison_of_different_measures_says_so(psp, tmp_path):
    stored(tmp_path / "a/val-ss.json")
    stored(tmp_path / "b/val-ss.json", data="e" * 64)
    _, out, _ = psp("compare", "a", "b", "--format", "html", check=0)
    assert "Not ranked" in out and "other data" in out and 'class="compared best"' not in out
