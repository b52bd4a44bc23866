"""What a JPEG's markers say: how it is coded, and whether all of its pixels are there.

Source: ITU-T T.81, annexes B and G.
"""

import re
from dataclasses import dataclass, field

JPEG = b"\xff\xd8\xff"
JPEG_END = b"\xff\xd9"
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # not a stuffed byte, a restart or fill
_SCAN, _END, _NOTES = 0xDA, 0xD9, 0xE1
_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})  # SOF: not DHT, JPG, DAC
# Tables, scans, notes: segments that may follow each other in any file.
_SEGMENTS = _FRAMES | frozenset({0xC4, 0xDA, 0xDB, 0xDD, 0xFE, *range(0xE0, 0xF0)})
_SEQUENTIAL, _PROGRESSIVE = frozenset({0xC0, 0xC1}), frozenset({0xC2})
_JPEG_LS = 0xF7


@dataclass
class _Frame:
    """The frame's marker, depth and size, what its scans have brought, what else there is.

    `noted` says whether there are EXIF data or XMP, `foreign` whether a marker that no JPEG has
    there, and `end` where the end mark ends, 0 without one.
    `bits` has the lowest bit that is known of each coefficient 0 to 63 of each component.
    """

    marker: int = 0
    depth: int = 8
    size: tuple[int, int] = (0, 0)  # height, width
    noted: bool = False
    bits: dict[int, list[int]] = field(default_factory=dict)
    foreign: bool = False
    end: int = 0

    def add_scan(self, header: bytes) -> None:
        """Note what a scan's header says that it brings."""
        count = header[0]
        first, last, approximation = header[1 + 2 * count : 4 + 2 * count]
        for index in range(count):
            known = self.bits.setdefault(header[1 + 2 * index], [99] * 64)
            for coefficient in range(first, min(last, 63) + 1):
                known[coefficient] = approximation & 15

    @property
    def complete(self) -> bool:
        """Whether scans of all components have brought all coefficients to their last bit."""
        return bool(self.bits) and all(not any(known) for known in self.bits.values())


def _read(data: bytes, *, scans: bool = True) -> _Frame:
    """Read the markers up to the end mark, the end of the file, or without `scans` the first."""
    frame, at = _Frame(), 2
    while found := _MARKER.search(data, at):
        marker, at = data[found.start() + 1], found.end()
        if marker == _END:
            frame.end = found.end()
            break
        frame.foreign |= marker not in _SEGMENTS
        length = int.from_bytes(data[at : at + 2], "big")
        content = data[at + 2 : at + length]
        if marker in _FRAMES or marker == _JPEG_LS:
            frame.marker, frame.depth = marker, content[0] if content else 8
            frame.size = (int.from_bytes(content[1:3], "big"), int.from_bytes(content[3:5], "big"))
            frame.bits = {content[6 + 3 * i]: [99] * 64 for i in range(len(content[6:]) // 3)}
        elif marker == _NOTES:
            frame.noted = True
        elif marker == _SCAN and not scans:
            break
        elif marker == _SCAN and content and len(content) >= 4 + 2 * content[0]:
            frame.add_scan(content)
        at += length
    return frame


def jpeg_fault(data: bytes) -> str | None:
    """Return why a JPEG is of a kind that is not read, or None."""
    frame = _read(data, scans=False)
    if frame.marker == _JPEG_LS:
        return "a JPEG-LS file; save it as PNG"
    if frame.depth not in (0, 8):
        return f"a JPEG of {frame.depth} bits a color; save it with 8 bits"
    return None


def has_transform(data: bytes) -> bool:
    """Whether a JPEG has cosine coefficients, so that it can be decoded at 1/8 of its size."""
    return _read(data, scans=False).marker in _SEQUENTIAL | _PROGRESSIVE


def is_closed(data: bytes) -> bool:
    """Whether nothing stands between and after a JPEG's scans that does not belong there.

    A flipped bit in a scan may look like a marker: then libjpeg ends the scan and makes up the
    rest, and only what reads on to the end mark finds the marker unknown.
    """
    frame = _read(data)
    return frame.end == len(data) and not frame.foreign


def is_plain(data: bytes) -> bool:
    """Whether a JPEG has three colors in 8 bits, of the usual codings."""
    frame = _read(data, scans=False)
    usual = frame.marker in _SEQUENTIAL | _PROGRESSIVE
    return usual and frame.depth == 8 and len(frame.bits) == 3


def upright_size(data: bytes) -> tuple[int, int] | None:
    """Return height and width of a JPEG without EXIF data and XMP; None for others."""
    frame = _read(data, scans=False)
    return None if frame.noted or not all(frame.size) else frame.size


def jpeg_lacks_end(data: bytes) -> bool:
    """Whether a file is a JPEG without its end mark; what follows a mark does not count."""
    if not data.startswith(JPEG) or data.endswith(JPEG_END):
        return False
    return not _read(data).end


def jpeg_has_all_scans(data: bytes) -> bool:
    """Whether a JPEG's scans, the last of which may be cut, are all that its pixels need."""
    frame = _read(data)
    return frame.marker in _SEQUENTIAL | _PROGRESSIVE and frame.complete


def jpegs_with_an_end(data: bytes) -> tuple[bytes, bytes]:
    """Return a JPEG that lacks its end mark with one, twice: different bytes stand before it.

    Both decode to the same pixels if, and only if, nothing but the mark is missing: otherwise the
    bytes before it are taken for pixels.
    """
    body = data.rstrip(b"\0").removesuffix(b"\xff")
    return body + b"\0" * 64 + JPEG_END, body + b"\x55" * 64 + JPEG_END
