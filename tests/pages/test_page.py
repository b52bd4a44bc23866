"""The frame of all pages: what is escaped, what is refused, and how it looks in a browser."""

import base64
import json

import pytest
from jinja2 import UndefinedError

from psp.pages import page

EVIL = "<img src=x onerror=alert(1)>.jpg"
TEMPLATE = """{% extends "page.html.j2" %}
{% block title %}{{ name }}{% endblock %}
{% block content %}
<h1 class="name">{{ name }}</h1>
<p class="soft">soft <a href="#x">link</a> <button>one</button>
<button aria-pressed="true">two</button></p>
<div class="panel"><p class="soft">soft</p><a href="#x">link</a></div>
<img alt="{{ name }}" src="{{ picture }}">
{% endblock %}
{% block script %}
const data = {{ data | tojson }};
document.querySelector("h1").dataset.read = data.name === document.querySelector("h1").textContent;
{% endblock %}
"""
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
    "gg=="
)


@pytest.fixture
def written(tmp_path, monkeypatch):
    """written(name): a page about a file of that name."""
    from jinja2 import ChoiceLoader, DictLoader, PackageLoader

    loader = ChoiceLoader([DictLoader({"trial.html.j2": TEMPLATE}), PackageLoader("psp.pages")])
    monkeypatch.setattr("jinja2.PackageLoader", lambda package: loader)

    def write(name):
        path = tmp_path / "trial.html"
        values = {
            "name": name,
            "data": {"name": name},
            "picture": page.data_uri(PIXEL, page.PNG),
        }
        page.write_page(path, "trial.html.j2", values)
        return path

    return write


def test_a_value_that_is_missing_is_an_error(written):
    with pytest.raises(UndefinedError):
        page.render("trial.html.j2", {"name": "x", "data": {}})


@pytest.mark.parametrize("name", [EVIL, "</script><script>alert(1)</script>", "<!--<script>"])
def test_names_end_neither_html_nor_script(written, name):
    text = written(name).read_text(encoding="utf-8")
    assert name not in text
    line = next(line for line in text.splitlines() if line.startswith("const data = "))
    assert json.loads(line.removeprefix("const data = ").rstrip(";")) == {"name": name}


def test_names_that_are_no_utf_8_can_be_written(written):
    assert "caf\\udce9" in written("caf\udce9").read_text(encoding="utf-8")


@pytest.mark.browser
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_frame_in_a_browser(written, opened, weak_texts, too_wide, dark):
    with opened(written(f"{'long' * 100} {EVIL}"), width=390, dark=dark) as tab:
        assert tab.inner_text("h1").endswith(EVIL)
        assert tab.get_attribute("h1", "data-read") == "true"
        assert weak_texts(tab) == []
        assert not too_wide(tab)
        tab.keyboard.press("Tab")
        style = tab.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert style == "solid"
