"""HTML pages from templates: each is one file that opens from disk and needs no network.

A page is a template in `templates/` that extends `page.html.j2` and fills its blocks:

    title     the text of the browser's tab
    images    where pictures may come from besides the page itself; `'self' file:` beside the page
    style     CSS after that of `page.css`, whose colors are variables with a light and a dark value
    content   what is inside <main>
    script    JavaScript; data go into it by the filter `tojson`

Values are escaped in HTML unless they are Markup, and `tojson` escapes what would end a <script>,
so names of files and classes are shown as they are. A value that a template asks for and that is
not handed to it is an error.
"""

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psp.files import write
from psp.version import __version__

if TYPE_CHECKING:  # importing it takes longer than `psp --help`
    from jinja2 import Environment

JPEG, PNG, SVG = "image/jpeg", "image/png", "image/svg+xml"  # media types


def render(template: str, values: Mapping[str, Any]) -> bytes:
    """Return a page as UTF-8, made from a template's name and its values.

    Bytes of file names that are no UTF-8 are shown escaped, as \\udcff. Raises
    jinja2.UndefinedError for a value that is missing.
    """
    page = _environment().get_template(template).render(values, version=__version__)
    return page.encode("utf-8", "backslashreplace")


def write_page(path: Path, template: str, values: Mapping[str, Any]) -> None:
    """Write the page that `render` returns, whole or not at all. Raises PspError if it cannot."""
    write(path, render(template, values))


def data_uri(data: bytes, kind: str) -> str:
    """Return a file of a media type such as JPEG as a text that stands for it in src or href."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("psp.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    # JSON has no NaN, and the order of keys is often that in which they are shown.
    environment.policies["json.dumps_kwargs"] = {
        "allow_nan": False,
        "sort_keys": False,
        "separators": (",", ":"),
    }
    return environment
