"""XML files, read element by element and with bounds: no entities, no endless nesting.

Python's own XML parser expands entities, a few of which are enough to fill any memory. Annotation
files declare none, so a file with a document type is refused before anything is expanded.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

from psp.errors import PspError

MAX_DEPTH = 64
_BLOCK = 1 << 20


@dataclass(slots=True)
class Element:
    """An element: its name, attributes, text, children, and the line that it begins in."""

    tag: str
    attributes: dict[str, str]
    line: int
    text: str = ""
    children: list["Element"] = field(default_factory=list)

    def child(self, tag: str) -> "Element | None":
        """Return the first child of a name."""
        return next((child for child in self.children if child.tag == tag), None)

    def child_text(self, tag: str) -> str:
        """Return the text of the first child of a name, "" without one."""
        child = self.child(tag)
        return child.text.strip() if child else ""

    def descendants(self, tag: str) -> Iterator["Element"]:
        """Yield all elements of a name below this one."""
        for child in self.children:
            if child.tag == tag:
                yield child
            yield from child.descendants(tag)


class _ForbiddenError(Exception):
    """What annotation files never have."""


class _Builder:
    """Collects the children of the root, each with all that is in it."""

    def __init__(self, parser: expat.XMLParserType) -> None:
        self.root: Element | None = None
        self.finished: list[Element] = []
        self._parser = parser
        self._open: list[Element] = []
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.StartDoctypeDeclHandler = self._doctype
        parser.EntityDeclHandler = self._doctype

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if len(self._open) >= MAX_DEPTH:
            raise _ForbiddenError(f"elements more than {MAX_DEPTH} deep in each other")
        element = Element(tag, attributes, self._parser.CurrentLineNumber)
        if len(self._open) > 1:
            self._open[-1].children.append(element)
        if self.root is None:
            self.root = element
        self._open.append(element)

    def _end(self, tag: str) -> None:
        element = self._open.pop()
        if len(self._open) == 1:
            self.finished.append(element)

    def _text(self, text: str) -> None:
        if len(self._open) > 1:
            self._open[-1].text += text

    def _doctype(self, *declared: object) -> None:
        raise _ForbiddenError("a document type, which annotation files do not have")


def read_elements(path: Path, root: str) -> Iterator[Element]:
    """Yield the children of the root of an XML file; only one at a time is kept.

    Raises PspError, naming file and line, for broken XML, another root than `root`, a document type
    or entities, and deep nesting.
    """
    parser = expat.ParserCreate()
    builder = _Builder(parser)
    try:
        with path.open("rb") as file:
            while True:
                block = file.read(_BLOCK)
                parser.Parse(block, not block)
                if builder.root is not None and builder.root.tag != root:
                    raise PspError(f"{path}: its root is <{builder.root.tag[:40]}>, not <{root}>")
                yield from builder.finished
                builder.finished.clear()
                if not block:
                    return
    except expat.ExpatError as error:
        reason = expat.ErrorString(error.code)
        raise PspError(
            f"{path}: broken XML in line {error.lineno}: {reason}. Export it again"
        ) from None
    except _ForbiddenError as error:
        line = parser.CurrentLineNumber
        raise PspError(f"{path}: line {line}: {error}. Is it an annotation file?") from None
    except (OSError, LookupError, ValueError) as error:  # an encoding that nobody knows
        raise PspError(f"{path}: cannot be read: {error}") from None
