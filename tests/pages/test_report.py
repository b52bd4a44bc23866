"""The report of an evaluation, opened in a browser; and how large it may be."""

import json

import numpy as np
import pytest
from helpers.evaluations import stored

from psp.evaluate.report import page_of, remake_report, remake_reports, write_report
from psp.evaluate.shown import MOST_BYTES, ShownPicture, pictures_file
from psp.images.encoding import encode_jpeg, encode_label
from psp.runs import Run

EVIL = "<img src=x onerror=alert(1)>.jpg"
SCRIPT = "</script><script>alert(2)</script>"


def report(folder, **how):
    path = folder / "val-ss-flip.json"
    write_report(path, None, stored(path, **how))
    return page_of(path)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    names = [EVIL, "second", "third", "fourth"]
    classes = ("sky", SCRIPT, "road", "grass")
    return report(
        tmp_path_factory.mktemp("report"), classes=4, class_names=classes, pictures=4, names=names
    )


@pytest.mark.browser
def test_a_report_in_a_browser(page, opened, weak_texts, too_wide):
    """One visit: names are texts, headings sort, pictures switch, a class is highlighted."""
    with opened(page) as tab:
        tab.wait_for_selector(".picture canvas:visible")
        names = tab.locator("figcaption .name").all_inner_texts()
        assert EVIL in names and len(names) == 4
        assert SCRIPT in tab.inner_text("#class-table")
        assert weak_texts(tab) == []
        assert not too_wide(tab)

        def column():
            return [float(text) for text in tab.locator("td.iou .value").all_inner_texts()]

        given = column()
        tab.click("[data-key=iou]")
        assert column() == sorted(given, reverse=True)
        assert tab.get_attribute("th:has([data-key=iou])", "aria-sort") == "descending"
        tab.press("[data-key=iou]", "Enter")
        assert column() == sorted(given)
        tab.click("[data-key=id]")
        assert column() == given

        first, second = tab.locator(".picture").nth(0), tab.locator(".picture").nth(1)

        def views():
            return [card.locator("canvas").get_attribute("data-view") for card in (first, second)]

        def pixels():
            return first.locator("canvas").evaluate(
                "c => Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data)"
            )

        assert views() == ["prediction", "prediction"]
        first.locator("[data-view=target]").click()
        assert views() == ["target", "prediction"]
        target = pixels()
        first.focus()
        tab.keyboard.press("4")
        assert views() == ["errors", "prediction"]
        assert pixels() != target
        first.locator("canvas").click()
        assert views() == ["photo", "prediction"]
        second.locator("[data-view=errors]").hover()
        assert views() == ["photo", "errors"]
        tab.hover("h1")
        assert views() == ["photo", "prediction"]
        tab.click(".all[data-view=target]")
        assert views() == ["target", "target"]
        assert pixels() == target
        tab.click(".chip[data-class='2']")
        assert pixels() != target
        assert tab.locator("tr.marked").get_attribute("data-name") == "road"
        tab.click(".chip[data-class='2']")
        assert pixels() == target


@pytest.mark.browser
def test_the_heat_map_is_read_by_keys_and_pointer(page, opened):
    with opened(page) as tab:
        tab.focus("#heatmap")
        largest = tab.inner_text("#cell")
        percent, _, true, *_ = tab.inner_text("ol.side.target li >> nth=0").split()
        assert round(float(largest.split("%")[0])) == int(percent.rstrip("%"))
        assert true in largest and "taken for" in largest
        tab.keyboard.press("ArrowLeft")
        assert tab.inner_text("#cell") != largest
        tab.keyboard.press("Home")
        assert tab.inner_text("#cell") == largest
        tab.click("[data-side=prediction]")
        assert tab.inner_text("#cell") != largest
        assert tab.is_visible("ol.side.prediction") and not tab.is_visible("ol.side.target")
        tab.locator("#heatmap").hover(position={"x": 120, "y": 100})
        assert "what is called" in tab.inner_text("#cell")


@pytest.mark.browser
def test_a_run_before_its_evaluation_shows_curves_and_settings(
    tmp_path, opened, weak_texts, too_wide
):
    run = Run(tmp_path / "run")
    run.folder.mkdir()
    config = {
        "settings": {"lr": 0.02},
        "data": "/data",
        "data_fingerprint": "d" * 64,
        "command": "psp train town --lr 0.02",
    }
    run.config.write_text(json.dumps(config))
    lines = [
        {"event": "step", "step": n, "loss": 9 / n, "main": 5 / n, "lr": 0.1} for n in (1, 2, 3)
    ]
    run.metrics.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    (page,) = remake_reports(run)
    with opened(page, width=390) as tab:
        assert "psp evaluate" in tab.inner_text("header")
        assert tab.locator(".chart").count() == 2
        assert "loss 3" in " ".join(tab.inner_text(".charts").split())
        assert tab.locator(".settings tr:visible").count() == 2  # the heading, and lr
        tab.click("#defaults")
        assert tab.locator(".settings tr:visible").count() > 30
        assert "0.02" in tab.inner_text(".settings") and "command" in tab.inner_text(".settings")
        assert weak_texts(tab) == [] and not too_wide(tab)


@pytest.mark.browser
@pytest.mark.parametrize("classes", [2, 150])
def test_few_and_many_classes_fit_a_phone(tmp_path, opened, weak_texts, too_wide, classes):
    page = report(tmp_path, classes=classes, pictures=2, absent=1 if classes > 2 else 0)
    with opened(page, width=390, dark=True) as tab:
        tab.wait_for_selector(".picture canvas:visible")
        assert not too_wide(tab)
        assert weak_texts(tab) == []
        assert tab.locator("#class-table tbody tr").count() == classes


def test_a_report_of_noise_is_not_larger_than_5_mb(tmp_path, rng):
    """The most that twelve pictures can take: each has as many bytes as it may."""
    path = tmp_path / "val-ss-flip.json"
    stored(path, pictures=12, classes=255)
    photo = encode_jpeg(rng.integers(0, 256, (300, 400, 3), dtype=np.uint8), 75)
    label = encode_label(rng.integers(0, 9, (300, 400), dtype=np.uint8))
    assert len(photo) + 2 * len(label) > MOST_BYTES * 0.6
    fill = b"\0" * (MOST_BYTES - len(photo) - 2 * len(label))
    shown = [ShownPicture(f"picture{n}", "worst", photo + fill, label, label) for n in range(12)]
    write_report(path, None, shown)
    assert 4_000_000 < page_of(path).stat().st_size < 5_000_000


def test_a_report_is_made_anew_from_what_is_on_disk(page, tmp_path):
    before = page.read_bytes()
    page.unlink()
    assert remake_report(page.with_suffix(".json")) == page
    assert page.read_bytes() == before


def test_another_file_among_the_evaluations_is_named_in_the_runs_report(tmp_path):
    run = Run(tmp_path / "run")
    shown = stored(run.evaluations / "val-ss-flip.json")
    config = {"settings": {}, "data": "/data", "data_fingerprint": "d" * 64}
    run.config.write_text(json.dumps(config))
    (run.evaluations / "notes.json").write_text("{")
    write_report(run.evaluations / "val-ss-flip.json", run, shown)
    text = run.report.read_text(encoding="utf-8")
    assert "notes.json: damaged" in text and 'href="evaluations/val-ss-flip.html"' in text


def test_pictures_of_another_evaluation_are_not_shown(tmp_path):
    """As after psp evaluate --no-report of other weights under the same name."""
    page = report(tmp_path, pictures=3)
    assert b"data:image/jpeg" in page.read_bytes()
    stored(tmp_path / "val-ss-flip.json", pictures=3, seed=1)
    text = remake_report(tmp_path / "val-ss-flip.json").read_text(encoding="utf-8")
    assert "data:image/jpeg" not in text and "No pictures" in text
    assert pictures_file(tmp_path / "val-ss-flip.json").exists()
