"""A browser for the tests of pages: the system's Chromium, driven by playwright."""

import shutil
from contextlib import contextmanager

import pytest


def pytest_collection_modifyitems(items):
    """A page in a browser takes seconds: none is of the quick half."""
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="module")
def browser():
    """A headless browser; a machine without one skips, and says what is missing.

    It ends with the module: the tests of other rooms start and stop processes of their own.
    """
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("there is no chromium here")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def opened(browser):
    """opened(path, width=1280, dark=False): a page in the browser, for a `with`.

    At its end, it must have written no error to the console and asked for no file but its own and
    those beside it.
    """

    @contextmanager
    def open_page(path, width=1280, dark=False):
        tab = browser.new_page(
            viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light"
        )
        problems = []
        tab.on("console", lambda message: message.type == "error" and problems.append(message.text))
        tab.on("pageerror", lambda error: problems.append(str(error)))
        tab.on("dialog", lambda dialog: (problems.append("a dialog opened"), dialog.dismiss()))
        folder = path.parent.as_uri()
        tab.on(
            "request",
            lambda request: (
                request.url.startswith(("data:", "blob:", folder)) or problems.append(request.url)
            ),
        )
        tab.goto(path.as_uri())
        try:
            yield tab
            assert problems == []
        finally:
            tab.close()

    return open_page


# The contrast of every text with what lies behind it (WCAG 2.1); only text over a plain color.
CONTRAST = """() => {
  const parse = text => {
    const numbers = text.match(/[\\d.]+/g).map(Number);
    return {rgb: numbers.slice(0, 3), alpha: numbers.length > 3 ? numbers[3] : 1};
  };
  const luminance = rgb => {
    const [r, g, b] = rgb.map(v => {
      v /= 255;
      return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = element => {
    for (let at = element; at; at = at.parentElement) {
      const color = parse(getComputedStyle(at).backgroundColor);
      if (color.alpha === 1) return color.rgb;
    }
    return [255, 255, 255];
  };
  const weak = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || element.closest("script, style, svg, .hidden-text")) {
      continue;
    }
    if (!element.checkVisibility() || element.matches(":disabled")) continue;
    const text = luminance(parse(getComputedStyle(element).color).rgb);
    const ground = luminance(behind(element));
    const ratio = (Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05);
    if (ratio < 4.5) weak.push(`${element.outerHTML.slice(0, 100)}: ${ratio.toFixed(2)}`);
  }
  return weak;
}"""


@pytest.fixture(scope="session")
def weak_texts():
    """weak_texts(tab): the visible texts of a page whose contrast is below 4.5."""
    return lambda tab: tab.evaluate(CONTRAST)


@pytest.fixture(scope="session")
def too_wide():
    """too_wide(tab): whether the page scrolls sideways."""
    return lambda tab: tab.evaluate(
        "() => document.documentElement.scrollWidth > document.documentElement.clientWidth"
    )
