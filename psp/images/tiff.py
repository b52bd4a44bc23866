"""What a TIFF's tags say about its pixels: whether a decoder reads them as they are.

Source: TIFF 6.0, sections 3 to 8 and 18, and Adobe's notes on BigTIFF and DNG.
"""

import struct
from collections.abc import Mapping
from typing import Any

SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # and BigTIFF
WHITE_IS_ZERO, GRAY, RGB, PALETTE, CMYK, YCBCR = 0, 1, 2, 3, 5, 6
JPEG = 7  # a compression
# Bands that the photometric interpretation names, and the bits that each may have.
_KINDS = {
    WHITE_IS_ZERO: (1, {1, 2, 4, 8}),
    GRAY: (1, {1, 2, 4, 8, 12, 16}),
    RGB: (3, {8, 16}),
    PALETTE: (1, {1, 2, 4, 8}),
    CMYK: (4, {8}),
    YCBCR: (3, {8}),
}
# Compressions that every Pillow's libtiff knows, or that others may lack.
_COMPRESSIONS = frozenset({1, 2, 3, 4, 5, 6, 7, 8, 32771, 32773, 32809, 32946, 34925, 50000})
_NAMES = {33003: "JPEG 2000", 33005: "JPEG 2000", 34712: "JPEG 2000", 34887: "LERC"}
_NAMES |= {50001: "WebP", 50002: "JPEG XL", 52546: "JPEG XL", 34892: "lossy JPEG (DNG)"}
_NAMES |= {50000: "Zstandard", 34925: "LZMA", 6: "old JPEG"}
_LOSSY = frozenset({6, 7, 33003, 33005, 34712, 34892, 50001})
_REDUCED, _MASK = 1, 4  # bits of the new subfile type: a preview, a mask of transparency
_PREMULTIPLIED = 1  # an extra sample
_DNG = 50706  # its version
_MAX_PAGES = 1000


def tiff_fault(tags: Mapping[int, Any]) -> str | None:
    """Return why a TIFF's pixels would not be read as they are, or None.

    `tags` are the first picture's, by number.
    """
    bits, samples = tuple(tags.get(258, (1,))), int(tags.get(277, 1))
    if fault := _kind_fault(tags, bits):
        return fault
    photometric, extras = int(tags[262]), tuple(tags.get(338, ()))
    if photometric not in _KINDS:
        return f"a TIFF of photometric interpretation {photometric}; save it as RGB"
    bands, depths = _KINDS[photometric]
    if len(set(bits)) > 1 or bits[0] not in depths:
        shown = ", ".join(map(str, sorted(set(bits))))
        return f"a TIFF of {shown} bits a band with photometric interpretation {photometric}"
    # What follows the colors is taken as alpha.
    spare = {WHITE_IS_ZERO: 0, GRAY: 1}.get(photometric, max(len(extras), 1))
    if not bands <= samples <= bands + spare:
        return (
            f"a TIFF of {samples} bands whose header names {bands} (photometric interpretation "
            f"{photometric}): which are red, green and blue is not said; save it as RGB"
        )
    if photometric == YCBCR and int(tags.get(259, 1)) not in (6, JPEG):
        return "a TIFF of YCbCr colors without JPEG compression; save it as RGB"
    if bits[0] > 8 and samples > 1 and _PREMULTIPLIED in extras:
        return "a TIFF of deep colors with premultiplied transparency; save it without"
    return None


def _kind_fault(tags: Mapping[int, Any], bits: tuple[int, ...]) -> str | None:
    """Return why a TIFF is not a plain picture of small whole numbers, or None."""
    form, samples = set(tags.get(339, (1,))), int(tags.get(277, 1))
    if _DNG in tags:
        return "a camera's raw file (DNG); convert it to JPEG or PNG with a raw converter"
    if 262 not in tags:
        return "a TIFF without photometric interpretation: is 0 black? Save it as PNG"
    compression = int(tags.get(259, 1))
    if compression not in _COMPRESSIONS:
        name = _NAMES.get(compression, f"number {compression}")
        return f"a TIFF with a compression that is not read ({name}); save it as PNG"
    plain = samples == 1 and int(tags[262]) != WHITE_IS_ZERO  # which Pillow does not invert
    colors = samples == 3 and int(tags[262]) == RGB and set(bits) == {8}
    if int(tags.get(284, 1)) == 2 and not (plain or colors):
        return "a planar TIFF: its bands are stored one after the other; save it interleaved"
    if form - {1, 4} or max(bits) > 16:
        kind = "floating-point" if 3 in form else "signed" if 2 in form else "whole"
        kind = "complex" if form & {5, 6} else kind
        return f"a TIFF of {max(bits)}-bit {kind} numbers; save it with 8 bits"
    return None


def tiff_label_fault(tags: Mapping[int, Any]) -> str | None:
    """Return why a TIFF's values are not exactly the labels or colors that were saved, or None."""
    bits, samples = tuple(tags.get(258, (1,))), int(tags.get(277, 1))
    photometric, form = int(tags.get(262, GRAY)), set(tags.get(339, (1,)))
    if int(tags.get(259, 1)) in _LOSSY:
        return "its compression is lossy"
    if samples > 1:
        if photometric in (CMYK, YCBCR) or photometric not in _KINDS:
            return f"a TIFF of photometric interpretation {photometric} has no exact colors"
        return tiff_fault(tags)
    if photometric == WHITE_IS_ZERO:
        return "a TIFF in which 0 is white (photometric interpretation 0) is ambiguous"
    if photometric not in (GRAY, PALETTE):
        return f"a TIFF of photometric interpretation {photometric} is not read"
    exact = {1, 2, 4, 8, 12, 16, 32} if form <= {1, 4} else {16, 32} if form <= {2} else {32}
    if bits[0] not in exact or form - {1, 2, 3, 4}:
        kind = "floating-point" if 3 in form else "signed" if 2 in form else "whole"
        return f"a TIFF of {bits[0]}-bit {kind} numbers is not read"
    return None


def missing_codec(tags: Mapping[int, Any]) -> str:
    """Return a remark on a compression that this Pillow may have been built without, or ""."""
    name = _NAMES.get(int(tags.get(259, 1)))
    return (
        f" (its compression, {name}, may not be built into this Pillow; save it as PNG)"
        if name
        else ""
    )


def preview_fault(data: bytes, tags: Mapping[int, Any]) -> str | None:
    """Return why a TIFF whose first picture is a smaller copy of another is refused, or None."""
    if not int(tags.get(254, 0)) & _REDUCED:
        return None
    try:
        alone = 330 not in tags and len(_subfile_types(data)) == 1
    except struct.error:
        alone = True
    found = "a TIFF whose first picture is a preview, as in a camera's raw file; save it as PNG"
    return None if alone else found


def largest_sample(tags: Mapping[int, Any]) -> int:
    """Return the largest value that a TIFF says its samples have; 0 if it says none."""
    value = tags.get(281, 0)
    value = value[0] if isinstance(value, tuple) and value else value
    return value if isinstance(value, int) else 0


def counted_pages(data: bytes) -> int:
    """Return how many pictures a TIFF has, without previews, overviews and masks of transparency.

    An overview is a smaller copy, as geographic programs add it. A broken file has one.
    """
    try:
        return max(1, sum(not kind & (_REDUCED | _MASK) for kind in _subfile_types(data)))
    except struct.error:
        return 1


def tiff_orientation(data: bytes) -> int:
    """Return the orientation in a TIFF's first picture, which Pillow undoes; 1 in other files."""
    if not data.startswith(SIGNATURES):
        return 1
    try:
        found = _values(data, 274, 1)[:1]
    except struct.error:
        return 1
    return found[0] if found and 1 <= found[0] <= 8 else 1


def _subfile_types(data: bytes) -> list[int]:
    """Return the new subfile type of each picture in a chain. Raises struct.error."""
    return _values(data, 254, 0)


def _values(data: bytes, wanted: int, default: int) -> list[int]:
    """Return a tag's value, a whole number, in each picture in a chain. Raises struct.error."""
    order = "<" if data[:2] == b"II" else ">"
    big = data[2 if order == "<" else 3] == 43
    count, entry, word = ("Q", "HHQ", "Q") if big else ("H", "HHI", "I")
    (at,) = struct.unpack_from(order + word, data, 8 if big else 4)
    values: list[int] = []
    seen: set[int] = set()
    while at and at not in seen and len(values) < _MAX_PAGES:
        seen.add(at)
        (entries,) = struct.unpack_from(order + count, data, at)
        at += struct.calcsize("<" + count)
        before = struct.calcsize("<" + entry)
        size = before + struct.calcsize("<" + word)
        values.append(default)
        for place in range(at, at + min(entries, 1000) * size, size):
            tag, kind, _ = struct.unpack_from(order + entry, data, place)
            if tag == wanted:
                form = order + ("H" if kind == 3 else "I")
                (values[-1],) = struct.unpack_from(form, data, place + before)
        (at,) = struct.unpack_from(order + word, data, at + entries * size)
    return values


def unknown_tiff(data: bytes, tags: Mapping[int, Any] | None) -> str:
    """Return the cause for a TIFF that Pillow does not take for a picture; None: it has no tags."""
    if data.startswith(b"MM\0+"):
        return "a BigTIFF whose numbers have their highest byte first; save it as PNG"
    if tags is None:
        return "broken picture: its TIFF header cannot be read"
    return tiff_fault(tags) or "a TIFF of a kind that is not read; save it as PNG"
